"""Self-attention, written for inference: one 2-D matrix product a projection, no selection in the middle."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from textapp.layers.embedding import rotary_angles


@keras.saving.register_keras_serializable(package="textapp")
class SelfAttention(keras.layers.Layer):
    """Multi-head self-attention (Vaswani et al., 2017), with grouped key-value heads (Ainslie et al., 2023).

    Args:
        num_heads: heads of the queries; divides the features.
        num_key_value_heads: heads of keys and values, each shared by a group of queries; divides `num_heads`.
        dropout: share of the attention weights dropped while training.
        rope: turn queries and keys by their position (Su et al., 2021), up to `max_length` tokens.
        max_length: tokens; used with `rope` only.

    Call arguments:
        sequence: `[batch, length, dim]`.
        mask: `[batch, 1, 1, length]`, added to the scores.

    Returns:
        `[batch, length, dim]`.
    """

    def __init__(
        self,
        num_heads: int,
        num_key_value_heads: int | None = None,
        dropout: float = 0.0,
        rope: bool = False,
        max_length: int = 512,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.num_heads = num_heads
        self.num_key_value_heads = num_key_value_heads or num_heads
        self.dropout_rate, self.rope, self.max_length = dropout, rope, max_length
        if num_heads % self.num_key_value_heads:
            raise ValueError(f"num_heads {num_heads} is not a multiple of num_key_value_heads {num_key_value_heads}")

    def build(self, sequence_shape, mask_shape=None) -> None:
        dim = sequence_shape[-1]
        if dim % self.num_heads or (self.rope and (dim // self.num_heads) % 2):
            raise ValueError(f"{dim} features do not divide into {self.num_heads} heads (of an even size, with rope)")
        self.head_dim = dim // self.num_heads
        shared = self.num_key_value_heads * self.head_dim
        sizes = {"query": dim, "key": shared, "value": shared, "output": dim}
        self.projections = {
            name: keras.layers.Dense(size, name=name, dtype=self.dtype_policy) for name, size in sizes.items()
        }
        for projection in self.projections.values():
            projection.build((None, None, dim))
        self.dropout = keras.layers.Dropout(self.dropout_rate, dtype=self.dtype_policy)
        self.angles = rotary_angles(self.max_length, self.head_dim) if self.rope else None

    def call(self, sequence, mask, training=None):
        length = tf.shape(sequence)[1] if sequence.shape[1] is None else sequence.shape[1]
        query = self._heads(self.projections["query"](sequence), self.num_heads, length)
        key = self._heads(self.projections["key"](sequence), self.num_key_value_heads, length)
        value = self._heads(self.projections["value"](sequence), self.num_key_value_heads, length)
        if self.rope:
            query, key = self._turn(query, length), self._turn(key, length)
        query = query * self.head_dim**-0.5
        mixed = self._attend(query, key, value, mask, length, training)
        mixed = tf.transpose(mixed, [0, 2, 1, 3])  # [batch, length, heads, head_dim]
        return self.projections["output"](tf.reshape(mixed, [-1, length, self.num_heads * self.head_dim]))

    def _attend(self, query, key, value, mask, length, training):
        """The weighted mean of the values, `[batch, heads, length, head_dim]`."""
        shared, group = self.num_key_value_heads, self.num_heads // self.num_key_value_heads
        if group > 1:  # the queries of a group stand below each other, so that keys and values need no copies
            query = tf.reshape(query, [-1, shared, group * length, self.head_dim])
        scores = tf.matmul(query, key, transpose_b=True) + mask
        mixed = tf.matmul(self.dropout(tf.nn.softmax(scores), training=training), value)
        return tf.reshape(mixed, [-1, self.num_heads, length, self.head_dim]) if group > 1 else mixed

    def _heads(self, projected, heads, length):
        return tf.transpose(tf.reshape(projected, [-1, length, heads, self.head_dim]), [0, 2, 1, 3])

    def _turn(self, heads, length):
        """Turns each pair (i, i + head_dim / 2) by its angle; the angles are constants of the graph."""
        cosine, sine = (
            tf.slice(tf.constant(np.tile(wave(self.angles), 2), self.compute_dtype), [0, 0], [length, -1])
            for wave in (np.cos, np.sin)
        )
        low, high = tf.split(heads, 2, axis=-1)
        return heads * cosine + tf.concat([-high, low], axis=-1) * sine

    def compute_output_shape(self, sequence_shape, mask_shape=None):
        return sequence_shape

    def get_config(self) -> dict[str, Any]:
        own = {
            "num_heads": self.num_heads,
            "num_key_value_heads": self.num_key_value_heads,
            "dropout": self.dropout_rate,
            "rope": self.rope,
            "max_length": self.max_length,
        }
        return {**super().get_config(), **own}
