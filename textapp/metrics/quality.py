"""Quality metrics of classification, in percent, computed by scikit-learn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from textapp.errors import require
from textapp.metrics.bootstrap import Intervals, confusion_intervals, intervals

CALIBRATION_BINS = 15


def classification_scores(
    targets: Sequence[str],
    predictions: Sequence[str],
    labels: Sequence[str],
    probabilities: np.ndarray | None = None,
) -> dict[str, Any]:
    """Scores single-label classification.

    Args:
        targets: the true label of each example. One that is not in `labels` counts as wrong.
        predictions: the predicted label of each example. One that is not in `labels`, such as `unknown`, is wrong.
        labels: all labels, in the order of the model's outputs.
        probabilities: `[examples, labels]`, 0 to 1; None: no calibration error.

    Returns:
        `examples`, then in percent `accuracy`, `f1_macro`, `precision_macro`, `recall_macro` (means over the labels
        that occur in targets or predictions), `per_class` {label: {precision, recall, f1, examples}}, `confusion`
        (counts: rows are true labels, columns predicted ones), `calibration_error`.

    Raises:
        ValueError: there are no examples, or not as many predictions as targets.
        UsageError: scikit-learn is not installed.

    Example:
        classification_scores(["a", "a", "b"], ["a", "b", "b"], ["a", "b"])["accuracy"] == 66.6667
    """
    _check_lengths(targets, predictions)
    metrics = require("sklearn.metrics", "evaluate")
    labels = list(labels)
    parts = metrics.precision_recall_fscore_support(targets, predictions, labels=labels, zero_division=0)
    right = [target == prediction for target, prediction in zip(targets, predictions, strict=True)]
    return {
        "examples": len(targets),
        "accuracy": _percent(np.mean(right)),
        **_macro(parts, [label in {*targets, *predictions} for label in labels]),
        "per_class": _per_class(labels, parts),
        "confusion": _confusion(targets, predictions, labels),
        **({} if probabilities is None else {"calibration_error": calibration_error(targets, labels, probabilities)}),
    }


def multilabel_scores(
    targets: Sequence[Sequence[str]],
    predictions: Sequence[Sequence[str]],
    labels: Sequence[str],
    probabilities: np.ndarray | None = None,
) -> dict[str, Any]:
    """Scores multi-label classification.

    Args:
        targets: the true labels of each example, in any order, possibly none.
        predictions: the predicted labels of each example.
        labels: all labels, in the order of the model's outputs.
        probabilities: `[examples, labels]`, independent for each label; None: no calibration error.

    Returns:
        `examples`, then in percent `accuracy` (all labels of an example are right), `f1_macro`, `precision_macro`,
        `recall_macro`, `f1_micro`, `per_class`, and `calibration_error` over every decision about one label.

    Raises:
        ValueError: there are no examples, or not as many predictions as targets.
        UsageError: scikit-learn is not installed.

    Example:
        multilabel_scores([["a", "b"], []], [["a"], []], ["a", "b"])["accuracy"] == 50.0
    """
    _check_lengths(targets, predictions)
    metrics = require("sklearn.metrics", "evaluate")
    labels = list(labels)
    truth = np.array([[label in target for label in labels] for target in targets], dtype=int)
    answer = np.array([[label in prediction for label in labels] for prediction in predictions], dtype=int)
    parts = metrics.precision_recall_fscore_support(truth, answer, average=None, zero_division=0)
    right = [set(target) == set(prediction) for target, prediction in zip(targets, predictions, strict=True)]
    scores = {
        "examples": len(targets),
        "accuracy": _percent(np.mean(right)),
        **_macro(parts, list((truth + answer).any(axis=0))),
        "f1_micro": _percent(metrics.f1_score(truth, answer, average="micro", zero_division=0)),
        "per_class": _per_class(labels, parts),
    }
    if probabilities is not None:
        confidence = np.maximum(probabilities, 1 - probabilities).ravel()
        scores["calibration_error"] = expected_calibration_error(confidence, ((probabilities >= 0.5) == truth).ravel())
    return scores


def classification_intervals(targets: Sequence[str], predictions: Sequence[str], labels: Sequence[str]) -> Intervals:
    """The bootstrap intervals of `accuracy` and `f1_macro` of `classification_scores`, in percent.

    Args:
        targets, predictions, labels: as there.
    """
    _check_lengths(targets, predictions)
    known = [*labels, *sorted({*targets, *predictions} - {*labels})]
    found = confusion_intervals(_confusion(targets, predictions, known))
    if len(known) > len(labels):  # whose F1 counts over the labels of the model alone
        found.pop("f1_macro", None)
    return found


def multilabel_intervals(
    targets: Sequence[Sequence[str]], predictions: Sequence[Sequence[str]], labels: Sequence[str]
) -> Intervals:
    """The bootstrap intervals of `accuracy` and `f1_macro` of `multilabel_scores`, in percent.

    Args:
        targets, predictions, labels: as there.
    """
    _check_lengths(targets, predictions)
    truth = np.array([[label in target for label in labels] for target in targets], dtype=float)
    answer = np.array([[label in prediction for label in labels] for prediction in predictions], dtype=float)
    right = [[set(target) == set(prediction)] for target, prediction in zip(targets, predictions, strict=True)]
    size = len(labels)

    def figures(sums: np.ndarray) -> dict[str, float]:
        hits, both = sums[1 : 1 + size], sums[1 + size :]
        seen = both > 0
        f1 = float(np.mean(2 * hits[seen] / both[seen])) if seen.any() else 0.0
        return {"accuracy": 100 * sums[0] / len(targets), "f1_macro": 100 * f1}

    return intervals(np.hstack([np.array(right, dtype=float), truth * answer, truth + answer]), figures)


def calibration_error(targets: Sequence[str], labels: Sequence[str], probabilities: np.ndarray) -> float:
    """The expected calibration error, in percent, of the most probable label of each example.

    Args:
        targets: the true label of each example.
        labels: all labels, in the order of the columns of `probabilities`.
        probabilities: `[examples, labels]`, 0 to 1.
    """
    predicted = [labels[best] for best in probabilities.argmax(axis=1)]
    right = np.array([target == label for target, label in zip(targets, predicted, strict=True)])
    return expected_calibration_error(probabilities.max(axis=1), right)


def expected_calibration_error(confidence: np.ndarray, right: np.ndarray, bins: int = CALIBRATION_BINS) -> float:
    """The mean difference between confidence and accuracy (Guo et al., 2017), in percent.

    Args:
        confidence: `[examples]`, 0 to 1.
        right: `[examples]`, whether each answer is correct.
        bins: number of bins of equal width; each is weighted by its number of examples.

    Example:
        expected_calibration_error(np.array([0.9, 0.9]), np.array([True, False])) == 40.0
    """
    indices = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    gaps = np.bincount(indices, weights=confidence - right, minlength=bins)
    return _percent(np.abs(gaps).sum() / len(confidence))


def worst_mistakes(
    records: Sequence[Mapping[str, Any]], answers: Sequence[Any], limit: int = 20
) -> list[dict[str, Any]]:
    """The wrong answers with the highest probability.

    Args:
        records: with `text` and `label`, and `text_pair` for pairs.
        answers: as many as records, each with `label` and `probability`.
        limit: maximum number to return.

    Returns:
        Dicts of text (and text_pair), label, predicted and probability, the most probable first.

    Raises:
        ValueError: there are no records, or not as many answers as records.
    """
    _check_lengths(records, answers)
    mistakes = [
        {
            **{field: record[field] for field in ("text", "text_pair", "label") if field in record},
            "predicted": answer.label,
            "probability": round(float(answer.probability), 4),
        }
        for record, answer in zip(records, answers, strict=True)
        if _as_set(record["label"]) != _as_set(answer.label)
    ]
    return sorted(mistakes, key=lambda mistake: -mistake["probability"])[:limit]


def _as_set(label: str | Sequence[str]) -> set[str]:
    return {label} if isinstance(label, str) else set(label)


def _confusion(targets: Sequence[str], predictions: Sequence[str], labels: Sequence[str]) -> list[list[int]]:
    indices = {label: index for index, label in enumerate(labels)}
    counts = np.zeros((len(labels), len(labels)), dtype=int)
    for target, prediction in zip(targets, predictions, strict=True):
        if target in indices and prediction in indices:
            counts[indices[target], indices[prediction]] += 1
    return counts.tolist()


def _macro(parts: Sequence[np.ndarray], seen: Sequence[bool]) -> dict[str, float]:
    chosen = np.flatnonzero(seen)
    means = [float(part[chosen].mean()) if len(chosen) else 0.0 for part in parts[:3]]
    return {
        name: _percent(means[index]) for name, index in (("f1_macro", 2), ("precision_macro", 0), ("recall_macro", 1))
    }


def _per_class(labels: Sequence[str], parts: Sequence[np.ndarray]) -> dict[str, dict[str, float]]:
    return {
        label: {
            "precision": _percent(precision),
            "recall": _percent(recall),
            "f1": _percent(f1),
            "examples": int(count),
        }
        for label, precision, recall, f1, count in zip(labels, *parts, strict=True)
    }


def _percent(share: float | np.floating) -> float:
    return round(100 * float(share), 4)


def _check_lengths(targets: Sequence[Any], answers: Sequence[Any]) -> None:
    if not len(targets) or len(targets) != len(answers):
        raise ValueError(
            f"expected as many answers as examples and at least one, found {len(answers)} for {len(targets)}"
        )
