"""Helpers for sequences and NumPy arrays: padding, filling up batches, choosing items evenly."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np

T = TypeVar("T")
IGNORED = -1  # a target without loss; not the padding id, which may equal the end id in a preset


def padded(rows: Iterable[list[int]], length: int, fill: int) -> np.ndarray:
    """Pads lists of at most `length` ids into one array `[rows, length]` int32.

    Args:
        rows: the ids of each row.
        length: columns of the array.
        fill: the padding id.

    Example: `padded([[5], [6, 7]], 3, 0)` is `[[5, 0, 0], [6, 7, 0]]`.
    """
    # One conversion of whole lists takes half the time of filling an array row by row.
    return np.array([row + [fill] * (length - len(row)) for row in rows], np.int32)


def truncated_and_padded(rows: Sequence[Sequence[int] | np.ndarray], length: int, fill: int) -> np.ndarray:
    """Truncates or pads lists or arrays of ids into one array `[rows, length]` int32.

    Args:
        rows: the ids of each row.
        length: columns of the array.
        fill: the padding id.

    Example: `truncated_and_padded([[5, 6], [7, 8, 9]], 2, 0)` is `[[5, 6], [7, 8]]`.
    """
    table = np.full((len(rows), length), fill, np.int32)
    for target, row in zip(table, rows, strict=True):
        target[: len(row)] = row[:length]
    return table


def filled_up(features: Mapping[str, np.ndarray], rows: int) -> dict[str, np.ndarray]:
    """Fills features up to `rows` rows with copies of the last row, for a call of fixed shape.

    Example: `filled_up({"token_ids": np.array([[5, 6]])}, 2)` is `{"token_ids": [[5, 6], [5, 6]]}`.
    """
    missing = rows - len(next(iter(features.values())))
    if not missing:
        return dict(features)
    return {
        name: np.concatenate([values, np.repeat(values[-1:], missing, axis=0)]) for name, values in features.items()
    }


def spread(items: Sequence[T], max_count: int) -> list[T]:
    """Chooses at most `max_count` items, evenly spread: files are often sorted by label.

    Example: `spread("abcdef", 3)` is `["a", "c", "e"]`.
    """
    count = min(max_count, len(items))
    return [items[index * len(items) // count] for index in range(count)]


def plain(value: Any) -> Any:
    """Converts a value to types that JSON has: NaN and infinities become None, NumPy numbers those of Python."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if hasattr(value, "tolist"):  # NumPy arrays and numbers
        return plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if value is None or isinstance(value, (str, int, float, bool)) else str(value)
