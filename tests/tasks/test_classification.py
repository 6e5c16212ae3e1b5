"""Records to requests and outputs to answers, with a tokenizer of letters."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from textapp.catalog import task_from_manifest
from textapp.errors import ArtifactError
from textapp.tasks.classification import UNKNOWN, ClassificationTask
from textapp.text.template import Template


class Letters:
    """One token a letter: a is 4, b is 5, ..."""

    kind, vocabulary_size, pad_id, unknown_id = "letters", 30, 0, 1
    _template = Template(middle=(3,))

    def ids(self, text: str) -> list[int]:
        return [ord(letter) - ord("a") + 4 for letter in text]

    def join(self, ids: list[int], pair: list[int] | None, length: int) -> tuple[list[int], list[int]]:
        return self._template.join(ids, pair, length)


def make(**options: object) -> ClassificationTask:
    return ClassificationTask(Letters(), ["bad", "good"], [4, 8], **options)


def outputs(*values: float) -> list[dict[str, np.ndarray]]:
    return [{"probabilities": np.array(values, np.float32)}]


def test_features_are_cut_to_the_longest_bucket_and_never_empty() -> None:
    task = make()
    assert task.features({"text": "ab"}) == {"token_ids": [4, 5]}
    assert len(task.features({"text": "a" * 50})["token_ids"]) == 8
    assert task.features({"text": ""}) == {"token_ids": [1]}


def test_a_pair_is_joined_with_its_segments() -> None:
    record = {"text": "a", "text_pair": "b"}
    assert make(pair=True).features(record) == {"token_ids": [4, 3, 5]}
    assert make(pair=True, segments=True).features(record) == {"token_ids": [4, 3, 5], "segment_ids": [0, 0, 1]}


@pytest.mark.parametrize(("tokens", "expected"), [(1, 4), (4, 4), (5, 8), (9, 8)])
def test_the_smallest_signature_that_fits(tokens: int, expected: int) -> None:
    (request,) = make().requests({"text": "a" * tokens})
    assert request[:2] == (f"classify_{expected}", expected)


def test_the_likeliest_label_is_answered() -> None:
    answer = make().answer({"text": "x"}, outputs(0.25, 0.75))
    assert (answer.input, answer.label, answer.probability) == ("x", "good", 0.75)
    assert answer.probabilities == {"bad": 0.25, "good": 0.75}


def test_below_the_threshold_the_answer_is_unknown() -> None:
    task = make(threshold=0.8)
    assert task.answer({"text": "x"}, outputs(0.25, 0.75)).label == UNKNOWN
    assert task.answer({"text": "x"}, outputs(0.1, 0.9)).label == "good"


def test_several_labels_or_none() -> None:
    task = make(multiple=True)
    assert task.answer({"text": "x"}, outputs(0.6, 0.7)).label == ["bad", "good"]
    assert task.answer({"text": "x"}, outputs(0.1, 0.2)).label == []
    assert make(multiple=True, threshold=0.15).answer({"text": "x"}, outputs(0.1, 0.2)).label == ["good"]
    assert task.target({"label": ["good"]}) == [0.0, 1.0]


@pytest.mark.evaluate
def test_score_counts_right_answers() -> None:
    task = make()
    records = [{"text": "x", "label": "good"}, {"text": "y", "label": "bad"}]
    answers = [task.answer(record, outputs(0.2, 0.8)) for record in records]
    assert task.score(records, answers)["accuracy"] == 50.0


def test_an_unknown_task_says_so() -> None:
    with pytest.raises(ArtifactError, match="'poetry'"):
        task_from_manifest({"task": "poetry"}, Letters())


@pytest.mark.parametrize("probabilities", [[0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7], [0.9]])
def test_a_model_with_other_outputs_than_labels(letters: Any, probabilities: list[float]) -> None:
    manifest = {"task": "classification", "labels": ["a", "b", "c"], "lengths": [4], "multiple": False,
                "inputs": ["text"], "features": ["token_ids"]}  # fmt: skip
    task = task_from_manifest(manifest, letters)
    with pytest.raises(ArtifactError, match=f"the model has {len(probabilities)} outputs, expected one for each of 3"):
        task.answer({"text": "a"}, [{"probabilities": np.array(probabilities, np.float32)}])
