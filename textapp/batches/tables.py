"""Rows of examples, gathered and padded by their indices: from flat tensors in memory, or from shards on disk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
import tensorflow as tf

from textapp.batches.buckets import FILL
from textapp.records.cache import lengths_of
from textapp.records.shards import ManyLabels, ShardColumn


class Table(Protocol):
    """Several columns of rows of integers."""

    def gather(self, rows: tf.Tensor, lengths: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Rows of each column, padded or truncated.

        Args:
            rows: indices `[rows]`.
            lengths: of the result, for each column.

        Returns:
            int32 `[rows, length]` for each column.
        """


def make_table(columns: Mapping[str, Sequence[np.ndarray]], fills: Mapping[str, int]) -> Table:
    """A table of the kind that suits the rows; columns on disk are of the same examples.

    Args:
        columns: name -> rows, int32 `[tokens]` each.
        fills: name -> the padding value.
    """
    stored = {name: rows for name, rows in columns.items() if isinstance(rows, ShardColumn)}
    if len(stored) == len(columns):
        return _StoredTable(stored, fills)
    return _FlatTable({name: FlatRows(rows, fills[name]) for name, rows in columns.items()})


class FlatRows:
    """Rows of different lengths in one flat tensor, so that TensorFlow gathers and pads batches without Python.

    Args:
        rows: int32 arrays `[tokens]`.
        fill: the padding value.
    """

    def __init__(self, rows: Sequence[np.ndarray], fill: int) -> None:
        self._starts = starts_of(lengths_of(rows))
        self._flat = tf.constant(np.concatenate([np.asarray(row, np.int32) for row in rows]))
        self._fill = fill

    def padded(self, rows: tf.Tensor, length: tf.Tensor) -> tf.Tensor:
        """Gathers rows by their indices `[rows]`, padded or truncated: int32 `[rows, length]`."""
        positions = positions_of(self._starts, rows, length)
        return tf.where(positions < 0, self._fill, tf.gather(self._flat, tf.maximum(positions, 0)))


def starts_of(lengths: np.ndarray) -> tf.Tensor:
    """The place of the first token of each row among those of all rows, int64, and the number of all tokens."""
    return tf.constant(np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64))


def positions_of(starts: tf.Tensor, rows: tf.Tensor, length: tf.Tensor) -> tf.Tensor:
    """The places of the tokens of some rows among those of all rows, one after another.

    Args:
        starts: place of the first token of each row, int64, and the number of all tokens.
        rows: indices `[rows]`.
        length: tokens of a row, more than it has or fewer.

    Returns:
        int64 `[rows, length]`, -1 for padding.

    Example: `positions_of([0, 2, 3], [1, 0], 2)` is `[[2, -1], [0, 1]]`.
    """
    begins, ends = tf.gather(starts, rows), tf.gather(starts, rows + 1)
    positions = tf.expand_dims(begins, 1) + tf.expand_dims(tf.range(tf.cast(length, tf.int64)), 0)
    return tf.where(positions < tf.expand_dims(ends, 1), positions, tf.constant(FILL, tf.int64))


class _FlatTable:
    def __init__(self, columns: Mapping[str, FlatRows]) -> None:
        self._columns = columns

    def gather(self, rows: tf.Tensor, lengths: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        return {name: column.padded(rows, lengths[name]) for name, column in self._columns.items()}


class _StoredTable:
    def __init__(self, columns: Mapping[str, ShardColumn], fills: Mapping[str, int]) -> None:
        self._columns, self._fills = columns, fills
        first = next(iter(columns.values()))
        self._shards, self._numbers = first.shards, first.numbers
        self._parsed = {column.feature: tf.io.RaggedFeature(tf.int64) for column in columns.values()}

    def gather(self, rows: tf.Tensor, lengths: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        content = tf.numpy_function(self._read, [rows], tf.string)
        content.set_shape(rows.shape)
        parsed = tf.io.parse_example(content, self._parsed)
        return {
            name: _padded(parsed[column.feature], self._fills[name], lengths[name], column)
            for name, column in self._columns.items()
        }

    def _read(self, rows: np.ndarray) -> np.ndarray:
        numbers = rows if self._numbers is None else self._numbers[rows]
        return np.array(self._shards.read(numbers), object)


def _padded(ragged: tf.RaggedTensor, fill: int, length: tf.Tensor, column: ShardColumn) -> tf.Tensor:
    """Rows as they are on disk, int32 `[rows, length]`, as the column gives them."""
    longest = length if column.longest is None else tf.minimum(length, column.longest)
    rows = tf.cast(ragged, tf.int32).to_tensor(FILL, shape=[None, None])[:, :longest]
    rows = tf.pad(rows, [[0, 0], [0, length - tf.shape(rows)[1]]], constant_values=FILL)
    present = rows != FILL
    if column.first is not None:
        rows = tf.concat([tf.fill([tf.shape(rows)[0], 1], column.first), rows[:, :-1]], axis=1)
    return tf.where(present, rows, fill)


class Targets:
    """The targets of a classifier, gathered by the indices of their examples.

    Args:
        targets: `[examples, ...]`, or labels on disk.
    """

    def __init__(self, targets: np.ndarray | ManyLabels) -> None:
        self._stored = targets if isinstance(targets, ManyLabels) else None
        if self._stored is None:
            self._values = tf.constant(targets)
        else:
            self._table = make_table({"labels": self._stored.column}, {"labels": FILL})

    def gather(self, rows: tf.Tensor) -> tf.Tensor:
        """The targets of some examples, `[rows, ...]`."""
        if self._stored is None:
            return tf.gather(self._values, rows)
        numbers = self._table.gather(rows, {"labels": tf.constant(self._stored.size)})["labels"]
        return tf.reduce_max(tf.one_hot(numbers, self._stored.size), axis=1)  # of FILL there is no one
