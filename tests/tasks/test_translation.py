"""Sources to features, written ids to answers, with a tokenizer of letters."""

from __future__ import annotations

import logging
from dataclasses import asdict
from typing import Any

import numpy as np
import pytest

from textapp.catalog import task_from_manifest
from textapp.errors import DataError, UsageError
from textapp.tasks.generative import RankedAnswer, TextAnswer
from textapp.tasks.translation import TranslationTask
from textapp.text.template import Template

MANIFEST = {
    "task": "translation",
    "languages": ["zh", "en"],
    "lengths": [4, 8],
    "generate_lengths": [[4, 6], [8, 12]],
}
GREEDY = {"token_ids": np.array([4, 5, 3, 6, 0, 0]), "num_tokens": np.array(3), "score": np.array(-0.5, np.float32)}


@pytest.fixture
def task(letters: Any) -> TranslationTask:
    return task_from_manifest(MANIFEST, (letters, letters))  # type: ignore[return-value]


def test_a_source_ends_with_the_end_id(task: TranslationTask) -> None:
    assert task.features({"source": "ab"}) == {"token_ids": [4, 5, 3]}
    assert task.features({"source": ""}) == {"token_ids": [3]}
    assert task.target_ids({"source": "x", "target": "ba"}) == [5, 4]


def test_a_preset_may_start_sources_and_targets(letters: Any) -> None:
    """As BART's: `<s> ... </s>`, whose start the decoder writes too."""
    letters.template, letters.start_id = Template((2,), (), (3,)), 3
    task = task_from_manifest(MANIFEST, (letters, letters))
    assert task.features({"source": "ab"}) == {"token_ids": [2, 4, 5, 3]}
    assert task.features({"source": "abcdefghi"}) == {"token_ids": [2, 4, 5, 6, 7, 8, 9, 3]}
    assert (task.start_id, task.target_ids({"source": "x", "target": "ba"})) == (3, [2, 5, 4])
    assert task.decode([2, 5, 4, 3, 0]) == "ba"


@pytest.mark.parametrize(("tokens", "read", "new"), [(1, 4, 6), (4, 4, 6), (5, 8, 12), (99, 8, 12)])
def test_the_smallest_signature_that_fits(task: TranslationTask, tokens: int, read: int, new: int) -> None:
    assert task.signature(tokens) == (f"generate_{read}_{new}", read)
    assert task.prefill(tokens) == (f"prefill_{read}", read)


def test_a_source_too_long_is_cut_with_one_warning(task: TranslationTask, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="textapp"):
        features = [task.features({"source": "abcdefgh"}) for _ in range(2)]
    assert features[0] == features[1] == {"token_ids": [4, 5, 6, 7, 8, 9, 10, 3]}
    assert [record.message for record in caplog.records] == [
        "'abcdefgh' has 9 tokens, but the model reads at most 8: truncated to its start"
    ]


def test_many_sources_too_long_are_told_of_and_not_one_by_one(task: TranslationTask, caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.WARNING, logger="textapp"):
        for number in range(100):
            task.features({"source": f"abcdefgh{number}"})
        assert len(caplog.messages) == 21
        assert caplog.messages[-1] == "further warnings about texts that are too long are suppressed"
        task.features({"source": "我们"})
    assert "another script" in caplog.messages[-1]


def test_or_refused(letters: Any) -> None:
    task = task_from_manifest(MANIFEST, (letters, letters), overflow="error")
    assert len(task.features({"source": "abcdefg"})["token_ids"]) == 8
    with pytest.raises(DataError, match="'abcdefgh' has 9 tokens, but the model reads at most 8: shorten or split"):
        task.features({"source": "abcdefgh"})


def test_an_overflow_that_is_neither_is_named(letters: Any) -> None:
    with pytest.raises(UsageError, match="found 'drop', expected one of truncate, error"):
        task_from_manifest(MANIFEST, letters, overflow="drop")


def test_an_option_of_another_task_is_refused(letters: Any) -> None:
    assert task_from_manifest(MANIFEST, letters, threshold=None).name == "translation"
    with pytest.raises(UsageError, match="threshold is not for a model of translation, which takes overflow"):
        task_from_manifest(MANIFEST, letters, threshold=0.5)


def test_an_answer_stops_at_the_end_id(task: TranslationTask) -> None:
    answer = task.answer({"source": "xy"}, [GREEDY])
    assert answer == TextAnswer("xy", "ab", -0.5)
    assert list(asdict(answer)) == ["input", "output", "score"]
    assert task.answer({"source": "xy"}, [{"token_ids": np.array([4, 5])}]) == TextAnswer("xy", "ab", None)


def test_several_hypotheses_are_ranked(task: TranslationTask) -> None:
    outputs = {"token_ids": np.array([[4, 3, 0], [5, 5, 3]]), "score": np.array([-0.5, -1.0])}
    ranked = [{"output": "a", "score": -0.5}, {"output": "bb", "score": -1.0}]
    assert task.answer({"source": "xy"}, [outputs]) == RankedAnswer("xy", "a", -0.5, ranked)


def test_blanks_translate_to_nothing(task: TranslationTask) -> None:
    assert task.answer({"source": " "}, [GREEDY]) == TextAnswer(" ", "", None)
    several = {"token_ids": GREEDY["token_ids"][None], "score": np.array([-0.5])}
    assert task.answer({"source": ""}, [several]) == RankedAnswer("", "", None, [])


@pytest.mark.evaluate
def test_equal_translations_score_100(task: TranslationTask) -> None:
    records = [{"source": "x", "target": "the cat sat on the mat"}]
    scores = task.score(records, [TextAnswer("x", "the cat sat on the mat", -1.0)])
    assert (scores["examples"], scores["bleu"], scores["chrf"]) == (1, 100.0, 100.0)


def test_a_text_in_an_unknown_script_is_answered_with_a_warning(task, caplog) -> None:
    for _ in range(2):
        task.features({"source": "今天天气 a"})
    task.features({"source": "a cab 今"})
    task.features({"source": ""})
    assert caplog.messages == [
        "'今天天气 a' consists mostly of characters that the model does not know: is it in another script?"
    ]
