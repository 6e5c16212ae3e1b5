"""Relative position biases: numbers that attention adds to its scores for the distance between two tokens."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

BUCKETS = 32
FAR = 128  # tokens; all distances from here on share one bucket


@keras.saving.register_keras_serializable(package="textapp")
class RelativePositions(keras.layers.Layer):
    """A learned bias for each head and each distance between query and key, as in T5 (Raffel et al., 2020).

    Distances are put into buckets: one for each small distance, wider ones for larger distances.

    Args:
        num_heads: heads.
        bidirectional: keys are before and after their query, as in an encoder; False: before it only.

    Call arguments:
        distances: `[rows, queries, keys]` int32, the position of the query minus that of the key.

    Returns:
        `[rows, num_heads, queries, keys]`, to be added to the scores. The bias of distance 0 is subtracted from all,
        which the softmax cancels, so that nothing needs to be added for a token's own key.
    """

    def __init__(self, num_heads: int, bidirectional: bool, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.num_heads, self.bidirectional = num_heads, bidirectional

    def build(self, input_shape) -> None:
        normal = keras.initializers.RandomNormal(stddev=0.02)
        self.table = self.add_weight(name="table", shape=(BUCKETS, self.num_heads), initializer=normal)

    def call(self, distances):
        numbers = buckets(np.arange(-FAR, FAR + 1), self.bidirectional)
        table = tf.cast(tf.convert_to_tensor(self.table), self.compute_dtype)
        indices = tf.clip_by_value(distances, -FAR, FAR) + FAR
        biases = tf.gather(table - tf.slice(table, [0, 0], [1, -1]), tf.gather(tf.constant(numbers), indices))
        return tf.transpose(biases, [0, 3, 1, 2])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "num_heads": self.num_heads, "bidirectional": self.bidirectional}


def buckets(distances: np.ndarray, bidirectional: bool) -> np.ndarray:
    """The bucket of each distance, int32, the same shape.

    Args:
        distances: the position of the query minus that of the key.
        bidirectional: half of the buckets are for keys after the query; False: these share bucket 0.

    Example: `buckets(np.array([0, 1, 15, 16, 500]), False)` is `[0, 1, 15, 16, 31]`.
    """
    count = BUCKETS // 2 if bidirectional else BUCKETS
    after = count * (distances < 0) if bidirectional else 0
    magnitude = np.abs(distances) if bidirectional else np.maximum(distances, 0)
    near = count // 2
    # In float32, as the models were trained: some distances lie on a border.
    share = np.log(np.maximum(magnitude, near).astype(np.float32) / np.float32(near)) / np.float32(np.log(FAR / near))
    far = np.minimum(near + (share * (count - near)).astype(np.int32), count - 1)
    return (after + np.where(magnitude < near, magnitude, far)).astype(np.int32)
