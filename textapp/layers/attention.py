"""Attention layers, written for inference: one 2-D matrix product a projection, additive masks, no select operator."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import keras
import numpy as np
import tensorflow as tf

from textapp.layers.cache import written_at
from textapp.layers.embedding import constant_rows, rotary_angles
from textapp.layers.normalization import RmsNorm
from textapp.layers.shapes import axis_size

BLOCK = 128  # queries of a prompt that are multiplied at once; with 64 as fast, with 256 a sixth slower


class _Attention(keras.layers.Layer):
    """The projections, the split into heads and the weighted mean that self- and cross-attention share."""

    def __init__(
        self,
        num_heads: int,
        num_key_value_heads: int | None = None,
        dropout: float = 0.0,
        head_dim: int | None = None,
        biases: Literal["all", "qkv", "none"] = "all",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.num_heads = num_heads
        self.num_key_value_heads = num_key_value_heads or num_heads
        self.dropout_rate = dropout
        self.head_dim, self.biases = head_dim, biases
        if num_heads % self.num_key_value_heads:
            raise ValueError(f"num_heads {num_heads} is not a multiple of num_key_value_heads {num_key_value_heads}")

    def _build_projections(self, dim: int, memory_dim: int) -> None:
        if self.head_dim is None:
            if dim % self.num_heads:
                raise ValueError(f"{dim} features do not divide into {self.num_heads} heads")
            self.head_dim = dim // self.num_heads
        inner, shared = self.num_heads * self.head_dim, self.num_key_value_heads * self.head_dim
        sizes = {
            "query": (dim, inner),
            "key": (memory_dim, shared),
            "value": (memory_dim, shared),
            "output": (inner, dim),
        }
        biased = {"all": list(sizes), "qkv": ["query", "key", "value"], "none": []}[self.biases]
        self.projections = {
            name: keras.layers.Dense(size, use_bias=name in biased, name=name, dtype=self.dtype_policy)
            for name, (_, size) in sizes.items()
        }
        for name, (input_dim, _) in sizes.items():
            self.projections[name].build((None, None, input_dim))
        self.dropout = keras.layers.Dropout(self.dropout_rate, dtype=self.dtype_policy)

    def _query(self, sequence):
        return self._heads(self.projections["query"](sequence), self.num_heads) * self.head_dim**-0.5

    def _key(self, sequence):
        return self._heads(self.projections["key"](sequence), self.num_key_value_heads)

    def _value(self, sequence):
        return self._heads(self.projections["value"](sequence), self.num_key_value_heads)

    def _heads(self, projected, heads):
        """Splits `[batch, length, heads * head_dim]` into `[batch, heads, length, head_dim]`.

        A single token is reshaped without a transpose: the converter would move a transpose, and one of the memory's
        keys with it, after their product, and so into the decoding loop.
        """
        if projected.shape[1] == 1:
            return tf.reshape(projected, [-1, heads, 1, self.head_dim])
        return tf.transpose(tf.reshape(projected, [-1, axis_size(projected, 1), heads, self.head_dim]), [0, 2, 1, 3])

    def _attend(self, query, key, value, mask, training=None):
        """Attends, with `query`, `key` and `value` split into heads, and projects to `[batch, length, dim]`."""
        return self.projections["output"](self._mixed(query, key, value, mask, training))

    def _mixed(self, query, key, value, mask, training=None):
        """What a query attends to, of all heads, `[batch, length, heads * head_dim]`."""
        length, keys = axis_size(query, 2), axis_size(key, 2)
        scores = self._ungrouped(tf.matmul(self._grouped(query), key, transpose_b=True), length, keys) + mask
        weights = self._grouped(self.dropout(tf.nn.softmax(scores), training=training))
        mixed = tf.transpose(self._ungrouped(tf.matmul(weights, value), length, self.head_dim), [0, 2, 1, 3])
        return tf.reshape(mixed, [-1, length, self.num_heads * self.head_dim])

    def _grouped(self, values):
        """Stacks the heads of a group along the length, so that their keys and values need no copies.

        Args:
            values: `[batch, heads, length, size]`.

        Returns:
            `[batch, key-value heads, group * length, size]`.
        """
        group = self.num_heads // self.num_key_value_heads
        if group == 1:
            return values
        length, size = axis_size(values, 2), axis_size(values, 3)
        return tf.reshape(values, [-1, self.num_key_value_heads, group * length, size])

    def _ungrouped(self, values, length, size):
        """The inverse of `_grouped`."""
        if self.num_heads == self.num_key_value_heads:
            return values
        return tf.reshape(values, [-1, self.num_heads, length, size])

    def _joined(self, mixed, tokens: int = 1):
        """Projects heads `[batch, key-value heads, group * tokens, head_dim]` to `[batch, tokens, dim]`."""
        if tokens > 1:
            mixed = tf.transpose(tf.reshape(mixed, [-1, self.num_heads, tokens, self.head_dim]), [0, 2, 1, 3])
        return self.projections["output"](tf.reshape(mixed, [-1, tokens, self.num_heads * self.head_dim]))

    def compute_output_shape(self, sequence_shape, *other_shapes):
        return sequence_shape

    def get_config(self) -> dict[str, Any]:
        config = {
            "num_heads": self.num_heads,
            "num_key_value_heads": self.num_key_value_heads,
            "dropout": self.dropout_rate,
            "head_dim": self.head_dim,
            "biases": self.biases,
        }
        return {**super().get_config(), **config}


@keras.saving.register_keras_serializable(package="textapp")
class SelfAttention(_Attention):
    """Multi-head self-attention (Vaswani et al., 2017), with grouped key-value heads (Ainslie et al., 2023).

    Args:
        num_heads: query heads.
        num_key_value_heads: heads of keys and values, each shared by a group of query heads; divides `num_heads`;
            None: `num_heads`. 1 is multi-query attention (Shazeer, 2019).
        dropout: rate, of the attention weights.
        rope: rotary position embeddings for queries and keys (Su et al., 2021).
        max_length: longest sequence in tokens; used with `rope` only.
        rope_rates: rotation of each pair of elements of a head, in radians a token, `[head_dim / 2]`; None: those of
            the paper, 10,000 ** (-2i / head_dim).
        head_dim: size of a head; None: `dim / num_heads`.
        biases: which projections have biases: `all`; `qkv`, those of query, key and value; or `none`.
        head_norms: apply `RmsNorm` to each query and key before the rotation (Henry et al., 2020).
        epsilon: of `head_norms`.

    Call arguments:
        sequence: `[batch, length, dim]`.
        mask: `[batch, 1, 1, length]`, or `[batch, 1, length, length]` with a row for each query; added to the scores.

    Returns:
        `[batch, length, dim]`.

    Raises:
        ValueError: the numbers of heads do not divide each other or, at the first call, `dim`.
    """

    def __init__(
        self,
        num_heads: int,
        num_key_value_heads: int | None = None,
        dropout: float = 0.0,
        rope: bool = False,
        max_length: int = 512,
        rope_rates: Sequence[float] | None = None,
        head_norms: bool = False,
        epsilon: float = 1e-6,
        **kwargs: Any,
    ) -> None:
        super().__init__(num_heads, num_key_value_heads, dropout, **kwargs)
        self.rope, self.max_length, self.rope_rates = rope, max_length, rope_rates
        self.head_norms, self.epsilon = head_norms, epsilon

    def build(self, sequence_shape, mask_shape=None) -> None:
        dim = sequence_shape[-1]
        self._build_projections(dim, dim)
        if self.rope and self.head_dim % 2:
            raise ValueError(f"{dim} features do not divide into {self.num_heads} heads of an even size, as rope needs")
        self.angles = rotary_angles(self.max_length, self.head_dim, self.rope_rates) if self.rope else None
        self.norms = {}
        if self.head_norms:
            for name in ("query", "key"):
                self.norms[name] = RmsNorm(self.epsilon, name=f"{name}_norm", dtype=self.dtype_policy)
                self.norms[name].build((None, None, None, self.head_dim))

    def _query(self, sequence):
        heads = self._heads(self.projections["query"](sequence), self.num_heads)
        heads = self.norms["query"](heads) if self.norms else heads
        return heads if self.rope else heads * self.head_dim**-0.5  # else the rotation scales it

    def _key(self, sequence):
        heads = super()._key(sequence)
        return self.norms["key"](heads) if self.norms else heads

    def call(self, sequence, mask, training=None):
        return self._attend(*self._projected(sequence), mask, training)

    def prefill(self, sequence, mask):
        """Attends as the call does, by blocks of queries, and also returns what goes into the cache.

        A block is multiplied with no keys after its own, so of a long text nearly half of the products are left out.

        Args:
            sequence: `[batch, length, dim]`.
            mask: `[batch, 1 or heads, length, length]`, causal; added to the scores.

        Returns:
            the attended sequence `[batch, length, dim]`, and its keys and values,
            `[batch, key-value heads, length, head_dim]` each.
        """
        query, key, value = self._projected(sequence)
        length = sequence.shape[1]
        if length is None or length <= BLOCK:
            return self._attend(query, key, value, mask), key, value
        parts = []
        for start in range(0, length, BLOCK):
            rows, keys = slice(start, start + BLOCK), slice(start + BLOCK)
            parts.append(self._mixed(query[:, :, rows], key[:, :, keys], value[:, :, keys], mask[:, :, rows, keys]))
        return self.projections["output"](tf.concat(parts, axis=1)), key, value

    def step(self, vector, position, mask, past):
        """Attends with one token, or a few that follow each other, to themselves and to the tokens before them.

        The key and value of one token are returned and not written into the cache here. So caches are written after the
        last block, and nothing comes between the products of one block and those of the next.

        Args:
            vector: the tokens, `[batch, tokens, dim]`.
            position: of the first token, `[1]` or `[batch]` int32; of several tokens `[1]`.
            mask: `[1 or batch, 1, 1, rows + 1]`, added to the scores: for the rows of all pairs of `past` in order,
                then for the token itself. Several tokens are among the rows: `[1, 1, tokens, rows]`.
            past: pairs of keys and values of the tokens before, `[batch, key-value heads, rows, head_dim]` each. They
                are not concatenated, which would copy them. A pair may have 0 rows. For several tokens one pair, with
                room for theirs.

        Returns:
            the attended vectors `[batch, tokens, dim]`; and the token's key and value, `[batch, key-value heads, 1,
            head_dim]` each, or of several tokens the pair of `past` with theirs in it.
        """
        tokens = vector.shape[1]
        query, new = self._query(vector), [self._key(vector), self._value(vector)]
        if self.rope:
            # Of several tokens the last may be padding, behind the longest text.
            places = position if tokens == 1 else tf.minimum(position + tf.range(tokens), self.max_length - 1)

            def rows(wave: np.ndarray) -> tf.Tensor:
                return tf.reshape(constant_rows(wave, places, self.compute_dtype), [-1, 1, tokens, self.head_dim])

            query, new[0] = self._rotated(query, new[0], rows)
        query = self._grouped(query)
        parts = [(key, value) for key, value in (*past, new) if key.shape[2]]
        if tokens > 1:
            # In their places, so that sums have one order, and what is computed for a token does not depend on which
            # tokens it is read with.
            ((key, value),) = past
            new = [written_at(key, new[0], position), written_at(value, new[1], position)]
            parts = [tuple(new)]
            mask = tf.tile(mask, [1, 1, self.num_heads // self.num_key_value_heads, 1])
        weights = tf.nn.softmax(tf.concat([_scores(query, key) for key, _ in parts], axis=-1) + mask)
        mixed, start = 0.0, 0
        for _, value in parts:
            mixed += _mean(weights[..., start : start + value.shape[2]], value)
            start += value.shape[2]
        return self._joined(mixed, tokens), *new

    def _projected(self, sequence):
        query, key, value = self._query(sequence), self._key(sequence), self._value(sequence)
        if self.rope:

            def rows(wave: np.ndarray) -> tf.Tensor:
                return tf.slice(tf.constant(wave, self.compute_dtype), [0, 0], [axis_size(sequence, 1), -1])

            query, key = self._rotated(query, key, rows)
        return query, key, value

    def _waves(self) -> list[np.ndarray]:
        """Cosines and sines of the rotation, `[max_length, head_dim]` each, see `_turned`."""
        sines = np.sin(self.angles)
        return [np.tile(np.cos(self.angles), 2), np.concatenate([-sines, sines], axis=-1)]

    def _rotated(self, query, key, rows: Callable[[np.ndarray], tf.Tensor]):
        """Both rotated; `rows` takes those of their positions out of a wave. That of queries scales them, too."""
        waves = self._waves()
        scaled = [rows(wave * self.head_dim**-0.5) for wave in waves]
        return _turned(query, *scaled), _turned(key, *map(rows, waves))

    def get_config(self) -> dict[str, Any]:
        names = ("rope", "max_length", "rope_rates", "head_norms", "epsilon")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


@keras.saving.register_keras_serializable(package="textapp")
class CrossAttention(_Attention):
    """Multi-head attention of a decoder to its memory, the output of an encoder (Vaswani et al., 2017).

    Args:
        num_heads, num_key_value_heads, dropout, head_dim, biases: see `SelfAttention`.

    Call arguments:
        sequence: `[batch, length, dim]`.
        key, value: of the memory, from `keys_values`: `[batch, key-value heads, memory length, head_dim]` each.
        mask: `[batch, 1, 1, memory length]`, added to the scores.

    Returns:
        `[batch, length, dim]`.
    """

    def build(self, sequence_shape, memory_shape=None) -> None:
        self._build_projections(sequence_shape[-1], (memory_shape or sequence_shape)[-1])

    def keys_values(self, memory):
        """Keys and values of a memory `[batch, memory length, dim]`, computed once and read at every token."""
        return self._key(memory), self._value(memory)

    def call(self, sequence, key, value, mask, training=None):
        return self._attend(self._query(sequence), key, value, mask, training)

    def step(self, vector, key, value, mask):
        """Attends as the call does, for one token.

        Args:
            vector: the token, `[batch, 1, dim]`.
            key, value, mask: as in the call.

        Returns:
            `[batch, 1, dim]`.
        """
        query = self._grouped(self._query(vector))
        return self._joined(_mean(tf.nn.softmax(_scores(query, key) + mask), value))


def _scores(query, key):
    """The scores of queries `[batch, heads, group, head_dim]` and keys: `[batch, heads, group, length]`.

    A single query is multiplied elementwise and summed: for a matrix product an edge runtime would repack all keys at
    every token.
    """
    if query.shape[2] > 1:
        return tf.matmul(query, key, transpose_b=True)
    return tf.expand_dims(tf.reduce_sum(query * key, axis=-1), 2)


def _mean(weights, value):
    """The weighted mean of values `[batch, heads, length, head_dim]`: `[batch, heads, group, head_dim]`."""
    if value.shape[2] == 1:
        return weights * value
    if weights.shape[2] > 1:
        return tf.matmul(weights, value)
    return tf.reduce_sum(tf.transpose(weights, [0, 1, 3, 2]) * value, axis=2, keepdims=True)


def _turned(heads, cosine, sine):
    """Rotates each pair of elements (i, i + head_dim / 2) by its angle; the sine of i is negative."""
    low, high = tf.split(heads, 2, axis=-1)
    return heads * cosine + tf.concat([high, low], axis=-1) * sine
