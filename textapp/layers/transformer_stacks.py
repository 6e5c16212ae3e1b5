"""Transformer encoders and decoders as one layer each, the parts of a `Generator`.

An encoder is called with a sequence and its padding mask. A decoder computes the same function in two ways: its call
takes a whole target at once (teacher forcing); or `begin` makes a cache from a memory or a prompt, and `step` takes one
token and returns the rows to add to the cache, see cache.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Literal

import keras
import numpy as np
import tensorflow as tf

from textapp.layers.cache import MEMORY_MASK, Cache, Recent
from textapp.layers.embedding import Positions
from textapp.layers.masking import NEVER, additive
from textapp.layers.relative import RelativePositions
from textapp.layers.shapes import axis_size, row_at
from textapp.layers.transformer import BlockSettings, DecoderBlock, TransformerBlock


class _TransformerStack(keras.layers.Layer):
    """A stack of blocks with its positions and one normalisation: after the blocks, or before them if post-norm."""

    bidirectional = True  # whether a token attends to later ones

    def __init__(
        self,
        hidden_dim: int,
        num_layers: int,
        settings: BlockSettings,
        positions: Literal["learned", "sinusoidal", "rope", "relative"] = "sinusoidal",
        rope_layers: Sequence[bool] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.hidden_dim, self.num_layers, self.settings = hidden_dim, num_layers, settings
        self.position_kind, self.rope_layers = positions, rope_layers
        policy = self.dtype_policy
        self.blocks = [
            self._block(
                rope=positions == "rope" and (rope_layers is None or rope_layers[number]),
                name=f"block_{number}", dtype=policy,
            )
            for number in range(num_layers)
        ]  # fmt: skip
        self.positions = self.relative = None
        if positions == "relative":
            if settings.num_key_value_heads not in (None, settings.num_heads):
                raise ValueError("positions relative: every head needs keys of its own, leave out num_key_value_heads")
            self.relative = RelativePositions(settings.num_heads, self.bidirectional, name="relative", dtype=policy)
        elif positions != "rope":
            self.positions = Positions(positions, settings.max_length, name="positions", dtype=policy)
        self.norm = settings.norm(name="norm", dtype=policy)
        self.dropout = keras.layers.Dropout(settings.dropout, dtype=policy)

    def _block(self, **kwargs: Any) -> TransformerBlock:
        return TransformerBlock(self.settings, **kwargs)

    def build(self, sequence_shape, memory_shape=None) -> None:
        for layer in filter(None, (*self.blocks, self.positions, self.relative, self.norm)):
            layer.build((None, None, self.hidden_dim))

    def _normalize_input(self, sequence):
        """The input of the first block."""
        return sequence if self.settings.normalize_first else self.norm(sequence)

    def _normalize_output(self, sequence):
        """The output of the stack, from that of the last block."""
        return self.norm(sequence) if self.settings.normalize_first else sequence

    def _add_relative(self, mask, sequence):
        """Adds the relative position biases of a whole sequence, if any, to its mask `[batch or 1, 1, ..., length]`."""
        if self.relative is None:
            return mask
        positions = tf.range(axis_size(sequence, 1))
        return mask + self.relative(tf.reshape(positions, [1, -1, 1]) - tf.reshape(positions, [1, 1, -1]))

    def compute_output_shape(self, sequence_shape, memory_shape=None):
        return sequence_shape

    def get_config(self) -> dict[str, Any]:
        config = {
            "hidden_dim": self.hidden_dim,
            "num_layers": self.num_layers,
            "settings": asdict(self.settings),
            "positions": self.position_kind,
            "rope_layers": self.rope_layers,
        }
        return {**super().get_config(), **config}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> _TransformerStack:
        return super().from_config({**config, "settings": BlockSettings(**config["settings"])})


@keras.saving.register_keras_serializable(package="textapp")
class TransformerEncoder(_TransformerStack):
    """A Transformer encoder (Vaswani et al., 2017).

    Args:
        hidden_dim: features.
        num_layers: blocks.
        settings: of every block. With `normalize_first` the stack also normalises its output; without, the input of the
            first block, as BART does (Lewis et al., 2020). `max_length` is the longest sequence in tokens.
        positions: how the model knows positions: a vector added to each token, `learned` or `sinusoidal`; `rope`; or
            `relative`, see `RelativePositions`, which the blocks share.
        rope_layers: with `rope`, whether each block uses it; None: every block does.

    Call arguments:
        sequence: `[batch, length, hidden_dim]`, embedded tokens without positions.
        mask: `[batch, length]`, 1.0 for a token.

    Returns:
        `[batch, length, hidden_dim]`.

    Raises:
        ValueError: `positions` is `relative` and heads share keys.
    """

    def call(self, sequence, mask, training=None):
        if self.positions is not None:
            sequence = self.positions(sequence)
        sequence = self.dropout(self._normalize_input(sequence), training=training)
        mask = self._add_relative(additive(mask), sequence)
        for block in self.blocks:
            sequence = block(sequence, mask, training=training)
        return self._normalize_output(sequence)


@keras.saving.register_keras_serializable(package="textapp")
class TransformerDecoder(_TransformerStack):
    """A Transformer decoder, with cross-attention to a memory or without (a language model).

    Args:
        memory_dim: features of the memory; None: no memory.
        others: see `TransformerEncoder`.

    Call arguments:
        sequence: `[batch, length, hidden_dim]`, embedded tokens without positions.
        memory: `[batch, memory length, memory_dim]`, from an encoder.
        memory_mask: `[batch, memory length]`, 1.0 for a token.
        segment_ids: `[batch, length]` int32 where a row holds several texts, numbered from 1; tokens attend only
            within their own text.

    Returns:
        `[batch, length, hidden_dim]`.
    """

    bidirectional = False

    def __init__(self, *args: Any, memory_dim: int | None = None, **kwargs: Any) -> None:
        self.memory_dim = memory_dim
        super().__init__(*args, **kwargs)

    def _block(self, **kwargs: Any) -> DecoderBlock:
        return DecoderBlock(self.settings, memory_dim=self.memory_dim, **kwargs)

    def call(self, sequence, memory=None, memory_mask=None, segment_ids=None, training=None):
        sequence = self._normalize_input(self._add_positions(sequence, segment_ids))
        sequence = self.dropout(sequence, training=training)
        mask = self._causal_mask(sequence, segment_ids)
        if memory_mask is not None:
            memory_mask = additive(memory_mask)
        for block in self.blocks:
            sequence = block(sequence, mask, memory, memory_mask, training=training)
        return self._normalize_output(sequence)

    def begin(self, cache_length: int, memory=None, memory_mask=None, prompt=None, num_tokens=None) -> Cache:
        """Makes the cache for the first step, from a memory or from a prompt.

        Args:
            cache_length: tokens that the cache holds.
            memory, memory_mask: as in the call.
            prompt: without a memory, `[batch, prompt length, hidden_dim]`, embedded, padding on the right.
            num_tokens: not used: a step ignores the rows from its own position on, so also those of padding.

        Returns:
            `cache_<layer>_key|value` `[batch, key-value heads, cache_length, head_dim]`; with a memory also
            `cache_<layer>_memory_key|memory_value` `[batch, key-value heads, memory length, head_dim]` and
            `cache_memory_mask` `[batch, 1, 1, memory length]`.
        """
        if memory is not None:
            return self._begin_with_memory(cache_length, memory, memory_mask)
        return self._read(cache_length, prompt)[1]

    def read(self, cache_length: int, prompt, num_tokens) -> tuple[tf.Tensor, Cache]:
        """Reads a prompt as `begin` does, and its last token with it, which `begin` leaves to the first step.

        Args:
            cache_length, prompt: see `begin`.
            num_tokens: of each prompt, `[batch]` int32.

        Returns:
            the vector of each last token, `[batch, hidden_dim]`, and the cache.
        """
        sequence, cache = self._read(cache_length, prompt)
        last, number = num_tokens - 1, self.num_layers - 1  # nothing but its keys and values is needed of the others
        past = [(cache[f"cache_{number}_key"], cache[f"cache_{number}_value"])]
        vector, _, _ = self.blocks[-1].step(row_at(sequence, last), last, self._step_mask(last, cache, None), past)
        return tf.squeeze(self._normalize_output(vector), 1), cache

    def _read(self, cache_length: int, prompt) -> tuple[tf.Tensor, Cache]:
        """The input of the last block, `[batch, prompt length, hidden_dim]`, and the cache of a prompt."""
        cache: Cache = {}
        sequence = self._normalize_input(self._add_positions(prompt, None))
        mask, padding = self._causal_mask(sequence, None), [[0, 0], [0, 0], [0, cache_length - prompt.shape[1]], [0, 0]]
        for number, block in enumerate(self.blocks):
            before = sequence
            sequence, key, value = block.prefill(sequence, mask)
            cache[f"cache_{number}_key"], cache[f"cache_{number}_value"] = tf.pad(key, padding), tf.pad(value, padding)
        return before, cache

    def _begin_with_memory(self, cache_length: int, memory, memory_mask) -> Cache:
        cache: Cache = {MEMORY_MASK: additive(memory_mask)}
        for number, block in enumerate(self.blocks):
            key, value = block.cross_attention.keys_values(memory)
            cache[f"cache_{number}_memory_key"], cache[f"cache_{number}_memory_value"] = key, value
            attention = block.attention
            shape = (axis_size(memory, 0), attention.num_key_value_heads, cache_length, attention.head_dim)
            for name in ("key", "value"):
                cache[f"cache_{number}_{name}"] = tf.zeros(shape, self.compute_dtype)
        return cache

    def step(self, vector, position, cache: Cache, recent: Recent | None = None) -> tuple[tf.Tensor, Cache]:
        """Decodes one token or, without a memory, a few that follow each other.

        Args:
            vector: the embedded token, `[batch, hidden_dim]`; several are `[batch, tokens, hidden_dim]`.
            position: of the first token, `[1]` (the same for all rows) or `[batch]`, int32; of several tokens `[1]`.
            cache: from `begin`, with the rows of later tokens written by `textapp.layers.cache.written`.
            recent: the latest tokens, where their rows are not in the cache.

        Returns:
            a vector for each of `vector`, in its shape; and the row to write at `position`, `cache_<layer>_key|value`
            `[batch, key-value heads, 1, head_dim]`, or of several tokens the entries of the cache with their rows.
        """
        shape, tokens = [-1, *vector.shape[1:]], vector.shape[1] if len(vector.shape) == 3 else 1
        vector = tf.reshape(vector, [-1, tokens, self.hidden_dim])
        if self.positions is not None:
            places = tf.reshape(position, [-1, 1])
            if tokens > 1:  # the last may be padding, behind the longest text
                places = tf.minimum(places + tf.range(tokens), self.settings.max_length - 1)
            vector = self.positions(vector, places)
        vector = self._normalize_input(vector)
        mask = (
            self._step_mask(position, cache, recent) if tokens == 1 else self._mask_of_several(position, tokens, cache)
        )
        parts = [cache] if recent is None else [cache, recent.rows]
        new: Cache = {}
        for number, block in enumerate(self.blocks):
            names = f"cache_{number}_key", f"cache_{number}_value"
            memory = [
                cache[f"cache_{number}_memory_{kind}"] for kind in ("key", "value") if self.memory_dim is not None
            ]
            vector, *rows = block.step(
                vector, position, mask, [[part[name] for name in names] for part in parts],
                memory or None, cache.get(MEMORY_MASK),
            )  # fmt: skip
            new |= dict(zip(names, rows, strict=True))
        return tf.reshape(self._normalize_output(vector), shape), new

    def _step_mask(self, position, cache: Cache, recent: Recent | None):
        """The mask of a step, `[1 or batch, 1 or heads, 1, rows]`: -1e9 for empty rows, else 0 or the relative bias.

        The rows are those of the cache, the recent ones and the token's own.
        """
        in_cache = position if recent is None else position - recent.count
        # The number of rows between each row and the first empty one, negative for empty rows. In float32: bfloat16
        # has no odd integers above 256.
        before_empty = [_as_scores(in_cache) - np.arange(1.0, cache["cache_0_key"].shape[2] + 1)]
        distances = [_as_scores(position) - np.arange(0.0, cache["cache_0_key"].shape[2])]
        if recent is not None:
            ages = tf.cast(recent.ages, tf.float32)
            before_empty.append(_as_scores(position - in_cache) - ages)
            distances.append(tf.zeros_like(_as_scores(position)) + ages)
        before_empty.append(tf.zeros_like(_as_scores(in_cache)))
        mask = tf.cast(tf.minimum(tf.concat(before_empty, axis=-1), 0.0) * -NEVER, self.compute_dtype)
        if self.relative is None:
            return mask
        distances = tf.concat([*distances, tf.zeros_like(_as_scores(position))], axis=-1)
        return mask + self.relative(tf.cast(distances[:, 0], tf.int32))

    def _mask_of_several(self, position, tokens: int, cache: Cache):
        """The mask of several tokens, `[1, 1, tokens, rows]`: -1e9 for rows after each, else 0."""
        places = np.arange(tokens)[:, None] - np.arange(cache["cache_0_key"].shape[2])
        after = tf.minimum(_as_scores(position) + tf.constant(places, tf.float32), 0.0)
        return tf.cast(after * -NEVER, self.compute_dtype)

    def _add_positions(self, sequence, segment_ids):
        if self.positions is None:
            return sequence
        if segment_ids is None:
            return self.positions(sequence)
        return self.positions(sequence, positions_in_segments(segment_ids))

    def _causal_mask(self, sequence, segment_ids):
        """`[1 or batch, 1 or heads, length, length]`: -1e9 for keys after the query or in another text, else 0."""
        if sequence.shape[1] is None:
            length = tf.shape(sequence)[1]
            allowed = tf.linalg.band_part(tf.ones((length, length), self.compute_dtype), -1, 0)
        else:
            allowed = tf.constant(np.tri(sequence.shape[1]), self.compute_dtype)
        if segment_ids is not None:
            same = tf.expand_dims(segment_ids, 1) == tf.expand_dims(segment_ids, 2)
            allowed = tf.expand_dims(allowed * tf.cast(same, self.compute_dtype), 1)
        else:
            allowed = tf.reshape(allowed, [1, 1, *2 * [axis_size(sequence, 1)]])
        return self._add_relative((1.0 - allowed) * NEVER, sequence)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "memory_dim": self.memory_dim}


def positions_in_segments(segment_ids):
    """The position of each token in its own text, `[batch, length]` int32.

    Example: `[[1, 1, 2, 2, 2]]` gives `[[0, 1, 0, 1, 2]]`.
    """
    same = tf.equal(tf.expand_dims(segment_ids, 1), tf.expand_dims(segment_ids, 2))
    return tf.reduce_sum(tf.linalg.band_part(tf.cast(same, tf.int32), -1, 0), axis=2) - 1


def _as_scores(count):
    """Reshapes `[batch]` int32 to `[batch, 1, 1, 1]` float32."""
    return tf.cast(tf.reshape(count, [-1, 1, 1, 1]), tf.float32)
