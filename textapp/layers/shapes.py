"""Sizes of tensors, static where they are known."""

from __future__ import annotations

import tensorflow as tf


def axis_size(values, axis: int):
    """The size of one axis: an int where the graph knows it, else a scalar int32 tensor.

    Static sizes let the converter to LiteRT fold the shape arithmetic away.
    """
    return tf.shape(values)[axis] if values.shape[axis] is None else values.shape[axis]


def row_at(sequence, position):
    """One vector of each sequence: `[batch, length, dim]` and `[batch]` int32 to `[batch, 1, dim]`.

    By a product, which an edge runtime computes with what is around it; a gather would not be.
    """
    chosen = tf.one_hot(position, sequence.shape[1], dtype=sequence.dtype)
    return tf.matmul(tf.expand_dims(chosen, 1), sequence)
