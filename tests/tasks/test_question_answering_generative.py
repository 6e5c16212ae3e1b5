"""Questions with and without a context to features, written ids to answers, with a tokenizer of letters."""

from __future__ import annotations

import logging
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from toys import InPlace, Letters, random_chain

from textapp.catalog import task_from_manifest
from textapp.errors import DataError, UsageError
from textapp.predictors.generative import GenerativePredictor
from textapp.tasks.question_answering import QuestionAnsweringTask
from textapp.tasks.question_answering_generative import WrittenAlternative, WrittenAnswer, WrittenAnswersTask
from textapp.text.template import Template

MANIFEST = {
    "task": "question_answering", "mode": "generative", "languages": ["en"], "lengths": [8, 16],
    "generate_lengths": [[8, 6], [16, 8]],
}  # fmt: skip
A, B, C, END = 4, 5, 6, 3
GREEDY = {"token_ids": np.array([A, B, END, C, 0, 0]), "num_tokens": np.array(3), "score": np.log(np.float32(0.5))}


@pytest.fixture
def task(letters: Any) -> WrittenAnswersTask:
    return task_from_manifest(MANIFEST, letters)  # type: ignore[return-value]


def question(text: str, context: str = "", *answers: str) -> dict:
    return {"question": text, "context": context, "answers": [{"text": each, "start": None} for each in answers],
            "answer": "".join(answers[:1])}  # fmt: skip


def test_a_separator_stands_between_question_and_context(task: WrittenAnswersTask) -> None:
    assert task.features({"question": "ab", "context": "c"}) == {"token_ids": [A, B, END, C, END]}
    assert task.features({"question": "ab", "context": ""}) == {"token_ids": [A, B, END]}
    assert task.features({"question": "ab"}) == {"token_ids": [A, B, END]}


def test_the_separator_is_that_of_the_tokenizer(letters: Any) -> None:
    """As BART's: `<s> question </s></s> context </s>`."""
    letters.template = Template((2,), (END, END), (END,))
    task = task_from_manifest(MANIFEST, letters)
    assert task.features({"question": "ab", "context": "c"}) == {"token_ids": [2, A, B, END, END, C, END]}
    assert task.features({"question": "ab"}) == {"token_ids": [2, A, B, END]}


def test_a_long_context_is_cut_at_its_end_with_one_warning(task: WrittenAnswersTask, caplog) -> None:
    record = question("ab", "c" * 30)
    with caplog.at_level(logging.WARNING, logger="textapp"):
        features = [task.features(record) for _ in range(2)]
    assert features == [{"token_ids": [A, B, END, *[C] * 12, END]}] * 2
    assert caplog.messages == [f"'{'c' * 30}' has 34 tokens, but the model reads at most 16: truncated to its start"]
    strict = task_from_manifest(MANIFEST, task.tokenizer, overflow="error")
    with pytest.raises(DataError, match="has 34 tokens, but the model reads at most 16: shorten or split it"):
        strict.check(record)


def test_a_context_of_a_megabyte_is_not_tokenized_as_a_whole(task: WrittenAnswersTask, monkeypatch) -> None:
    read, ids = [], task.tokenizer.ids
    monkeypatch.setattr(task.tokenizer, "python_steps", (), raising=False)
    monkeypatch.setattr(task.tokenizer, "ids", lambda text: read.append(len(text)) or ids(text))
    assert len(task.features(question("ab", "a word " * 150_000))["token_ids"]) == 16
    assert max(read) < 10_000


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (question(" ", "abc"), "the question is empty: expected a question"),
        (question("a" * 16), "the question has 16 tokens, expected at most 15: shorten it"),
        # Two special tokens, and eight of the context.
        (
            question("a" * 7, "b" * 20),
            "the question has 7 tokens, and the model reads 16 of question and context together: leave",
        ),
        (question("a" * 12, "bbb"), "the question has 12 tokens, expected at most 11: shorten it"),
    ],
)
def test_questions_that_cannot_be_answered(task: WrittenAnswersTask, record: dict, message: str) -> None:
    with pytest.raises(DataError, match=message):
        task.check(record)


@pytest.mark.parametrize("record", [question("a" * 15), question("a" * 6, "b" * 20), question("a" * 11, "bbb")])
def test_questions_that_just_fit(task: WrittenAnswersTask, record: dict) -> None:
    task.check(record)


def test_records_are_made_of_a_question_and_maybe_a_context(task: WrittenAnswersTask) -> None:
    with_context = {"question": "who", "context": "ada"}
    for values in (("who", "ada"), (["who", "ada"],), ({"question": "who", "context": "ada"},)):
        assert task.record(*values) == with_context
    assert task.record(question="who", context="ada") == with_context
    for values in (("who",), ({"question": "who"},), (("who", None),)):
        assert task.record(*values) == {"question": "who", "context": ""}
    with pytest.raises(UsageError, match="found the question 3, expected a question, and its context if there is one"):
        task.record(3)
    with pytest.raises(UsageError, match="found the context 3"):
        task.record("who", 3)


def test_an_answer_has_a_probability(task: WrittenAnswersTask) -> None:
    answer = task.answer({"id": "q7", **question("who")}, [GREEDY])
    assert answer == WrittenAnswer("q7", "who", "ab", pytest.approx(0.5))
    assert list(asdict(answer)) == ["id", "question", "answer", "score", "alternatives"]
    assert answer.line() == "ab\t0.500\twho" and str(answer) == "ab (0.50)"
    assert str(WrittenAnswer(None, "who", " ", 0.5)) == "no answer (0.50)"
    assert task.answer(question("who"), [{"token_ids": np.array([END])}]).line() == "-\t0.000\twho"


def test_several_hypotheses_are_alternatives(task: WrittenAnswersTask) -> None:
    outputs = {"token_ids": np.array([[A, END, 0], [B, B, END]]), "score": np.log([0.5, 0.25])}
    answer = task.answer(question("who"), [outputs])
    expected = (WrittenAlternative("a", pytest.approx(0.5)), WrittenAlternative("bb", pytest.approx(0.25)))
    assert (answer.answer, answer.alternatives) == ("a", expected)
    assert answer.line() == "a\t0.500\twho\nbb\t0.250"
    assert answer.changed(str.upper).alternatives[1].answer == "BB" and answer.changed(str.upper).answer == "A"


def test_decoding_options_stops_and_streams_are_those_of_a_translator() -> None:
    letters = Letters()
    task = WrittenAnswersTask(letters, letters, [4, 8], [(4, 6), (8, 10)])
    predictor = GenerativePredictor(task, random_chain(2, Letters.vocabulary_size, InPlace), {}, Path("bundle"))
    greedy = predictor(question="ab", context="c")
    assert greedy == predictor("ab", "c") == predictor.batch([("ab", "c")])[0] and len(greedy.answer) > 1
    assert "".join(predictor.stream("ab", "c")) == greedy.answer
    assert predictor("ab", "c", stop=[greedy.answer[1]]).answer == greedy.answer[0]
    ranked = predictor("ab", "c", beam_size=3, num_hypotheses=2)
    assert [each.answer for each in ranked.alternatives][0] == ranked.answer and len(ranked.alternatives) == 2
    assert all(0 < each.score < 1 for each in ranked.alternatives)


@pytest.mark.evaluate
def test_the_figures_are_those_of_extraction_and_of_generation(task: WrittenAnswersTask) -> None:
    records = [question("who wrote it", "by ada lovelace", "ada lovelace", "lady ada"), question("when", "", "in may")]
    answers = [WrittenAnswer(None, "who wrote it", "Ada Lovelace.", 0.5), WrittenAnswer(None, "when", "may", 0.9)]
    scores = task.score(records, answers)
    assert (scores["examples"], scores["exact_match"]) == (2, 50.0)
    assert scores["f1"] == pytest.approx(100 * (1 + 2 / 3) / 2)
    assert scores["rouge1"] == pytest.approx(100 * (1 + 2 / 3) / 2, abs=1e-3)
    assert scores["groups"]["length of context"]["up to 250 characters"]["examples"] == 2
    assert [row["question"] for row in task.listing(records, answers).rows] == ["when"]
    without = task.score(records[1:], answers[1:])
    assert list(without["groups"]) == ["first word of question"]


@pytest.mark.evaluate
def test_chinese_is_counted_by_character(letters: Any) -> None:
    task = task_from_manifest({**MANIFEST, "languages": ["zh"]}, letters)
    scores = task.score([question("哪里", "他在北京市", "在北京市")], [WrittenAnswer(None, "哪里", "在北京市", 0.5)])
    assert scores["bleu"] == scores["f1"] == scores["rougeL"] == 100
    half = task.score([question("哪里", "他在北京市", "北京")], [WrittenAnswer(None, "哪里", "在北京市", 0.5)])
    assert (half["exact_match"], half["f1"]) == (0, pytest.approx(100 * 2 * 2 / 6))


def test_the_mode_chooses_the_task(letters: Any) -> None:
    extractive = {**MANIFEST, "stride": 4, "max_answer_tokens": 4, "max_windows": 4, "no_answer_threshold": None}
    for mode, kind in ((None, QuestionAnsweringTask), ("extractive", QuestionAnsweringTask),
                       ("generative", WrittenAnswersTask)):  # fmt: skip
        manifest = {name: value for name, value in extractive.items() if name != "mode"}
        manifest |= {"mode": mode} if mode else {}
        assert type(task_from_manifest(manifest, letters)) is kind
    with pytest.raises(
        UsageError, match="no_answer_threshold is not for a model of question_answering .mode generative., which takes"
    ):
        task_from_manifest(MANIFEST, letters, no_answer_threshold=0.5)
