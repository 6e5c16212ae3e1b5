"""Questions and contexts to prompts of a language model, what it writes to answers, with a tokenizer of characters."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from toys import InPlace, Letters, random_chain

from textapp.catalog import task_from_manifest
from textapp.errors import DataError, UsageError
from textapp.predictors.generative import GenerativePredictor
from textapp.tasks.question_answering_decoder import PromptedAnswersTask, behind_mark, without_middle
from textapp.tasks.question_answering_generative import WrittenAnswersTask


class Printed(Letters):
    """A token a character, also those of the marks."""

    alphabet = "abcdefghijklmnopqrstuvwxyz QA:?\n"
    python_steps = ()
    vocabulary_size = 4 + len(alphabet)


MANIFEST = {
    "task": "question_answering", "mode": "generative", "role": "decoder", "languages": ["en"], "lengths": [48],
    "generate_lengths": [[32, 8], [40, 8]], "running_text": False,
}  # fmt: skip
START, END = 2, 3


@pytest.fixture
def task() -> PromptedAnswersTask:
    return task_from_manifest(MANIFEST, Printed())  # type: ignore[return-value,arg-type]


def prompt(text: str) -> dict[str, Any]:
    ids = [START, *Printed().ids(text)]
    return {"token_ids": ids, "num_tokens": len(ids)}


def question(text: str, context: str = "", answer: str = "") -> dict:
    return {"question": text, "context": context, "answers": [{"text": answer, "start": None}], "answer": answer}


def test_the_role_of_a_manifest_chooses_the_task() -> None:
    for role, kind in ((None, WrittenAnswersTask), ("encoder-decoder", WrittenAnswersTask),
                       ("decoder", PromptedAnswersTask)):  # fmt: skip
        manifest = {**MANIFEST, "role": role} if role else {k: v for k, v in MANIFEST.items() if k != "role"}
        assert type(task_from_manifest(manifest, Printed())) is kind  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="no_answer_threshold is not for a model of question_answering"):
        task_from_manifest(MANIFEST, Printed(), no_answer_threshold=0.5)  # type: ignore[arg-type]


def test_the_question_stands_behind_its_context(task: PromptedAnswersTask) -> None:
    assert task.features(question("who?", "ada")) == prompt("ada\nQuestion: who?\nAnswer:")
    for record in (question("who?"), question(" who?\n", " "), {"question": "who?"}):
        assert task.features(record) == prompt("Question: who?\nAnswer:")


def test_a_long_context_is_cut_before_the_question(task: PromptedAnswersTask, caplog) -> None:
    record = question("who?", "abc" * 20)
    with caplog.at_level(logging.WARNING, logger="textapp"):
        features = [task.features(record) for _ in range(2)]
    marks = "\nQuestion: who?\nAnswer:"
    assert features == [prompt(("abc" * 20)[: 39 - len(marks)] + marks)] * 2
    assert len(caplog.messages) == 1 and "has 84 tokens, but the model reads at most 40" in caplog.messages[0]
    strict = task_from_manifest(MANIFEST, task.tokenizer, overflow="error")
    with pytest.raises(DataError, match="has 84 tokens, but the model reads at most 40: shorten or split it"):
        strict.check(record)
    assert task.features(question("who?", "a word " * 150_000))["token_ids"][-len(marks) :] == Printed().ids(marks)


@pytest.mark.parametrize(
    ("ids", "kept", "length", "expected"),
    [
        ([2, 7, 8, 9, 5, 6], 2, 4, [2, 7, 5, 6]), ([2, 5, 6], 2, 3, [2, 5, 6]), ([2, 7, 5, 6], 2, 3, [2, 5, 6]),
        ([2, 5, 6, 7], 3, 3, [2, 6, 7]), ([2, 5], 1, 1, [2]),
    ],
)  # fmt: skip
def test_the_middle_is_left_out(ids: list[int], kept: int, length: int, expected: list[int]) -> None:
    assert without_middle(ids, kept, length) == expected


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (question(" ", "abc"), "the question is empty: expected a question"),
        (question("a" * 22), "the question has 40 tokens, expected at most 39: shorten it"),
        (question("a" * 13, "b" * 20), "the question has 32 tokens, expected at most 31: shorten it"),
    ],
)
def test_questions_that_cannot_be_answered(task: PromptedAnswersTask, record: dict, message: str) -> None:
    with pytest.raises(DataError, match=message):
        task.check(record)


@pytest.mark.parametrize("record", [question("a" * 21), question("a" * 12, "b" * 20), question("a" * 17, "bbb")])
def test_questions_that_just_fit(task: PromptedAnswersTask, record: dict) -> None:
    task.check(record)


def test_an_answer_is_the_first_line_that_is_written(task: PromptedAnswersTask) -> None:
    ids = Printed().ids
    for written, answer in ((" ada l ", "ada l"), ("\nada\nQuestion: what?", "ada"), (" \n", "")):
        outputs = {"token_ids": np.array([*ids(written), END, 9]), "score": np.log(np.float32(0.5))}
        found = task.answer({"id": "7", **question("who?", "ada")}, [outputs])
        assert (found.id, found.question, found.answer) == ("7", "who?", answer)
        assert found.score == pytest.approx(0.5)
    ranked = {"token_ids": np.array([[*ids("a"), END], [*ids("b"), END]]), "score": np.log([0.5, 0.25])}
    assert [each.answer for each in task.answer(question("who?"), [ranked]).alternatives] == ["a", "b"]
    assert task.answer(question(" "), [{"token_ids": np.array(ids("ada"))}]).line() == "-\t0.000\t"


def test_the_answer_alone_is_scored(task: PromptedAnswersTask) -> None:
    record = question("who?", "ada", "lady\n ada")
    prompted, answer = task.features(record)["token_ids"], [*Printed().ids(" lady ada"), END]
    (window,), characters = task.windows(3, record)
    assert (window.owner, window.source, characters) == (3, [], 9)
    assert window.read == [*prompted, *answer[:-1]] and window.targets[window.first :] == answer
    assert task.reference_ids(record) == answer and task.target_ids(record) == answer[:-1]
    (cut,), _ = task.windows(0, question("who?", "abc" * 20, "a" * 20))  # 40 tokens are read, and 48 is the context
    assert len(cut.read) == len(cut.targets) == 48 and cut.targets[cut.first :] == Printed().ids(" " + "a" * 8)


def test_a_tokenizer_that_joins_mark_and_answer() -> None:
    letters = Printed()
    assert behind_mark(letters, [1, 1, 1], "ada") == letters.ids(" ada")  # type: ignore[arg-type]


def test_decoding_options_and_streams_are_those_of_a_language_model() -> None:
    letters: Any = Printed()
    task = PromptedAnswersTask(letters, [48], [(32, 8), (40, 8)])
    chain = random_chain(2, Printed.vocabulary_size, InPlace, places=48, memory=False)
    chain.signatures = ("prefill_32", "prefill_40", "decode", "generate_32_8", "generate_40_8")
    predictor = GenerativePredictor(task, chain, {}, Path("bundle"))
    greedy = predictor(question="ab", context="c")
    assert greedy == predictor("ab", "c") == predictor.batch([("ab", "c")])[0] and len(greedy.answer) > 1
    assert "".join(predictor.stream("ab", "c")) == greedy.answer
    ranked = predictor("ab", "c", beam_size=3, num_hypotheses=2)
    assert ranked.alternatives[0].answer == ranked.answer and len(ranked.alternatives) == 2
    with pytest.raises(UsageError, match="is a model of question_answering, expected a language model"):
        predictor.chat([{"role": "user", "content": "ab"}])


@pytest.mark.evaluate
def test_the_figures(task: PromptedAnswersTask) -> None:
    records = [question("who", "by ada lovelace", "ada lovelace"), question("when", "", "in may")]
    found = [task.answer(record, [{"token_ids": np.array(Printed().ids(text))}])
             for record, text in zip(records, (" ada lovelace\nQuestion:", "may"), strict=True)]  # fmt: skip
    scores = task.score(records, found)
    assert (scores["examples"], scores["exact_match"]) == (2, 50.0)
    assert scores["f1"] == pytest.approx(100 * (1 + 2 / 3) / 2)
    assert scores["rougeL"] == pytest.approx(100 * (1 + 2 / 3) / 2, abs=1e-3)
    assert [row["question"] for row in task.listing(records, found).rows] == ["when"]
