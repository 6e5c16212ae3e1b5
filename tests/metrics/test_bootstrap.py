from __future__ import annotations

import numpy as np
import pytest

from textapp.metrics.bootstrap import confusion_intervals, intervals, mean_intervals, share_interval
from textapp.metrics.generation import perplexity_intervals
from textapp.metrics.quality import classification_intervals, multilabel_intervals
from textapp.metrics.question_answering import answer_intervals


def test_the_interval_of_a_share_is_that_of_the_normal_approximation() -> None:
    low, high = share_interval(80.0, 400)
    assert (low, high) == pytest.approx((80 - 1.96 * 2.0, 80 + 1.96 * 2.0), abs=0.5)  # standard error: sqrt(.16 / 400)
    assert share_interval(100.0, 50) == [100.0, 100.0]


def test_all_ways_to_the_interval_of_accuracy_agree() -> None:
    targets = ["a"] * 200 + ["b"] * 200
    predictions = ["a"] * 150 + ["b"] * 50 + ["b"] * 170 + ["a"] * 30
    from_counts = confusion_intervals([[150, 50], [30, 170]])
    from_answers = classification_intervals(targets, predictions, ["a", "b"])
    right = np.array([one == other for one, other in zip(targets, predictions, strict=True)])
    assert from_answers == from_counts
    assert from_counts["accuracy"] == pytest.approx(share_interval(80.0, 400), abs=0.5)
    assert from_counts["accuracy"] == pytest.approx(mean_intervals({"right": right})["right"], abs=0.5)
    assert from_counts["accuracy"][0] < 80 < from_counts["accuracy"][1]
    one_each = multilabel_intervals([[each] for each in targets], [[each] for each in predictions], ["a", "b"])
    assert one_each["f1_macro"] == pytest.approx(from_counts["f1_macro"], abs=0.6)


def test_a_label_that_the_model_lacks_leaves_macro_f1_without_an_interval() -> None:
    found = classification_intervals(["a", "b", "new"] * 5, ["a", "b", "b"] * 5, ["a", "b"])
    assert set(found) == {"accuracy"} and found["accuracy"][0] < 66.7 < found["accuracy"][1]


def test_too_few_examples_have_no_interval() -> None:
    assert share_interval(50.0, 9) is None
    assert confusion_intervals([[4, 1], [0, 4]]) == {}
    assert intervals(np.ones((9, 1)), lambda sums: {"mean": sums[0]}) == {}


def test_perplexity_has_the_interval_of_its_texts() -> None:
    same = perplexity_intervals([(-6.0, 3, 12)] * 20)
    assert same["loss"] == [2.0, 2.0] and same["perplexity"] == [7.3891, 7.3891]
    low, high = perplexity_intervals([(-2.0, 2, 8), (-6.0, 2, 8)] * 50)["loss"]
    assert (low, high) == pytest.approx((2 - 0.196, 2 + 0.196), abs=0.05)  # standard error: 1 / sqrt(100)


def test_answers_to_questions_have_intervals() -> None:
    found = answer_intervals(["red", "blue"] * 50, [["red"], ["green"]] * 50)
    assert found["exact_match"] == found["f1"] == pytest.approx([40.0, 60.0], abs=2)


@pytest.mark.evaluate
def test_translations_have_intervals_around_their_scores() -> None:
    from textapp.metrics.translation import translation_intervals, translation_scores

    targets = ["the cat sat on the mat", "it rains a lot here"] * 10
    outputs = ["the cat sat on the mat", "it snows a lot there"] * 10
    scores = translation_scores(targets, targets, outputs)
    for name, (low, high) in translation_intervals(outputs, [[each] for each in targets]).items():
        assert low < scores[name] < high
