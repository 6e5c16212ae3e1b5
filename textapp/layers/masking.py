"""Masks, computed inside the graph from the padding id, as floats that are added or multiplied.

The only comparison and cast are at the input of the graph, and there is no select operator after it, so that an edge
runtime can run the rest as one delegated partition.
"""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from textapp.layers.shapes import axis_size

NEVER = -1e9  # added to a score: e^x is then 0 in float32 and in bfloat16, without the NaN of an infinity


@keras.saving.register_keras_serializable(package="textapp")
class PaddingMask(keras.layers.Layer):
    """1.0 for a token, 0.0 for padding.

    Args:
        pad_id: the padding id.

    Call arguments:
        token_ids: `[batch, length]` int32.

    Returns:
        `[batch, length]`, in the compute dtype.

    Example: `PaddingMask(0)([[5, 7, 0]])` is `[[1.0, 1.0, 0.0]]`.
    """

    def __init__(self, pad_id: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.pad_id = pad_id

    def call(self, token_ids):
        return tf.cast(tf.not_equal(token_ids, self.pad_id), self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "pad_id": self.pad_id}


@keras.saving.register_keras_serializable(package="textapp")
class AttentionMask(keras.layers.Layer):
    """The mask that is added to attention scores: 0 for a token, -1e9 for padding.

    Call arguments:
        mask: `[batch, length]`, from `PaddingMask`.

    Returns:
        `[batch, 1, 1, length]`, the same for all heads and all queries.
    """

    def call(self, mask):
        return additive(mask)


def additive(mask):
    """Turns a padding mask `[batch, length]` of 1.0 and 0.0 into one to add to scores, `[batch, 1, 1, length]`."""
    length = axis_size(mask, 1)
    return tf.reshape((1.0 - mask) * NEVER, [-1, 1, 1, length])
