from __future__ import annotations

from pathlib import Path

import pytest
from toys import Characters, DigitReader

from textapp.errors import DataError
from textapp.predictors.predictor import Predictor
from textapp.retrieval.answering import answer_from
from textapp.retrieval.index import Passage
from textapp.tasks.question_answering import QuestionAnsweringTask
from textapp.tasks.question_answering_generative import WrittenAnswer
from textapp.text.template import Template


def reader(**options) -> Predictor:
    tokenizer = Characters()
    tokenizer.template = Template((1,), (3,), (3,))
    return Predictor(QuestionAnsweringTask(tokenizer, [64], 16, 8, 64, "en", **options), DigitReader(), {}, Path("r"))


def passage(file: str, text: str, start: int = 0, line: int | None = None) -> Passage:
    return Passage(file, line, start, start + len(text), text, 1.0)


PASSAGES = [passage("a.txt", "it has 5 doors and 412 steps"), passage("b.txt", "it has 7301 doors.", 1000)]


def test_the_surest_passage_answers() -> None:
    found = answer_from(reader(), "how many doors", PASSAGES)
    (source,) = found.sources
    assert (found.answer, found.passages, source.file) == ("7301", 2, "b.txt")
    assert (source.start, source.end, source.passage_start, source.passage_score) == (1007, 1011, 1000, 1.0)
    assert found.score == source.score == pytest.approx(1 / (1 + 2.718281828**-3.5))


def test_other_answers_follow_by_their_scores() -> None:
    found = answer_from(reader(num_answers=3), "how many", PASSAGES, num_answers=3)
    assert [(source.answer, source.file) for source in found.sources] == [
        ("7301", "b.txt"), ("5", "a.txt"), ("412", "a.txt"),
    ]  # fmt: skip
    assert found.sources[0].score > found.sources[1].score > found.sources[2].score


def test_a_passage_that_fits_the_question_outweighs_a_little_doubt() -> None:
    near, far = passage("near.txt", "it has 6 doors"), passage("far.txt", "it has 8 doors")
    assert answer_from(reader(), "how many", [near._replace(score=4.0), far]).answer == "6"  # 2.5 + 4 > 4.5 + 1
    assert answer_from(reader(), "how many", [near._replace(score=2.5), far]).answer == "8"  # 2.5 + 2.5 < 4.5 + 1


def test_of_equal_scores_the_better_passage_counts() -> None:
    twins = [passage("x.txt", "it has 9 doors"), passage("y.txt", "and 9 steps")]
    assert answer_from(reader(), "how many", twins).sources[0].file == "x.txt"
    assert answer_from(reader(), "how many", twins[::-1]).sources[0].file == "y.txt"


def test_an_answer_in_two_overlapping_passages_counts_once() -> None:
    text = "it has 8 doors and 6 steps"
    halves = [passage("a.txt", text), passage("a.txt", text[7:], 7), passage("a.txt", text, line=2)]
    found = answer_from(reader(num_answers=9), "how many", halves, num_answers=9)
    places = [(source.line, source.start, source.answer) for source in found.sources]
    assert len(set(places)) == len(places) and {(None, 7, "8"), (2, 7, "8"), (None, 19, "6")} <= set(places)


def test_no_answer_is_an_answer() -> None:
    unsure = reader(no_answer_threshold=0.5)
    found = answer_from(unsure, "how many", [passage("a.txt", "it has 1 door"), passage("b.txt", "it has 2 doors")])
    assert (found.answer, found.sources, found.passages) == ("", (), 2)
    assert found.score == pytest.approx(1 / (1 + 2.718281828**1.5))
    both = answer_from(unsure, "how many", [passage("a.txt", "it has 1 door"), *PASSAGES])
    assert both.answer == "7301" and [source.file for source in both.sources] == ["b.txt"]
    nothing = answer_from(unsure, "how many", [])
    assert (nothing.answer, nothing.score, nothing.passages) == ("", 0.0, 0)


def test_a_question_that_is_too_long_is_an_error() -> None:
    with pytest.raises(DataError, match="the question has 300 tokens"):
        answer_from(reader(), "x" * 300, PASSAGES)


def test_blanks_that_a_model_wrote_are_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [WrittenAnswer(None, "who", " ", 0.9), WrittenAnswer(None, "who", "ada", 0.4)]
    predictor = reader()
    monkeypatch.setattr(predictor, "batch", lambda *_: answers)
    found = answer_from(predictor, "who", PASSAGES)
    assert (found.answer, [source.file for source in found.sources]) == ("ada", ["b.txt"])
