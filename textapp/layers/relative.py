"""What attention adds to its scores for the distance between two tokens."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

BUCKETS = 32
FAR = 128  # tokens; all that is farther away is one bucket


@keras.saving.register_keras_serializable(package="textapp")
class RelativePositions(keras.layers.Layer):
    """A learned number for each head and each distance of a key from its query (Raffel et al., 2020), as T5 has them.

    Near distances have a number of their own, far ones share it the more the farther they are.

    Args:
        num_heads: heads.
        both_ways: keys stand before and after their query; False: before it only.

    Call arguments:
        distances: `[rows, queries, keys]` int32, how many tokens a key stands before its query.

    Returns:
        `[rows, num_heads, queries, keys]`, to be added to the scores: less the number of distance 0, which changes no
        weight, so that nothing needs to be added for the query's own key.
    """

    def __init__(self, num_heads: int, both_ways: bool, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.num_heads, self.both_ways = num_heads, both_ways

    def build(self, input_shape) -> None:
        normal = keras.initializers.RandomNormal(stddev=0.02)
        self.table = self.add_weight(name="table", shape=(BUCKETS, self.num_heads), initializer=normal)

    def call(self, distances):
        numbers = buckets(np.arange(-FAR, FAR + 1), self.both_ways)
        table = tf.cast(tf.convert_to_tensor(self.table), self.compute_dtype)
        places = tf.clip_by_value(distances, -FAR, FAR) + FAR
        added = tf.gather(table - tf.slice(table, [0, 0], [1, -1]), tf.gather(tf.constant(numbers), places))
        return tf.transpose(added, [0, 3, 1, 2])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "num_heads": self.num_heads, "both_ways": self.both_ways}


def buckets(distances: np.ndarray, both_ways: bool) -> np.ndarray:
    """The row of the table for each distance, int32; before the query it is positive.

    Example: `buckets(np.array([0, 1, 15, 16, 500]), False)` is `[0, 1, 15, 16, 31]`.
    """
    count = BUCKETS // 2 if both_ways else BUCKETS
    behind = count * (distances < 0) if both_ways else 0
    away = np.abs(distances) if both_ways else np.maximum(distances, 0)
    near = count // 2
    # In float32, as the models were trained: some distances lie on a border.
    share = np.log(np.maximum(away, near).astype(np.float32) / np.float32(near)) / np.float32(np.log(FAR / near))
    far = np.minimum(near + (share * (count - near)).astype(np.int32), count - 1)
    return (behind + np.where(away < near, away, far)).astype(np.int32)
