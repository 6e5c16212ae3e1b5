"""LSTM encoders and decoders as one layer each, with the interface of those in transformer_stacks.py."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from textapp.layers.cache import MEMORY_MASK, Cache, Recent
from textapp.layers.lstm import Lstm
from textapp.layers.masking import additive
from textapp.layers.shapes import axis_size

KEY, VALUE = "cache_0_memory_key", "cache_0_memory_value"


class _LstmStack(keras.layers.Layer):
    """Stacked LSTM layers, and the dropout before each."""

    def __init__(self, units: Sequence[int], bidirectional: bool, dropout: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.units, self.bidirectional, self.dropout_rate = list(units), bidirectional, dropout
        self.cells = [
            Lstm(size, bidirectional, name=f"lstm_{number}", dtype=self.dtype_policy)
            for number, size in enumerate(self.units)
        ]
        self.dropout = keras.layers.Dropout(dropout, dtype=self.dtype_policy)

    def _build_cells(self, dim: int) -> int:
        """Builds the layers for an input of `dim` features; returns the number of features of the output."""
        for cell in self.cells:
            cell.build((None, None, dim))
            dim = cell.units * (2 if self.bidirectional else 1)
        return dim

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "units": self.units, "dropout": self.dropout_rate}


@keras.saving.register_keras_serializable(package="textapp")
class LstmEncoder(_LstmStack):
    """Stacked LSTM layers, in one direction or in both (Schuster and Paliwal, 1997).

    Args:
        units: of each layer and direction, bottom first.
        bidirectional: whether every layer has two directions.
        dropout: rate, before each layer.

    Call arguments:
        sequence: `[batch, length, dim]`.
        mask: `[batch, length]`, 1.0 for a token.

    Returns:
        `[batch, length, units]`, or `[batch, length, 2 * units]` with two directions.
    """

    def __init__(self, units: Sequence[int], bidirectional: bool = True, dropout: float = 0.0, **kwargs: Any) -> None:
        super().__init__(units, bidirectional, dropout, **kwargs)

    def build(self, sequence_shape, mask_shape=None) -> None:
        self._build_cells(sequence_shape[-1])

    def call(self, sequence, mask, training=None):
        for cell in self.cells:
            sequence = cell(self.dropout(sequence, training=training), mask)
        return sequence

    def compute_output_shape(self, sequence_shape, mask_shape=None):
        return (*sequence_shape[:-1], self.units[-1] * (2 if self.bidirectional else 1))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "bidirectional": self.bidirectional}


@keras.saving.register_keras_serializable(package="textapp")
class LstmDecoder(_LstmStack):
    """Stacked LSTM layers with global attention to a memory (Luong et al., 2015, without input feeding).

    The initial states are a function of the memory's mean (Sennrich et al., 2017). Without a memory it is the decoder
    of a language model.

    Args:
        units: of each layer, bottom first.
        output_dim: features of the output.
        memory_dim: features of the memory; None: no memory.
        dropout: rate, before each layer and of the output.

    Call arguments:
        sequence: `[batch, length, dim]`, embedded tokens.
        memory: `[batch, memory length, memory_dim]`.
        memory_mask: `[batch, memory length]`, 1.0 for a token.

    Returns:
        `[batch, length, output_dim]`.

    Raises:
        ValueError: a row holds several texts.
    """

    def __init__(
        self,
        units: Sequence[int],
        output_dim: int,
        memory_dim: int | None = None,
        dropout: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(units, False, dropout, **kwargs)
        self.output_dim, self.memory_dim = output_dim, memory_dim
        dense, policy = keras.layers.Dense, self.dtype_policy
        top = self.units[-1]
        self.output_projection = dense(output_dim, activation="tanh", name="output_projection", dtype=policy)
        if memory_dim is not None:
            self.query = dense(top, use_bias=False, name="query", dtype=policy)
            self.key = dense(top, use_bias=False, name="key", dtype=policy)
            self.first_states = dense(2 * sum(self.units), activation="tanh", name="first_states", dtype=policy)

    def build(self, sequence_shape, memory_shape=None) -> None:
        top = self._build_cells(sequence_shape[-1])
        self.output_projection.build((None, None, top + (self.memory_dim or 0)))
        if self.memory_dim is not None:
            self.query.build((None, None, top))
            for layer in (self.key, self.first_states):
                layer.build((None, None, self.memory_dim))

    def call(self, sequence, memory=None, memory_mask=None, segment_ids=None, training=None):
        if segment_ids is not None:
            raise ValueError("an LSTM carries its state from text to text: rows of several texts are not served")
        mask = tf.ones(tf.shape(sequence)[:2], self.compute_dtype)
        firsts = [None] * len(self.cells) if memory is None else self._first_states(memory, memory_mask)
        for cell, first in zip(self.cells, firsts, strict=True):
            sequence = cell(self.dropout(sequence, training=training), mask, first)
        if memory is not None:
            context = self._context(sequence, self.key(memory), memory, additive(memory_mask)[:, 0])
            sequence = tf.concat([sequence, context], axis=-1)
        return self.dropout(self.output_projection(sequence), training=training)

    def begin(self, cache_length: int, memory=None, memory_mask=None, prompt=None, num_tokens=None) -> Cache:
        """Makes the cache for the first step, from a memory or from a prompt without its last token.

        Args:
            cache_length: not used: states do not grow.
            memory, memory_mask: as in the call.
            prompt: without a memory, `[batch, prompt length, dim]`, embedded.
            num_tokens: of each prompt, `[batch]` int32.

        Returns:
            `cache_<layer>_state|cell` `[batch, units]`; with a memory also `cache_0_memory_key|memory_value`
            `[batch, 1, memory length, dim]` and `cache_memory_mask` `[batch, 1, 1, memory length]`.
        """
        if memory is None:
            return self._read_prompt(prompt, num_tokens)
        cache = {MEMORY_MASK: additive(memory_mask)}
        cache[KEY], cache[VALUE] = tf.expand_dims(self.key(memory), 1), tf.expand_dims(memory, 1)
        for number, (state, cell) in enumerate(self._first_states(memory, memory_mask)):
            cache[f"cache_{number}_state"], cache[f"cache_{number}_cell"] = state, cell
        return cache

    def step(self, vector, position, cache: Cache, recent: Recent | None = None) -> tuple[tf.Tensor, Cache]:
        """Decodes one token; see `TransformerDecoder.step`.

        Args:
            vector: the embedded token, `[batch, dim]`.
            position, recent: not used.
            cache: from `begin` or the step before.

        Returns:
            `[batch, output_dim]`, and the new states `cache_<layer>_state|cell` `[batch, units]`.
        """
        new: Cache = {}
        for number, cell in enumerate(self.cells):
            names = f"cache_{number}_state", f"cache_{number}_cell"
            vector, cell_state = cell.step(vector, *(cache[name] for name in names))
            new |= dict(zip(names, (vector, cell_state), strict=True))
        if self.memory_dim is not None:
            query = tf.expand_dims(vector, 1)
            keys, values = tf.squeeze(cache[KEY], 1), tf.squeeze(cache[VALUE], 1)
            context = self._context(query, keys, values, tf.squeeze(cache[MEMORY_MASK], 1))
            vector = tf.concat([vector, tf.squeeze(context, 1)], axis=-1)
        return self.output_projection(vector), new

    def _first_states(self, memory, memory_mask) -> list[tuple[tf.Tensor, tf.Tensor]]:
        weights = tf.expand_dims(memory_mask, -1)
        mean = tf.reduce_sum(memory * weights, axis=1) / tf.maximum(tf.reduce_sum(weights, axis=1), 1.0)
        sizes = [size for size in self.units for _ in range(2)]
        parts = tf.split(self.first_states(mean), sizes, axis=-1)
        return [(state, tf.cast(cell, tf.float32)) for state, cell in zip(parts[::2], parts[1::2], strict=True)]

    def _context(self, states, keys, values, mask):
        """Attention of the states to keys and values: `[batch, length, memory_dim]`."""
        scores = tf.matmul(self.query(states) * self.units[-1] ** -0.5, keys, transpose_b=True) + mask
        return tf.matmul(tf.nn.softmax(scores), values)

    def _read_prompt(self, prompt, num_tokens) -> Cache:
        batch = axis_size(prompt, 0)
        cache: Cache = {}
        for number, size in enumerate(self.units):
            for name in ("state", "cell"):
                cache[f"cache_{number}_{name}"] = tf.zeros((batch, size), self.compute_dtype)
        names = list(cache)
        tokens = tf.transpose(prompt, [1, 0, 2])

        def body(position, *values):
            _, new = self.step(tf.gather(tokens, position), None, dict(zip(names, values, strict=True)))
            # A row whose prompt has ended keeps its states; its last token is left to the first step.
            inside = tf.reshape(tf.cast(position < num_tokens - 1, self.compute_dtype), [-1, 1])
            states = [inside * new[name] + (1.0 - inside) * value for name, value in zip(names, values, strict=True)]
            return (position + 1, *states)

        _, *values = tf.while_loop(
            lambda position, *_: position < tf.reduce_max(num_tokens) - 1, body, (tf.constant(0), *cache.values())
        )
        return dict(zip(names, values, strict=True))

    def compute_output_shape(self, sequence_shape, memory_shape=None):
        return (*sequence_shape[:-1], self.output_dim)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "output_dim": self.output_dim, "memory_dim": self.memory_dim}
