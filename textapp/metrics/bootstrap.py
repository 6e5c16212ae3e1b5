"""Bootstrap intervals of figures of quality (Efron, 1979): how far chance in the choice of examples may move them.

An interval has 95 %: the 2.5th and the 97.5th percentile of the figure on 1,000 samples, drawn with replacement, of as
many examples. The samples are the same at every call. Fewer than 10 examples have no interval: they say too little
about all the others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

SAMPLES = 1000
FEWEST = 10  # examples that have an interval
BOUNDS = (2.5, 97.5)  # percentiles
_SEED = 7

Intervals = dict[str, list[float]]  # name of a figure -> [low, high]


def intervals(parts: np.ndarray, figures: Callable[[np.ndarray], Mapping[str, Any]]) -> Intervals:
    """The intervals of figures that depend on sums over the examples.

    Args:
        parts: `[examples, parts]`, what each example adds to the sums.
        figures: maps the sums of one sample, `[parts]`, to the figures.

    Returns:
        `{name: [low, high]}` in the units of the figures; empty if there are too few examples.

    Example:
        intervals(np.ones((10, 1)), lambda sums: {"mean": 10 * sums[0]})     # {"mean": [100.0, 100.0]}
    """
    count = len(parts)
    if count < FEWEST:
        return {}
    choice = np.random.default_rng(_SEED)
    rows = [figures(np.bincount(choice.integers(count, size=count), minlength=count) @ parts) for _ in range(SAMPLES)]
    return {name: bounds([row[name] for row in rows]) for name in rows[0]}


def mean_intervals(values: Mapping[str, Sequence[float] | np.ndarray]) -> Intervals:
    """The intervals, in percent, of means of values of each example.

    Args:
        values: name -> `[examples]`, 0 to 1.
    """
    columns = np.stack([np.asarray(each, float) for each in values.values()], axis=1)
    return intervals(columns, lambda sums: dict(zip(values, 100 * sums / len(columns), strict=True)))


def share_interval(percent: float, examples: int) -> list[float] | None:
    """The interval of a share of examples, in percent: all that it needs is their number.

    Args:
        percent: the share.
        examples: their number.

    Returns:
        `[low, high]`; None if there are too few examples.

    Example: `share_interval(50.0, 100)` is about `[40.0, 60.0]`.
    """
    if examples < FEWEST:
        return None
    drawn = np.random.default_rng(_SEED).binomial(examples, min(max(percent / 100, 0.0), 1.0), SAMPLES)
    return bounds(100 * drawn / examples)


def confusion_intervals(confusion: Sequence[Sequence[int]] | np.ndarray) -> Intervals:
    """The intervals of accuracy and macro F1 in percent, from a confusion matrix alone.

    A sample of examples is a sample of the cells that they are in.

    Args:
        confusion: counts, `[classes, classes]`: rows are true labels, columns predicted ones.

    Returns:
        `{"accuracy": [low, high], "f1_macro": [low, high]}`; empty if there are too few examples.
    """
    counts = np.asarray(confusion, dtype=np.int64)
    total, size = int(counts.sum()), len(counts)
    if total < FEWEST:
        return {}
    rows, columns = np.nonzero(counts)
    right = rows == columns
    rates: list[tuple[float, float]] = []
    for drawn in np.random.default_rng(_SEED).multinomial(total, counts[rows, columns] / total, SAMPLES):
        both = np.bincount(rows, drawn, size) + np.bincount(
            columns, drawn, size
        )  # twice the true positives, and errors
        hits = np.bincount(rows[right], drawn[right], size)
        seen = both > 0
        rates.append((100 * hits.sum() / total, 100 * float(np.mean(2 * hits[seen] / both[seen]))))
    accuracy, f1 = zip(*rates, strict=True)
    return {"accuracy": bounds(accuracy), "f1_macro": bounds(f1)}


def bounds(values: Sequence[float] | np.ndarray) -> list[float]:
    """The low and the high end of the interval of a figure, from its values on the samples."""
    low, high = np.percentile(values, BOUNDS)
    return [round(float(low), 4), round(float(high), 4)]
