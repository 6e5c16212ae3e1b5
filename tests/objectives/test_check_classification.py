from __future__ import annotations

import numpy as np
import pytest

from textapp.errors import ExportError
from textapp.objectives.checks.classification import compare
from textapp.objectives.checks.examples import Examples
from textapp.tasks.classification import ClassificationTask


def judge(found, expected, max_drop=0.5, exact=False, multiple=False, labels=None):
    """Compares answers to ten records, all in one signature."""
    task = ClassificationTask(None, ["a", "b"], [4], multiple=multiple)
    records = [{"text": "t", "label": label} for label in labels or ["a"] * 10]
    examples = Examples(records, {}, {"classify_4": list(range(10))})
    outputs = [{"classify_4": np.array(rows, np.float32)} for rows in (found, expected)]
    return compare(*outputs, task, examples, max_drop, exact)


SURE = [[0.9, 0.1]] * 10


def test_figures_of_a_small_difference():
    report = judge([[0.8, 0.2]] + SURE[1:], SURE)
    assert report["max_error"] == pytest.approx(0.1)
    assert (report["agreement"], report["accuracy"], report["accuracy_of_run"]) == (100, 100, 100)


def test_a_metric_drop_over_the_budget_is_refused():
    worse = [[0.4, 0.6]] + SURE[1:]
    with pytest.raises(ExportError, match=r"falls from 100.00 to 90.00, more than the 5 points allowed"):
        judge(worse, SURE, max_drop=5)
    assert judge(worse, SURE, max_drop=10)["accuracy"] == 90


def test_what_was_not_quantized_is_held_to_every_probability():
    with pytest.raises(ExportError, match="differ from the model's by 0.0020, at most 0.001"):
        judge([[0.898, 0.102]] + SURE[1:], SURE, exact=True)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_is_refused(value):
    with pytest.raises(ExportError, match="the export's answers in classify_4"):
        judge([[value, 0.1]] + SURE[1:], SURE)
    with pytest.raises(ExportError, match="the Keras model's own answers in classify_4"):
        judge(SURE, [[value, 0.1]] + SURE[1:])


def test_an_equal_score_by_chance_is_no_agreement():
    swapped = [[0.1, 0.9]] * 10
    with pytest.raises(ExportError, match="as the model does for only 0.00 %"):
        judge(swapped, SURE, labels=["a", "b"] * 5)


def test_several_labels_count_as_a_set():
    labels = [["a", "b"]] * 5 + [["a"]] * 5
    both, one = [[0.9, 0.8]] * 5, [[0.9, 0.1]] * 5
    assert judge(both + one, both + one, multiple=True, labels=labels)["accuracy"] == 100
    assert judge(one + one, one + one, multiple=True, labels=labels)["accuracy"] == 50
