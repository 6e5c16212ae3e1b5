from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from textapp.metrics.quality import (
    classification_scores,
    expected_calibration_error,
    multilabel_scores,
    worst_mistakes,
)


@pytest.mark.evaluate
def test_classification_scores_are_those_counted_by_hand() -> None:
    targets = ["a", "a", "a", "b"]
    predictions = ["a", "a", "b", "b"]
    probabilities = np.array([[0.95, 0.05], [0.95, 0.05], [0.45, 0.55], [0.05, 0.95]])
    scores = classification_scores(targets, predictions, ["a", "b"], probabilities)
    assert scores["examples"] == 4
    assert scores["accuracy"] == 75.0
    assert scores["per_class"] == {
        "a": {"precision": 100.0, "recall": 66.6667, "f1": 80.0, "examples": 3},
        "b": {"precision": 50.0, "recall": 100.0, "f1": 66.6667, "examples": 1},
    }
    assert scores["f1_macro"] == 73.3333
    assert scores["precision_macro"] == 75.0
    assert scores["recall_macro"] == 83.3333
    assert scores["confusion"] == [[2, 1], [0, 1]]
    assert scores["calibration_error"] == pytest.approx(100 * (3 * 0.05 + 0.55) / 4)


@pytest.mark.evaluate
def test_answers_and_targets_outside_the_labels_are_wrong() -> None:
    scores = classification_scores(["a", "b", "new"], ["unknown", "b", "b"], ["a", "b", "c"])
    assert scores["accuracy"] == 33.3333
    assert scores["confusion"] == [[0, 0, 0], [0, 1, 0], [0, 0, 0]]
    assert scores["f1_macro"] == 33.3333  # a: 0, b: 2/3; c stands nowhere and does not count
    assert "calibration_error" not in scores


@pytest.mark.evaluate
def test_multilabel_scores_are_those_counted_by_hand() -> None:
    targets = [["a", "b"], [], ["b"], ["b", "a"]]
    predictions = [["a"], [], ["b"], ["a", "b"]]
    probabilities = np.array([[0.9, 0.2], [0.1, 0.1], [0.1, 0.9], [0.9, 0.9]])
    scores = multilabel_scores(targets, predictions, ["a", "b", "c"], np.column_stack([probabilities, [0.1] * 4]))
    assert scores["accuracy"] == 75.0
    assert scores["per_class"]["b"] == {"precision": 100.0, "recall": 66.6667, "f1": 80.0, "examples": 3}
    assert scores["f1_macro"] == 90.0
    assert scores["f1_micro"] == 88.8889
    assert scores["calibration_error"] == pytest.approx(100 * (0.8 + 11 * 0.1) / 12, abs=1e-3)


def test_calibration_error_of_a_model_that_is_as_sure_as_it_is_right() -> None:
    right = np.array([True] * 9 + [False])
    assert expected_calibration_error(np.full(10, 0.9), right) == 0
    assert expected_calibration_error(np.array([0.9, 0.9]), np.array([True, False])) == 40.0
    # Errors in opposite directions do not cancel out when they fall into different bins.
    assert expected_calibration_error(np.array([0.6, 1.0]), np.array([True, False])) == 70.0


def test_worst_mistakes_are_the_surest_wrong_answers() -> None:
    records = [{"text": text, "label": "a"} for text in "wxyz"]
    answers = [
        SimpleNamespace(label=label, probability=p) for label, p in zip("babb", (0.6, 0.9, 0.8, 0.7), strict=True)
    ]
    assert worst_mistakes(records, answers, limit=2) == [
        {"text": "y", "label": "a", "predicted": "b", "probability": 0.8},
        {"text": "z", "label": "a", "predicted": "b", "probability": 0.7},
    ]


def test_worst_mistakes_compares_several_labels_as_a_set() -> None:
    records = [{"text": "x", "text_pair": "y", "label": ["a", "b"]}] * 2
    answers = [SimpleNamespace(label=["b", "a"], probability=0.9), SimpleNamespace(label=["a"], probability=0.9)]
    assert [mistake["predicted"] for mistake in worst_mistakes(records, answers)] == [["a"]]
    assert worst_mistakes(records, answers)[0]["text_pair"] == "y"


@pytest.mark.parametrize("predictions", [[], ["a", "b"]])
def test_lengths_that_differ_are_refused(predictions: list[str]) -> None:
    with pytest.raises(ValueError, match="expected as many answers as examples"):
        classification_scores(["a"], predictions, ["a"])
    with pytest.raises(ValueError, match="at least one, found 0 for 0"):
        multilabel_scores([], [], ["a"])
