"""Answers are slices of the original context, chosen over all windows."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from toys import Letters

from textapp.errors import ArtifactError, DataError, OptionError, UsageError
from textapp.export.options import golden_records
from textapp.predictors.predictor import Predictor
from textapp.tasks.question_answering import (
    END,
    START,
    Question,
    QuestionAnswer,
    QuestionAnsweringTask,
    answer_languages,
)
from textapp.text.template import Template
from textapp.text.training import train_tokenizer

MIDDLE = 3


class Reader(Letters):
    """Letters with a token between question and context."""

    template = Template(middle=(MIDDLE,))


class WithStart(Letters):
    """Letters as of BERT: a token before, between and after."""

    template = Template((2,), (MIDDLE,), (MIDDLE,))


def task_of(tokenizer=None, **changes) -> QuestionAnsweringTask:
    settings = {
        "lengths": [10, 14], "stride": 4, "max_answer_tokens": 5, "max_windows": 64, "language": "en",
    }  # fmt: skip
    return QuestionAnsweringTask(tokenizer or Reader(), **{**settings, **changes})


def outputs_of(task, record, spans, null=0.0, low=-9.0):
    """Logits as of a model: `spans` is `{window: (first, last, score)}` in tokens of the window."""
    found = []
    for number, request in enumerate(task.requests(record)):
        logits = np.full((2, request.length), low, np.float32)
        first = task.reading(record).first
        logits[:, task.null(first)] = (null[number] if isinstance(null, list) else null) / 2
        if number in spans:
            one, other, score = spans[number]
            logits[0, first + one] = logits[1, first + other] = score / 2
        found.append({START: logits[0], END: logits[1]})
    return found


def test_a_request_for_each_window() -> None:
    task = task_of()
    record = task.record("who", "abcdefghijklmno")
    requests = task.requests(record)
    # 14 less the question and the token between them leave 10 tokens for the context.
    assert [request.signature for request in requests] == ["answer_14", "answer_14", "answer_14"]
    assert task.reading(record).windows == [(0, 10), (4, 14), (8, 15)]
    ids = Letters().ids
    assert requests[1].features["token_ids"] == [*ids("who"), MIDDLE, *ids("efghijklmn")]
    assert requests[1].features["segment_ids"] == [0] * 4 + [1] * 10
    short = task.requests(task.record("who", "abc"))
    assert [(request.signature, len(request.features["token_ids"])) for request in short] == [("answer_10", 7)]


def test_special_tokens_of_a_preset() -> None:
    task = task_of(WithStart())
    (request,) = task.requests(task.record("who", "abc"))
    ids = Letters().ids
    assert request.features["token_ids"] == [2, *ids("who"), MIDDLE, *ids("abc"), MIDDLE]
    assert request.features["segment_ids"] == [0] * 5 + [1] * 4
    assert task.null(5) == 0 and task_of().null(4) == 3


@given(st.integers(0, 200), st.integers(1, 40), st.integers(1, 50), st.integers(1, 6))
def test_every_token_of_the_context_is_read(size: int, stride: int, length: int, question: int) -> None:
    task = task_of(lengths=[length + 16], stride=stride, max_windows=10_000)
    context = "".join(Letters.alphabet[place % 26] for place in range(size))
    record = task.record("q" * question, context)
    read = set()
    for request, (start, end) in zip(task.requests(record), task.reading(record).windows, strict=True):
        assert len(request.features["token_ids"]) <= request.length
        assert request.features["token_ids"][question + 1 :] == Letters().ids(context[start:end])
        read |= set(range(start, end))
    assert read == set(range(size))


def test_the_best_span_is_that_of_all_windows() -> None:
    task = task_of()
    record = task.record("who", "abcdefghijklmno")
    answer = task.answer(record, outputs_of(task, record, {0: (1, 2, 3.0), 1: (1, 3, 5.0), 2: (0, 0, 4.0)}))
    assert (answer.answer, answer.start, answer.end) == ("fgh", 5, 8)
    assert answer.score == pytest.approx(1 / (1 + np.exp(-5.0)))
    assert answer.question == "who" and answer.id is None and answer.alternatives == ()


def test_no_answer_scores_as_in_the_window_where_it_is_lowest() -> None:
    task = task_of(no_answer_threshold=0.6)
    record = task.record("who", "abcdefghijklmno")
    outputs = outputs_of(task, record, {1: (1, 3, 1.0)}, null=[6.0, 0.5, 7.0])
    assert task.answer(record, outputs).answer == "fgh"  # 1 - 0.5: a probability of 0.62
    assert task.answer(record, outputs).score == pytest.approx(1 / (1 + np.exp(-0.5)))
    refused = task.changed(no_answer_threshold=0.63).answer(record, outputs)
    assert (refused.answer, refused.start, refused.end) == ("", None, None)
    assert refused.score == pytest.approx(0.6225, abs=1e-4)
    assert task.changed(no_answer_threshold=None).answer(record, outputs).answer == "fgh"


def test_alternatives_are_different_texts_the_best_first() -> None:
    task = task_of(num_answers=3)
    record = task.record("who", "ab cdefghijklmno")
    outputs = outputs_of(task, record, {0: (0, 1, 4.0), 1: (0, 0, 3.0), 2: (1, 1, 2.0)}, low=-1.0)
    found = task.answer(record, outputs).alternatives
    assert [each.answer for each in found[:2]] == ["ab", "d"]
    assert len(found) == 3 and len({(each.start, each.end) for each in found}) == 3
    assert [each.score for each in found] == sorted((each.score for each in found), reverse=True)
    assert all(each.answer == record["context"][each.start : each.end] for each in found)


def test_a_span_of_blanks_is_no_answer() -> None:
    task = task_of(num_answers=2)
    record = task.record("who", "a  b")
    found = task.answer(record, outputs_of(task, record, {0: (1, 2, 9.0)}))
    assert all(each.answer.strip() for each in found.alternatives)
    assert found.answer == found.answer.strip() != ""


@given(st.integers(1, 40), st.integers(1, 6), st.integers(0, 10_000))
def test_no_span_ends_before_it_starts(size: int, max_tokens: int, seed: int) -> None:
    task = task_of(num_answers=20, max_answer_tokens=max_tokens)
    record = task.record("who", ("abcdefgh ij" * 4)[:size])
    random = np.random.default_rng(seed)
    # The end logits fall where the start logits rise, so that a free choice of both would cross.
    outputs = [
        {
            START: np.linspace(-5, 5, each.length) + random.normal(size=each.length),
            END: np.linspace(5, -5, each.length) + random.normal(size=each.length),
        }
        for each in task.requests(record)
    ]
    found = task.alternatives(record, outputs)
    assert found and all(0 <= each.start < each.end <= size for each in found)
    assert all(each.end - each.start <= max_tokens for each in found)  # a token is a letter


def test_no_more_windows_are_read_than_allowed(caplog) -> None:
    caplog.set_level(logging.WARNING, "textapp")
    task = task_of(max_windows=2)
    record = task.record("who", "abcdefghijklmno")
    assert len(task.requests(record)) == 2
    message = "a context of 15 tokens is read up to token 14, with 2 windows: textapp ask --documents FILE finds"
    assert message in caplog.text
    for _ in range(3):  # it is told once
        task.requests(task.record("why", "abcdefghijklmno"))
    assert caplog.text.count(message) == 1


def test_a_question_that_is_too_long(caplog) -> None:
    caplog.set_level(logging.WARNING, "textapp")
    task = task_of()  # 14 tokens less 1 between them less 8 for the context leave 5
    record = task.record("whowho", "abcdefghij")
    with pytest.raises(DataError, match="the question has 6 tokens, expected at most 5: shorten it"):
        task.check(record)
    requests = task.requests(record)
    assert "a question of 6 tokens is too long; its first 5 are read" in caplog.text
    assert requests[0].features["token_ids"] == [*Letters().ids("whowh"), MIDDLE, *Letters().ids("abcdefgh")]
    task.check(task.record("whowh", "abc"))


@pytest.mark.parametrize("field", ["question", "context"])
@pytest.mark.parametrize("text", ["", " \n\t\u3000"])
def test_empty_texts_are_refused(field: str, text: str) -> None:
    with pytest.raises(DataError, match=f"the {field} is empty"):
        task_of().check({"question": "who", "context": "ada", field: text})


@pytest.mark.parametrize(("question", "context"), [("who", ""), ("", "ada"), ("  ", "ada")])
def test_an_empty_question_or_context_has_no_answer(question: str, context: str) -> None:
    class Runner:
        max_batch, shareable = 1, False

        def run(self, *_):
            raise AssertionError("there is nothing to run")

    predictor = Predictor(task_of(), Runner(), {}, Path())
    for answer in (predictor(question, context), *predictor.batch([(question, context)])):
        assert (answer.answer, answer.start, answer.end, answer.score) == ("", None, None, 0.0)


def test_records() -> None:
    task = task_of()
    expected = {"question": "who", "context": "ada"}
    for record in (
        task.record("who", "ada"),
        task.record(("who", "ada")),
        task.record(expected),
        task.record(question="who", context="ada"),
    ):
        assert record == expected and isinstance(record, Question)
    assert task.record(record) is record  # so that its tokens are kept
    for wrong in (("who",), (1, "ada"), ({"question": "who"},)):
        with pytest.raises(UsageError, match="expected a question and its context"):
            task.record(*wrong)


@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan"), "0.5", True, [0.5]])
def test_a_threshold_is_a_probability(value: float) -> None:
    with pytest.raises(OptionError, match=r"no_answer_threshold: found .*, expected a number from 0 to 1"):
        task_of(no_answer_threshold=value)


@pytest.mark.parametrize("value", [0, 101, 1.5, True, "3"])
def test_a_number_of_answers(value: float) -> None:
    with pytest.raises(OptionError, match=r"num_answers: found .*, expected a whole number from 1 to 100"):
        task_of(num_answers=value)


def test_options_are_also_numbers_of_numpy() -> None:
    task = task_of(num_answers=np.int64(3), no_answer_threshold=np.float32(0.5))
    assert (task.num_answers, task.no_answer_threshold) == (3, 0.5)


def test_manifest() -> None:
    manifest = {
        "lengths": [16], "stride": 4, "max_answer_tokens": 3, "max_windows": 2, "languages": ["zh"],
        "no_answer_threshold": 0.25,
    }  # fmt: skip
    task = QuestionAnsweringTask.from_manifest(manifest, (Reader(), Reader()))
    assert (task.no_answer_threshold, task.num_answers, task.language) == (0.25, 1, "zh")
    other = QuestionAnsweringTask.from_manifest(manifest, (Reader(), Reader()), no_answer_threshold=0.5, num_answers=2)
    assert (other.no_answer_threshold, other.num_answers) == (0.5, 2)
    assert (other.changed(lengths=[8, 16]).signatures, other.num_answers) == ([("answer_8", 8), ("answer_16", 16)], 2)


def test_a_bundle_without_room_for_a_question_is_refused() -> None:
    manifest = {
        "lengths": [4, 9], "stride": 4, "max_answer_tokens": 3, "max_windows": 2, "languages": ["en"],
        "no_answer_threshold": None,
    }  # fmt: skip
    with pytest.raises(ArtifactError, match="manifest.json: lengths: found 9 as the longest, expected at least 10"):
        QuestionAnsweringTask.from_manifest(manifest, (Reader(), Reader()))
    assert QuestionAnsweringTask.from_manifest({**manifest, "lengths": [10]}, (Reader(),) * 2).max_question_tokens == 1


def test_an_end_before_its_start_is_never_answered() -> None:
    """The likeliest starts all stand behind the likeliest ends."""
    task = task_of(num_answers=5)
    record = task.record("who", "abcdef")
    first = task.reading(record).first
    logits = np.full((2, task.requests(record)[0].length), -9.0, np.float32)
    logits[0, first : first + 6] = [0, 1, 2, 6, 7, 8]
    logits[1, first : first + 6] = [8, 7, 6, 2, 1, 0]
    answer = task.answer(record, [{START: logits[0], END: logits[1]}])
    # Of all pairs in order the best are the single letters, with 8; `a` ... `f` reversed would have 16.
    assert [other.answer for other in answer.alternatives] == list("abcde")
    assert (answer.answer, answer.start, answer.end) == ("a", 0, 1)


def test_the_worst_answers_are_listed() -> None:
    task = task_of()
    records = [
        {"question": f"q{number}", "context": "ada", "answers": [{"text": text, "start": 0}] if text else []}
        for number, text in enumerate(["ada", "ada bee", "bee", ""])
    ]
    answers = [
        replace(task.answer(record, outputs_of(task, task.record(record), {0: (0, 2, score)})), answer=given)
        for record, given, score in zip(records, ["ada", "ada", "ada", "ada"], [0.0, 0.0, 1.0, 2.0], strict=True)
    ]
    listing = task.listing(records, answers)
    assert [(row["question"], row["expected"], row["answer"], row["f1"]) for row in listing.rows] == [
        ("q3", "-", "ada", 0.0), ("q2", "bee", "ada", 0.0), ("q1", "ada bee", "ada", 66.7),
    ]  # fmt: skip
    scores = task.score(records, answers)
    assert scores["groups"]["length of context"] == {
        "up to 250 characters": {"examples": 4, "exact_match": 25, "f1": pytest.approx(100 * (1 + 2 / 3) / 4)}
    }


@pytest.mark.parametrize(
    ("language", "context", "expected"),
    [
        ("en", "他住在巴黎。", "zh"), ("en", "He has lived for years in 北京.", "en"),
        ("en", "彼はパリに住んでいる。", "zh"),
        ("zh", "他住在巴黎。", "zh"), ("zh", "He lives in Paris.", "en"), ("zh", "他是 NBA 的 point guard。", "zh"),
        ("ja", "彼はパリに住んでいる。", "ja"), ("ja", "Er wohnt in Paris.", "en"), ("de", "Он живёт там.", "de"),
        ("de", "그는 파리에 산다.", "de"), ("zh", "1984", "zh"), ("en", "1984", "en"),
    ],
)  # fmt: skip
def test_answers_are_scored_in_the_language_of_their_context(language: str, context: str, expected: str) -> None:
    record = {"question": "?", "context": context, "answers": []}
    assert answer_languages([record], language) == [expected]
    assert answer_languages([{**record, "context": "", "question": context}], language) == [expected]


def test_a_model_of_one_language_is_scored_on_another() -> None:
    task = task_of()
    rows = [("在哪里？", "他住在北京市。", "北京市", "北京"), ("where?", "in the old town", "the old", "old town")]
    records = [
        {"question": question, "context": context, "answers": [{"text": right, "start": 0}]}
        for question, context, right, _ in rows
    ]
    answers = [QuestionAnswer(None, question, given, 0, 1, 0.5) for question, _, _, given in rows]
    # Of the characters 北京 are in 北京市: 2 * 2 / 5; of the words `old` is in both, `the` is left out: 2 / 3.
    scores = task.score(records, answers)
    assert scores["f1"] == pytest.approx(100 * (4 / 5 + 2 / 3) / 2) and scores["exact_match"] == 0
    assert [row["f1"] for row in task.listing(records, answers).rows] == [66.7, 80.0]


# --- offsets into the original text ---------------------------------------------------------------------------------

CLEANING = ("html", "urls", "full_width", "nfkc", "lowercase", "whitespace")
TEXTS = [
    "Ada Lovelace wrote it in 1843.",
    "人工智能是计算机科学的一个分支，由 John McCarthy 在1956年提出。",
    "👩‍👩‍👧 went to Zürich 🎉 with e\u0301clair and 🇨🇭 flags",
    "Ｆｕｌｌ－ｗｉｄｔｈ ｔｅｘｔ ①②③ ﬁne ㍿ ｶﾞｷﾞ",
    "<b>Bold</b> &amp; <i>italic</i> text, see https://example.org/a?b=c#d for &lt;more&gt; on it",
    "  two\n\nlines\tand\u3000blanks  ",
]


@pytest.fixture(scope="module", params=["bpe", "sentencepiece", "characters", "wordpiece"])
def tokenizer(request: pytest.FixtureRequest):
    return train_tokenizer(request.param, 300, TEXTS * 20, CLEANING)


@pytest.mark.parametrize("context", TEXTS)
def test_every_span_is_a_slice_of_the_context(tokenizer, context: str) -> None:
    task = task_of(tokenizer, lengths=[64], stride=16, max_answer_tokens=3, num_answers=100)
    record = task.record("who?", context)
    random = np.random.default_rng(3)
    outputs = [
        {START: random.normal(size=each.length), END: random.normal(size=each.length)} for each in task.requests(record)
    ]
    found = task.alternatives(record, outputs)
    assert found
    for each in found:
        assert each.answer == context[each.start : each.end] != ""
        assert each.answer == each.answer.strip()


@pytest.mark.parametrize(
    ("context", "first", "last", "whole_words", "expected"),
    [
        ("see the tower", 5, 8, True, "the tower"),
        ("see the tower", 5, 8, False, "he t"),
        ("rene\u0301 was", 0, 3, False, "rene\u0301"),
        ("in 18年", 3, 3, True, "18"),
    ],
)
def test_an_answer_is_not_cut(context: str, first: int, last: int, whole_words: bool, expected: str) -> None:
    task = task_of(Reader(), lengths=[40], whole_words=whole_words)
    record = task.record("who", context)
    offsets = task.reading(record).offsets
    starts = [index for index, (start, _) in enumerate(offsets) if start >= first]
    ends = [index for index, (_, end) in enumerate(offsets) if end > last]
    answer = task.answer(record, outputs_of(task, record, {0: (starts[0], ends[0], 8.0)}))
    assert answer.answer == context[answer.start : answer.end] == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("who", "found text 2, 'who', expected question and context with a tab between them"),
        ("who\tme\tyou", r"found text 2, 'who\\tme\\tyou', expected question and context"),
        ("\tme", r"found text 2, '\\tme', which has no answer: "),
    ],
)
def test_golden_texts_that_are_no_question_with_a_context(text, message):
    assert [dict(each) for each in golden_records(task_of(), ["who\tme"])] == [{"question": "who", "context": "me"}]
    with pytest.raises(UsageError, match=f"--golden: {message}"):
        golden_records(task_of(), ["who\tme", text])
