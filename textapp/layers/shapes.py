"""Sizes of tensors, static where they are known."""

from __future__ import annotations

import tensorflow as tf


def axis_size(values, axis: int):
    """The size of one axis: an int where the graph knows it, else a scalar int32 tensor.

    Static sizes let the converter to LiteRT fold the shape arithmetic away.
    """
    return tf.shape(values)[axis] if values.shape[axis] is None else values.shape[axis]
