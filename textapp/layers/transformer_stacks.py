"""Transformer encoders and decoders as one layer each: what a `Generator` is put together from.

An encoder is called with a sequence and its padding mask. A decoder offers two ways to the same answer: the call
reads a whole target at once (teacher forcing); or `begin` makes a cache, of a memory or of a prompt, and `step` reads
one token and gives the rows that it adds to the cache, see cache.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import keras
import numpy as np
import tensorflow as tf

from textapp.layers.cache import MEMORY_MASK, Cache, Recent
from textapp.layers.embedding import Positions
from textapp.layers.masking import NEVER, additive
from textapp.layers.normalization import NORMALIZATIONS
from textapp.layers.relative import RelativePositions
from textapp.layers.transformer import Activation, DecoderBlock, TransformerBlock


class _TransformerStack(keras.layers.Layer):
    """The settings of a stack of blocks, its positions, and its normalisation: behind, or of post-norm before them."""

    both_ways = True  # whether a token looks at what follows it

    def __init__(
        self,
        hidden_dim: int,
        num_layers: int,
        num_heads: int,
        intermediate_dim: int,
        max_length: int,
        positions: Literal["learned", "sinusoidal", "rope", "relative"] = "sinusoidal",
        num_key_value_heads: int | None = None,
        activation: Activation = "gelu",
        dropout: float = 0.0,
        epsilon: float = 1e-6,
        normalization: Literal["layer", "rms"] = "layer",
        biases: Literal["all", "qkv", "none"] = "all",
        rope_rates: Sequence[float] | None = None,
        rope_layers: Sequence[bool] | None = None,
        head_dim: int | None = None,
        head_norms: bool = False,
        normalize_first: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.hidden_dim, self.max_length = hidden_dim, max_length
        self.settings = {
            "hidden_dim": hidden_dim,
            "num_layers": num_layers,
            "num_heads": num_heads,
            "intermediate_dim": intermediate_dim,
            "max_length": max_length,
            "positions": positions,
            "num_key_value_heads": num_key_value_heads,
            "activation": activation,
            "dropout": dropout,
            "epsilon": epsilon,
            "normalization": normalization,
            "biases": biases,
            "rope_rates": rope_rates,
            "rope_layers": rope_layers,
            "head_dim": head_dim,
            "head_norms": head_norms,
            "normalize_first": normalize_first,
        }
        own = ("hidden_dim", "num_layers", "positions", "rope_layers")
        block = {key: value for key, value in self.settings.items() if key not in own}
        turned = [positions == "rope" and (rope_layers is None or rope_layers[number]) for number in range(num_layers)]
        policy = self.dtype_policy
        self.blocks = [
            self._block({**block, "rope": rope}, name=f"block_{number}", dtype=policy)
            for number, rope in enumerate(turned)
        ]
        self.positions = self.relative = None
        if positions == "relative":
            if num_key_value_heads not in (None, num_heads):
                raise ValueError("positions relative: every head needs keys of its own, leave out num_key_value_heads")
            self.relative = RelativePositions(num_heads, self.both_ways, name="relative", dtype=policy)
        elif positions != "rope":
            self.positions = Positions(positions, max_length, name="positions", dtype=policy)
        self.normalize_first = normalize_first
        self.norm = NORMALIZATIONS[normalization](epsilon=epsilon, name="norm", dtype=policy)
        self.dropout = keras.layers.Dropout(dropout, dtype=policy)

    def _block(self, settings: dict[str, Any], **kwargs: Any) -> TransformerBlock:
        return TransformerBlock(**settings, **kwargs)

    def build(self, sequence_shape, memory_shape=None) -> None:
        for layer in filter(None, (*self.blocks, self.positions, self.relative, self.norm)):
            layer.build((None, None, self.hidden_dim))

    def _before(self, sequence):
        """What the first block reads."""
        return sequence if self.normalize_first else self.norm(sequence)

    def _behind(self, sequence):
        """What the last block's answer becomes."""
        return self.norm(sequence) if self.normalize_first else sequence

    def _with_distances(self, mask, sequence):
        """A mask, `[batch or 1, 1, ..., length]`, with what distances add to the scores of a whole sequence."""
        if self.relative is None:
            return mask
        places = tf.range(_length(sequence))
        return mask + self.relative(tf.reshape(places, [1, -1, 1]) - tf.reshape(places, [1, 1, -1]))

    def compute_output_shape(self, sequence_shape, memory_shape=None):
        return sequence_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), **self.settings}


@keras.saving.register_keras_serializable(package="textapp")
class TransformerEncoder(_TransformerStack):
    """A Transformer encoder (Vaswani et al., 2017).

    Args:
        hidden_dim: features.
        num_layers, num_heads, intermediate_dim, num_key_value_heads, activation, dropout, epsilon, normalization,
            biases, rope_rates, head_dim, head_norms: of the blocks, see `TransformerBlock`.
        max_length: most tokens.
        positions: what tells the positions apart: a vector for each, `learned` or `sinusoidal`; `rope`; or `relative`,
            see `RelativePositions`, which the blocks share.
        rope_layers: with `rope`, for each block whether it turns by positions; None: every one.
        normalize_first: normalise before each part and at the end (Xiong et al., 2020); False: before the first block
            and after each part, as BART does (Lewis et al., 2020).

    Call arguments:
        sequence: `[batch, length, hidden_dim]`, embedded tokens without positions.
        mask: `[batch, length]`, 1.0 where a token stands.

    Returns:
        `[batch, length, hidden_dim]`.
    """

    def call(self, sequence, mask, training=None):
        if self.positions is not None:
            sequence = self.positions(sequence)
        sequence = self.dropout(self._before(sequence), training=training)
        mask = self._with_distances(additive(mask), sequence)
        for block in self.blocks:
            sequence = block(sequence, mask, training=training)
        return self._behind(sequence)


@keras.saving.register_keras_serializable(package="textapp")
class TransformerDecoder(_TransformerStack):
    """A Transformer decoder, over a memory or alone.

    Args:
        memory_dim: features of the memory; None: a decoder alone, a language model.
        others: see `TransformerEncoder`.

    Call arguments:
        sequence: `[batch, length, hidden_dim]`, embedded tokens without positions.
        memory: `[batch, memory length, memory_dim]`, from an encoder.
        memory_mask: `[batch, memory length]`, 1.0 where a token stands.
        segment_ids: `[batch, length]` int32 where a row holds several texts, numbered from 1: none sees another.

    Returns:
        `[batch, length, hidden_dim]`.
    """

    both_ways = False

    def __init__(self, *args: Any, memory_dim: int | None = None, **kwargs: Any) -> None:
        self.memory_dim = memory_dim
        super().__init__(*args, **kwargs)

    def _block(self, settings: dict[str, Any], **kwargs: Any) -> DecoderBlock:
        return DecoderBlock(**settings, memory_dim=self.memory_dim, **kwargs)

    def call(self, sequence, memory=None, memory_mask=None, segment_ids=None, training=None):
        sequence = self._before(self._placed(sequence, segment_ids))
        sequence = self.dropout(sequence, training=training)
        mask = self._causal(sequence, segment_ids)
        if memory_mask is not None:
            memory_mask = additive(memory_mask)
        for block in self.blocks:
            sequence = block(sequence, mask, memory, memory_mask, training=training)
        return self._behind(sequence)

    def begin(self, cache_length: int, memory=None, memory_mask=None, prompt=None, num_tokens=None) -> Cache:
        """What the first step reads.

        Args:
            cache_length: tokens that the cache holds.
            memory, memory_mask: as in the call.
            prompt: `[batch, prompt length, hidden_dim]` of a decoder alone, embedded, padding on the right.
            num_tokens: not used: a step does not look past its own position.

        Returns:
            `cache_<layer>_key|value` `[batch, key-value heads, cache_length, head_dim]`, and of a memory
            `cache_<layer>_memory_key|memory_value` and `cache_memory_mask` `[batch, 1, 1, memory length]`.
        """
        if memory is not None:
            return self._begin_with_memory(cache_length, memory, memory_mask)
        cache: Cache = {}
        sequence = self._before(self._placed(prompt, None))
        mask = self._causal(sequence, None)
        for number, block in enumerate(self.blocks):
            sequence, key, value = block.prefill(sequence, mask)
            room = [[0, 0], [0, 0], [0, cache_length - prompt.shape[1]], [0, 0]]
            cache[f"cache_{number}_key"], cache[f"cache_{number}_value"] = tf.pad(key, room), tf.pad(value, room)
        return cache

    def _begin_with_memory(self, cache_length: int, memory, memory_mask) -> Cache:
        cache: Cache = {MEMORY_MASK: additive(memory_mask)}
        for number, block in enumerate(self.blocks):
            key, value = block.cross_attention.keys_values(memory)
            cache[f"cache_{number}_memory_key"], cache[f"cache_{number}_memory_value"] = key, value
            attention = block.attention
            shape = (_batch(memory), attention.num_key_value_heads, cache_length, attention.head_dim)
            for name in ("key", "value"):
                cache[f"cache_{number}_{name}"] = tf.zeros(shape, self.compute_dtype)
        return cache

    def step(self, vector, position, cache: Cache, recent: Recent | None = None) -> tuple[tf.Tensor, Cache]:
        """Reads one token.

        Args:
            vector: `[batch, hidden_dim]`, the embedded token.
            position: `[1]`, the same for all rows, or `[batch]`, int32.
            cache: from `begin`, with the rows of the tokens since; see `textapp.layers.cache.written`.
            recent: the last of these tokens, where their rows are not in the cache.

        Returns:
            `[batch, hidden_dim]`, and the rows of this token, to be written at its position:
            `cache_<layer>_key|value` `[batch, key-value heads, 1, head_dim]`.
        """
        vector = tf.reshape(vector, [-1, 1, self.hidden_dim])
        if self.positions is not None:
            vector = self.positions(vector, tf.reshape(position, [-1, 1]))
        vector = self._before(vector)
        mask = self._seen(position, cache, recent)
        parts = [cache] if recent is None else [cache, recent.rows]
        new: Cache = {}
        for number, block in enumerate(self.blocks):
            names = f"cache_{number}_key", f"cache_{number}_value"
            memory = [
                cache[f"cache_{number}_memory_{kind}"] for kind in ("key", "value") if self.memory_dim is not None
            ]
            vector, *own = block.step(
                vector, position, mask, [[rows[name] for name in names] for rows in parts],
                memory or None, cache.get(MEMORY_MASK),
            )  # fmt: skip
            new |= dict(zip(names, own, strict=True))
        return tf.reshape(self._behind(vector), [-1, self.hidden_dim]), new

    def _seen(self, position, cache: Cache, recent: Recent | None):
        """What is added to the scores of a step, `[1 or batch, 1 or heads, 1, rows]`.

        The rows are those of the cache, the recent ones, and the token's own. -1e9 for empty ones; for the others 0, or
        what their distance adds.
        """
        before = position if recent is None else position - recent.count
        # How many rows lie between each row and the first empty one; in float32, as bfloat16 counts to 256 only.
        left = [_number(before) - np.arange(1.0, cache["cache_0_key"].shape[2] + 1)]
        away = [_number(position) - np.arange(0.0, cache["cache_0_key"].shape[2])]
        if recent is not None:
            ages = tf.cast(recent.ages, tf.float32)
            left.append(_number(position - before) - ages)
            away.append(tf.zeros_like(_number(position)) + ages)
        left.append(tf.zeros_like(_number(before)))
        mask = tf.cast(tf.minimum(tf.concat(left, axis=-1), 0.0) * -NEVER, self.compute_dtype)
        if self.relative is None:
            return mask
        distances = tf.concat([*away, tf.zeros_like(_number(position))], axis=-1)
        return mask + self.relative(tf.cast(distances[:, 0], tf.int32))

    def _placed(self, sequence, segment_ids):
        if self.positions is None:
            return sequence
        if segment_ids is None:
            return self.positions(sequence)
        return self.positions(sequence, places(segment_ids))

    def _causal(self, sequence, segment_ids):
        """`[1 or batch, 1 or heads, length, length]`: 0 where a query may look, -1e9 after it and into other texts."""
        if sequence.shape[1] is None:
            length = tf.shape(sequence)[1]
            allowed = tf.linalg.band_part(tf.ones((length, length), self.compute_dtype), -1, 0)
        else:
            allowed = tf.constant(np.tri(sequence.shape[1]), self.compute_dtype)
        if segment_ids is not None:
            same = tf.expand_dims(segment_ids, 1) == tf.expand_dims(segment_ids, 2)
            allowed = tf.expand_dims(allowed * tf.cast(same, self.compute_dtype), 1)
        else:
            allowed = tf.reshape(allowed, [1, 1, *(2 * [_length(sequence)])])
        return self._with_distances((1.0 - allowed) * NEVER, sequence)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "memory_dim": self.memory_dim}


def places(segment_ids):
    """The position of each token in its own text. Example: `[[1, 1, 2, 2, 2]]` gives `[[0, 1, 0, 1, 2]]`."""
    same = tf.equal(tf.expand_dims(segment_ids, 1), tf.expand_dims(segment_ids, 2))
    return tf.reduce_sum(tf.linalg.band_part(tf.cast(same, tf.int32), -1, 0), axis=2) - 1


def _number(count):
    """`[batch]` int32 to `[batch, 1, 1, 1]` float32."""
    return tf.cast(tf.reshape(count, [-1, 1, 1, 1]), tf.float32)


def _batch(values):
    return tf.shape(values)[0] if values.shape[0] is None else values.shape[0]


def _length(values):
    return tf.shape(values)[1] if values.shape[1] is None else values.shape[1]
