"""Batches with what a teacher said of each row: rows of arrays on disk, of which a batch reads its own only."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from textapp.batches.pipeline import Batch, MakeBatch, Plan, replicated

TEACHER = "teacher"  # key of a batch


class TaughtBatches:
    """The batches of a source, with the rows of a teacher's answers under the key `teacher`.

    Args:
        source: with the batches of the data.
        stored: name -> array `[rows, ...]`, such as a memory map.
        places: a batch to the rows that it takes, an integer tensor of any shape; -1 where it takes none, which gives
            the first row, so that the loss must not count it.
    """

    def __init__(self, source: Any, stored: Mapping[str, np.ndarray], places: Callable[[Batch], tf.Tensor]) -> None:
        self._source, self._stored, self._places = source, stored, places
        self.batch_size, self.many_shapes = source.batch_size, source.many_shapes

    def plan(self, epoch: int) -> Plan:
        """That of the source."""
        return self._source.plan(epoch)

    def distributed(self, plan: Plan, strategy: tf.distribute.Strategy, start: int = 0) -> Iterator:
        """See `BatchSource`."""
        return replicated(self.maker(plan), plan.steps, strategy, start)

    def maker(self, plan: Plan) -> MakeBatch:
        """Returns a function that makes the batches of a plan as tensors."""
        make = self._source.maker(plan)

        def with_answers(step: tf.Tensor, replica: tf.Tensor, replicas: int) -> Batch:
            batch = make(step, replica, replicas)
            return {**batch, TEACHER: self._answers(self._places(batch))}

        return with_answers

    def _answers(self, places: tf.Tensor) -> dict[str, tf.Tensor]:
        """The rows at some places, by name."""

        def read(rows: np.ndarray) -> list[np.ndarray]:
            rows = np.maximum(rows, 0)
            return [np.asarray(array[rows]) for array in self._stored.values()]

        found = tf.numpy_function(read, [places], [tf.as_dtype(array.dtype) for array in self._stored.values()])
        for tensor, array in zip(found, self._stored.values(), strict=True):
            tensor.set_shape([*places.shape, *array.shape[1:]])
        return dict(zip(self._stored, found, strict=True))
