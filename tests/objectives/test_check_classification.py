from __future__ import annotations

import numpy as np
import pytest
from toys import Letters

from textapp.errors import ExportError
from textapp.objectives.checks.classification import ClassificationCheck
from textapp.tasks.classification import ClassificationTask


class Model:
    """Gives the same answers to every ten records."""

    max_batch = 64

    def __init__(self, probabilities):
        self.probabilities = np.array(probabilities, np.float32)

    def run(self, signature, features):
        assert signature == "classify_4" and len(features["token_ids"]) == len(self.probabilities)
        return {"probabilities": self.probabilities}


def make_check(expected, max_drop=0.5, multiple=False, labels=None):
    """Ten records, all in one signature."""
    task = ClassificationTask(Letters(), ["a", "b"], [4], multiple=multiple)
    records = [{"text": "t", "label": label} for label in labels or ["a"] * 10]
    return ClassificationCheck(Model(expected), task, records, max_drop)


def judge(found, expected, quantize="dynamic", **settings):
    arrays = {"classify_4/probabilities": np.array(found, np.float32)}
    return make_check(expected, **settings).judge(arrays, "litert", quantize).report


SURE = [[0.9, 0.1]] * 10


def test_figures_of_a_small_difference():
    report = judge([[0.8, 0.2]] + SURE[1:], SURE)
    assert report["max_error"] == pytest.approx(0.1)
    assert (report["agreement"], report["accuracy"], report["accuracy_of_run"]) == (100, 100, 100)


def test_a_metric_drop_over_the_budget_is_refused():
    worse = [[0.4, 0.6]] + SURE[1:]
    with pytest.raises(ExportError, match=r"falls from 100.00 to 90.00, expected at most 5 points less"):
        judge(worse, SURE, max_drop=5)
    assert judge(worse, SURE, max_drop=10)["accuracy"] == 90


def test_what_was_not_quantized_is_held_to_every_probability():
    with pytest.raises(ExportError, match="differ from the model's by 0.0020, expected at most 0.001"):
        judge([[0.898, 0.102]] + SURE[1:], SURE, quantize="none")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_is_refused(value):
    with pytest.raises(ExportError, match="the outputs of the export in classify_4"):
        judge([[value, 0.1]] + SURE[1:], SURE)
    with pytest.raises(ExportError, match="the outputs of the Keras model in classify_4"):
        judge(SURE, [[value, 0.1]] + SURE[1:])


def test_an_equal_score_by_chance_is_no_agreement():
    swapped = [[0.1, 0.9]] * 10
    with pytest.raises(ExportError, match="agrees with the model on 0.00 %"):
        judge(swapped, SURE, labels=["a", "b"] * 5)


def test_several_labels_count_as_a_set():
    labels = [["a", "b"]] * 5 + [["a"]] * 5
    both, one = [[0.9, 0.8]] * 5, [[0.9, 0.1]] * 5
    assert judge(both + one, both + one, multiple=True, labels=labels)["accuracy"] == 100
    assert judge(one + one, one + one, multiple=True, labels=labels)["accuracy"] == 50
