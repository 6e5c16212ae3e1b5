"""Prompts to features, written ids to what continues them, with a tokenizer of letters."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pytest

from textapp.catalog import task_from_manifest
from textapp.errors import DataError
from textapp.tasks.generation import GenerationTask
from textapp.tasks.generative import TextAnswer

MANIFEST = {
    "task": "generation",
    "languages": ["en"],
    "lengths": [16],
    "generate_lengths": [[4, 12], [8, 8]],
    "running_text": False,
}


def make(letters: Any, running_text: bool = False, **options: Any) -> GenerationTask:
    task = task_from_manifest({**MANIFEST, "running_text": running_text}, letters, **options)
    assert isinstance(task, GenerationTask)
    return task


def test_documents_begin_with_the_start_id_and_running_text_does_not(letters: Any) -> None:
    assert make(letters).features({"prompt": "ab"}) == {"token_ids": [2, 4, 5], "num_tokens": 3}
    assert make(letters, running_text=True).features({"prompt": "ab"}) == {"token_ids": [4, 5], "num_tokens": 2}


def test_an_empty_prompt_begins_a_text(letters: Any) -> None:
    assert make(letters).features({"prompt": ""}) == {"token_ids": [2], "num_tokens": 1}
    # The letters have no line's end: what stands for it is unknown, but there.
    assert make(letters, running_text=True).features({"prompt": ""}) == {"token_ids": [1], "num_tokens": 1}


def test_of_a_prompt_too_long_the_end_is_kept(letters: Any, caplog: pytest.LogCaptureFixture) -> None:
    task = make(letters, running_text=True)
    with caplog.at_level(logging.WARNING, logger="textapp"):
        assert task.features({"prompt": "abcdefghij"}) == {"token_ids": letters.ids("cdefghij"), "num_tokens": 8}
    assert caplog.messages == ["'abcdefghij' has 10 tokens, but the model reads at most 8: truncated to its end"]
    with pytest.raises(DataError, match="has 10 tokens"):
        make(letters, running_text=True, overflow="error").features({"prompt": "abcdefghij"})


def test_a_target_has_its_prompt_in_front(letters: Any) -> None:
    assert make(letters).target_ids({"prompt": "ab", "text": "c"}) == [4, 5, 6]
    assert make(letters).target_ids({"text": "c"}) == [6]


def test_prompt_and_output_read_on(letters: Any) -> None:
    outputs = {"token_ids": np.array([*letters.ids(" cd"), 3, 0]), "score": np.array(-1.5)}
    assert make(letters).answer({"prompt": "ab"}, [outputs]) == TextAnswer("ab", " cd", -1.5)
    assert make(letters).answer({"prompt": ""}, [outputs]).output == "cd"


@pytest.mark.evaluate
def test_score_compares_with_the_data_where_they_continue_the_prompt(letters: Any) -> None:
    task = make(letters)
    answers = [TextAnswer("a", "the cat sat", -1.0), TextAnswer("b", "the cat sat", -1.0)]
    scores = task.score([{"prompt": "a", "text": "the cat sat"}, {"prompt": "b", "text": "the cat ran"}], answers)
    assert (scores["examples"], scores["rouge1"], scores["distinct_1"]) == (2, 83.3333, 50.0)
    assert "rouge1" not in task.score([{"prompt": "a"}, {"prompt": "b"}], answers)


def test_the_prompts_of_the_data_are_asked_as_they_are(letters: Any) -> None:
    records = [{"prompt": "a", "text": "b"}, {"text": "c"}]
    assert make(letters).queries(records, 1) == [{"prompt": "a", "text": "b"}, {"prompt": "", "text": "c"}]


def test_documents_are_asked_to_go_on_from_their_first_half(letters: Any) -> None:
    records = [{"text": "ab"}, {"text": " "}, {"text": "abcdefghij"}, {"text": "c"}]
    # The shortest signature reads four tokens, of which one is the start.
    assert make(letters).queries(records, 9) == [{"prompt": "a"}, {"prompt": "abc"}, {"prompt": "c"}]
    assert len(make(letters).queries([{"text": "abcd"}] * 9, 3)) == 3


def test_running_text_is_asked_evenly_from_starts_of_lines(letters: Any) -> None:
    text = "".join(f"{letter * 99}\n" for letter in "abcdefghij")
    queries = make(letters, running_text=True).queries([{"text": text}], 3)
    assert [query["prompt"] for query in queries] == ["aaa", "eee", "hhh"]
    assert make(letters, running_text=True).queries([{"text": "x" * 1000}], 2) == [{"prompt": "xxx"}] * 2
