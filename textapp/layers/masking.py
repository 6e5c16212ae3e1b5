"""Which positions hold a token: told inside the graph from the padding id, as floats that are added or multiplied.

A comparison and a cast stand at the edge of the graph and nothing is selected in its middle, so that an edge
runtime can give all the rest to one fast partition.
"""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

NEVER = -1e9  # added to a score: e^x is then 0 in float32 and in bfloat16, without the NaN of an infinity


@keras.saving.register_keras_serializable(package="textapp")
class PaddingMask(keras.layers.Layer):
    """1.0 where a token stands, 0.0 on padding.

    Args:
        pad_id: the id that fills a batch up, on the right.

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
    """What is added to the attention scores: 0 for a token, -1e9 for padding.

    Call arguments:
        mask: `[batch, length]`, as `PaddingMask` gives it.

    Returns:
        `[batch, 1, 1, length]`: one row for all heads and all queries.
    """

    def call(self, mask):
        return additive(mask)


def additive(mask):
    """`[batch, length]` of 1.0 and 0.0 to `[batch, 1, 1, length]` that is added to scores: 0 and -1e9."""
    length = tf.shape(mask)[1] if mask.shape[1] is None else mask.shape[1]
    return tf.reshape((1.0 - mask) * NEVER, [-1, 1, 1, length])
