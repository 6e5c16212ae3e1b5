"""The blocks of a Transformer."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import keras
import numpy as np
import tensorflow as tf

from textapp.layers.attention import CrossAttention, SelfAttention
from textapp.layers.hidden_states import hidden_state
from textapp.layers.normalization import NORMALIZATIONS
from textapp.layers.shapes import axis_size

Activation = Literal["gelu", "gelu_approximate", "relu", "swiglu", "geglu", "geglu_approximate"]
GATES = {"swiglu": "silu", "geglu": "gelu", "geglu_approximate": "gelu_approximate"}


@dataclass(frozen=True)
class BlockSettings:
    """What all blocks of a Transformer have in common.

    Attributes:
        num_heads: attention heads.
        intermediate_dim: units of the hidden layer of the feed-forward part.
        num_key_value_heads, head_dim, head_norms, rope_rates, max_length: see `SelfAttention`.
        biases: see `SelfAttention`; the feed-forward part has biases with `all` only.
        activation: of the feed-forward part: `gelu`, `gelu_approximate` (by tanh), `relu`; or one with a gate beside a
            linear part, `swiglu`, `geglu`, `geglu_approximate` (Shazeer, 2020).
        dropout: rate, of the attention weights and of the output of each part.
        normalize_first: normalise the input of each part (pre-norm; Xiong et al., 2020); False: normalise the sum of
            input and output (post-norm), as BERT does.
        normalization: `layer` (`LayerNorm`) or `rms` (`RmsNorm`).
        epsilon: of all normalisations.
    """

    num_heads: int
    intermediate_dim: int
    num_key_value_heads: int | None = None
    head_dim: int | None = None
    biases: Literal["all", "qkv", "none"] = "all"
    head_norms: bool = False
    rope_rates: Sequence[float] | None = None
    max_length: int = 512
    activation: Activation = "gelu"
    dropout: float = 0.0
    normalize_first: bool = True
    normalization: Literal["layer", "rms"] = "layer"
    epsilon: float = 1e-6

    def norm(self, **kwargs: Any) -> keras.layers.Layer:
        """A new normalisation layer of the chosen kind; `kwargs` are those of a Keras layer."""
        return NORMALIZATIONS[self.normalization](epsilon=self.epsilon, **kwargs)


@keras.saving.register_keras_serializable(package="textapp")
class TransformerBlock(keras.layers.Layer):
    """Self-attention and a feed-forward part, each with a residual connection.

    Args:
        settings: heads, sizes, activation, normalisation ...
        rope: rotary position embeddings, see `SelfAttention`.

    Attributes:
        mixing: an orthogonal matrix `[block, block]` that mixes neighbours of the feed-forward part's hidden layer; set
            by an export, see `textapp.models.outliers`.

    Call arguments:
        sequence: `[batch, length, dim]`.
        mask: `[batch, 1, 1, length]`, added to the attention scores.

    Returns:
        `[batch, length, dim]`.
    """

    mixing: np.ndarray | None = None

    def __init__(self, settings: BlockSettings, rope: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.settings, self.rope = settings, rope

    def build(self, sequence_shape, mask_shape=None) -> None:
        settings, dim, policy = self.settings, sequence_shape[-1], self.dtype_policy
        self.attention = SelfAttention(
            settings.num_heads, settings.num_key_value_heads, settings.dropout, self.rope, settings.max_length,
            settings.rope_rates, settings.head_norms, settings.epsilon, head_dim=settings.head_dim,
            biases=settings.biases, name="attention", dtype=policy,
        )  # fmt: skip
        dense = functools.partial(keras.layers.Dense, use_bias=settings.biases == "all", dtype=policy)
        gated = settings.activation in GATES
        name = GATES.get(settings.activation, settings.activation)
        inward = _gelu_approximate if name == "gelu_approximate" else name
        self.inward = dense(settings.intermediate_dim, activation=inward, name="inward")
        self.linear = dense(settings.intermediate_dim, name="linear") if gated else None
        self.outward = dense(dim, name="outward")
        self.attention_norm = settings.norm(name="attention_norm", dtype=policy)
        self.feed_forward_norm = settings.norm(name="feed_forward_norm", dtype=policy)
        self.dropout = keras.layers.Dropout(settings.dropout, dtype=policy)
        layers = (self.attention, self.inward, self.linear, self.attention_norm, self.feed_forward_norm)
        for layer in filter(None, layers):
            layer.build((None, None, dim))
        self.outward.build((None, None, settings.intermediate_dim))

    def call(self, sequence, mask, training=None):
        attended = self.attention(self._pre_norm(self.attention_norm, sequence), mask, training=training)
        sequence = self._add(self.attention_norm, sequence, self.dropout(attended, training=training))
        return hidden_state(self._feed_forward_part(sequence, training))

    def _feed_forward_part(self, sequence, training=None):
        """The feed-forward part with its residual connection."""
        output = self._feed_forward(self._pre_norm(self.feed_forward_norm, sequence))
        return self._add(self.feed_forward_norm, sequence, self.dropout(output, training=training))

    def _pre_norm(self, norm, sequence):
        """The input of a part, attention or feed-forward."""
        return norm(sequence) if self.settings.normalize_first else sequence

    def _add(self, norm, sequence, output):
        """Adds the output of a part to the sequence."""
        return sequence + output if self.settings.normalize_first else norm(sequence + output)

    def _feed_forward(self, sequence):
        inner = self.inward(sequence)
        inner = inner if self.linear is None else inner * self.linear(sequence)
        return self.outward(inner if self.mixing is None else self._mixed(inner))

    def _mixed(self, inner):
        """The hidden layer with its blocks of neighbours mixed."""
        length = axis_size(inner, 1)
        blocks = tf.matmul(tf.reshape(inner, [-1, len(self.mixing)]), tf.constant(self.mixing, inner.dtype))
        return tf.reshape(blocks, [-1, length, self.settings.intermediate_dim])

    def compute_output_shape(self, sequence_shape, mask_shape=None):
        return sequence_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "settings": asdict(self.settings), "rope": self.rope}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> TransformerBlock:
        return super().from_config({**config, "settings": BlockSettings(**config["settings"])})


@keras.saving.register_keras_serializable(package="textapp")
class DecoderBlock(TransformerBlock):
    """A block with cross-attention to a memory, if there is one, between self-attention and the feed-forward part.

    Args:
        settings, rope: see `TransformerBlock`.
        memory_dim: features of the memory; None: no memory.

    Call arguments:
        sequence: `[batch, length, dim]`.
        mask: `[batch, 1, length, length]`, added to the scores of the self-attention.
        memory: `[batch, memory length, memory_dim]`.
        memory_mask: `[batch, 1, 1, memory length]`, added to the scores of the cross-attention.

    Returns:
        `[batch, length, dim]`.
    """

    def __init__(self, *args: Any, memory_dim: int | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.memory_dim = memory_dim

    def build(self, sequence_shape, memory_shape=None) -> None:
        super().build(sequence_shape)
        if self.memory_dim is None:
            return
        settings, policy = self.settings, self.dtype_policy
        shape = (None, None, sequence_shape[-1])
        self.cross_attention = CrossAttention(
            settings.num_heads, settings.num_key_value_heads, settings.dropout, settings.head_dim, settings.biases,
            name="cross_attention", dtype=policy,
        )  # fmt: skip
        self.cross_attention.build(shape, (None, None, self.memory_dim))
        self.cross_attention_norm = settings.norm(name="cross_attention_norm", dtype=policy)
        self.cross_attention_norm.build(shape)

    def call(self, sequence, mask, memory=None, memory_mask=None, training=None):
        attended = self.attention(self._pre_norm(self.attention_norm, sequence), mask, training=training)
        sequence = self._add(self.attention_norm, sequence, self.dropout(attended, training=training))
        if memory is not None:
            query = self._pre_norm(self.cross_attention_norm, sequence)
            keys_values = self.cross_attention.keys_values(memory)
            attended = self.cross_attention(query, *keys_values, memory_mask, training=training)
            sequence = self._add(self.cross_attention_norm, sequence, self.dropout(attended, training=training))
        return hidden_state(self._feed_forward_part(sequence, training))

    def prefill(self, sequence, mask):
        """Reads a prompt, without a memory; see `SelfAttention.prefill`."""
        attended, key, value = self.attention.prefill(self._pre_norm(self.attention_norm, sequence), mask)
        return self._feed_forward_part(self._add(self.attention_norm, sequence, attended)), key, value

    def step(self, vector, position, mask, past, memory=None, memory_mask=None):
        """Decodes one token or, without a memory, a few.

        Args:
            vector, position, mask, past: see `SelfAttention.step`.
            memory: keys and values of the memory, from `CrossAttention.keys_values`.
            memory_mask: as in the call.

        Returns:
            `[batch, tokens, dim]`, and keys and values as `SelfAttention.step` returns them.
        """
        query = self._pre_norm(self.attention_norm, vector)
        attended, key, value = self.attention.step(query, position, mask, past)
        vector = self._add(self.attention_norm, vector, attended)
        if memory is not None:
            query = self._pre_norm(self.cross_attention_norm, vector)
            attended = self.cross_attention.step(query, *memory, memory_mask)
            vector = self._add(self.cross_attention_norm, vector, attended)
        return self._feed_forward_part(vector), key, value

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "memory_dim": self.memory_dim}


def _gelu_approximate(values):
    return keras.activations.gelu(values, approximate=True)
