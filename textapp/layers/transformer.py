"""The blocks of a Transformer."""

from __future__ import annotations

from typing import Any, Literal

import keras

from textapp.layers.attention import CrossAttention, SelfAttention
from textapp.layers.normalization import LayerNorm

INWARD = {"gelu": "gelu", "relu": "relu", "swiglu": "silu"}


@keras.saving.register_keras_serializable(package="textapp")
class TransformerBlock(keras.layers.Layer):
    """Attention and a feed-forward part, each added to what comes in.

    Args:
        num_heads: attention heads.
        intermediate_dim: units inside the feed-forward part.
        num_key_value_heads: see `SelfAttention`.
        activation: `gelu`, `gelu_approximate` (by tanh), `relu`, or `swiglu` (Shazeer, 2020: a swish gate beside a
            linear part).
        dropout: share dropped of attention weights and of what each part adds.
        rope: see `SelfAttention`.
        max_length: tokens; used with `rope` only.
        norm_first: normalise before each part (Xiong et al., 2020); False: after it, as BERT does.
        epsilon: of the layer normalisations.

    Call arguments:
        sequence: `[batch, length, dim]`.
        mask: `[batch, 1, 1, length]`, added to the attention scores.

    Returns:
        `[batch, length, dim]`.
    """

    def __init__(
        self,
        num_heads: int,
        intermediate_dim: int,
        num_key_value_heads: int | None = None,
        activation: Literal["gelu", "gelu_approximate", "relu", "swiglu"] = "gelu",
        dropout: float = 0.0,
        rope: bool = False,
        max_length: int = 512,
        norm_first: bool = True,
        epsilon: float = 1e-6,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.settings = {
            "num_heads": num_heads,
            "intermediate_dim": intermediate_dim,
            "num_key_value_heads": num_key_value_heads,
            "activation": activation,
            "dropout": dropout,
            "rope": rope,
            "max_length": max_length,
            "norm_first": norm_first,
            "epsilon": epsilon,
        }
        self.activation, self.norm_first = activation, norm_first

    def build(self, sequence_shape, mask_shape=None) -> None:
        settings, policy = self.settings, self.dtype_policy
        dim, inner = sequence_shape[-1], settings["intermediate_dim"]
        attention = {
            key: settings[key] for key in ("num_heads", "num_key_value_heads", "dropout", "rope", "max_length")
        }
        self.attention = SelfAttention(**attention, name="attention", dtype=policy)
        inward = _gelu_approximate if self.activation == "gelu_approximate" else INWARD[self.activation]
        self.inward = keras.layers.Dense(inner, activation=inward, name="inward", dtype=policy)
        self.linear = keras.layers.Dense(inner, name="linear", dtype=policy) if self.activation == "swiglu" else None
        self.outward = keras.layers.Dense(dim, name="outward", dtype=policy)
        self.attention_norm, self.feed_forward_norm = (
            LayerNorm(epsilon=settings["epsilon"], name=name, dtype=policy)
            for name in ("attention_norm", "feed_forward_norm")
        )
        self.dropout = keras.layers.Dropout(settings["dropout"], dtype=policy)
        shape = (None, None, dim)
        for layer in filter(
            None, (self.attention, self.inward, self.linear, self.attention_norm, self.feed_forward_norm)
        ):
            layer.build(shape)
        self.outward.build((None, None, inner))

    def call(self, sequence, mask, training=None):
        if self.norm_first:
            attended = self.attention(self.attention_norm(sequence), mask, training=training)
            sequence = sequence + self.dropout(attended, training=training)
            fed = self._feed_forward(self.feed_forward_norm(sequence))
            return sequence + self.dropout(fed, training=training)
        attended = self.attention(sequence, mask, training=training)
        sequence = self.attention_norm(sequence + self.dropout(attended, training=training))
        fed = self._feed_forward(sequence)
        return self.feed_forward_norm(sequence + self.dropout(fed, training=training))

    def _feed_forward(self, sequence):
        inner = self.inward(sequence)
        return self.outward(inner if self.linear is None else inner * self.linear(sequence))

    def compute_output_shape(self, sequence_shape, mask_shape=None):
        return sequence_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), **self.settings}


@keras.saving.register_keras_serializable(package="textapp")
class DecoderBlock(TransformerBlock):
    """A block that may also attend to a memory, between its self-attention and its feed-forward part; pre-norm.

    Args:
        memory_dim: features of the memory; None: there is none.
        others: see `TransformerBlock`.

    Call arguments:
        sequence: `[batch, length, dim]`.
        mask: `[batch, 1, length, length]`, added to the scores of the self-attention.
        memory: `[batch, memory length, memory_dim]`.
        memory_mask: `[batch, 1, 1, memory length]`.

    Returns:
        `[batch, length, dim]`.
    """

    def __init__(self, *args: Any, memory_dim: int | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.memory_dim = memory_dim
        if not self.norm_first:
            raise ValueError("a decoder block normalises first: norm_first=False is not served")

    def build(self, sequence_shape, memory_shape=None) -> None:
        super().build(sequence_shape)
        if self.memory_dim is None:
            return
        chosen = {key: self.settings[key] for key in ("num_heads", "num_key_value_heads", "dropout")}
        shape = (None, None, sequence_shape[-1])
        self.cross_attention = CrossAttention(**chosen, name="cross_attention", dtype=self.dtype_policy)
        self.cross_attention.build(shape, (None, None, self.memory_dim))
        self.cross_attention_norm = LayerNorm(
            epsilon=self.settings["epsilon"], name="cross_attention_norm", dtype=self.dtype_policy
        )
        self.cross_attention_norm.build(shape)

    def call(self, sequence, mask, memory=None, memory_mask=None, training=None):
        attended = self.attention(self.attention_norm(sequence), mask, training=training)
        sequence = sequence + self.dropout(attended, training=training)
        if memory is not None:
            query, keys_values = self.cross_attention_norm(sequence), self.cross_attention.keys_values(memory)
            attended = self.cross_attention(query, *keys_values, memory_mask, training=training)
            sequence = sequence + self.dropout(attended, training=training)
        fed = self._feed_forward(self.feed_forward_norm(sequence))
        return sequence + self.dropout(fed, training=training)

    def prefill(self, sequence, mask):
        """Reads a prompt: the sequence, and key and value `[batch, key-value heads, length, head_dim]`."""
        attended, key, value = self.attention.prefill(self.attention_norm(sequence), mask)
        sequence = sequence + attended
        return sequence + self._feed_forward(self.feed_forward_norm(sequence)), key, value

    def step(self, vector, position, mask, past, recent, memory=None, memory_mask=None):
        """One token: `[batch, 1, dim]`, and its key and value `[batch, key-value heads, 1, head_dim]`.

        See `SelfAttention.step`; `memory` is key and value of a memory, from `CrossAttention.keys_values`.
        """
        attended, key, value = self.attention.step(self.attention_norm(vector), position, mask, past, recent)
        vector = vector + attended
        if memory is not None:
            query = self.cross_attention_norm(vector)
            vector = vector + self.cross_attention.step(query, *memory, memory_mask)
        return vector + self._feed_forward(self.feed_forward_norm(vector)), key, value

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "memory_dim": self.memory_dim}


def _gelu_approximate(values):
    return keras.activations.gelu(values, approximate=True)
