"""The blocks of a Transformer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import keras

from textapp.layers.attention import CrossAttention, SelfAttention
from textapp.layers.normalization import NORMALIZATIONS

Activation = Literal["gelu", "gelu_approximate", "relu", "swiglu", "geglu", "geglu_approximate"]
GATES = {"swiglu": "silu", "geglu": "gelu", "geglu_approximate": "gelu_approximate"}
ATTENTION = (
    "num_heads", "num_key_value_heads", "dropout", "rope", "max_length", "rope_rates", "head_dim", "biases",
    "head_norms", "epsilon",
)  # fmt: skip


@keras.saving.register_keras_serializable(package="textapp")
class TransformerBlock(keras.layers.Layer):
    """Attention and a feed-forward part, each added to what comes in.

    Args:
        num_heads: attention heads.
        intermediate_dim: units inside the feed-forward part.
        num_key_value_heads: see `SelfAttention`.
        activation: `gelu`, `gelu_approximate` (by tanh), `relu`, or `swiglu`, `geglu` or `geglu_approximate`
            (Shazeer, 2020: a swish or gelu gate beside a linear part).
        dropout: share dropped of attention weights and of what each part adds.
        rope: see `SelfAttention`.
        max_length: tokens; used with `rope` only.
        normalize_first: normalise before each part (Xiong et al., 2020); False: after it, as BERT does.
        epsilon: of the normalisations.
        normalization: `layer` (`LayerNorm`) or `rms` (`RmsNorm`).
        biases: of all products, of those that make queries, keys and values, or of none.
        rope_rates, head_dim, head_norms: see `SelfAttention`.

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
        activation: Activation = "gelu",
        dropout: float = 0.0,
        rope: bool = False,
        max_length: int = 512,
        normalize_first: bool = True,
        epsilon: float = 1e-6,
        normalization: Literal["layer", "rms"] = "layer",
        biases: Literal["all", "qkv", "none"] = "all",
        rope_rates: Sequence[float] | None = None,
        head_dim: int | None = None,
        head_norms: bool = False,
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
            "normalize_first": normalize_first,
            "epsilon": epsilon,
            "normalization": normalization,
            "biases": biases,
            "rope_rates": rope_rates,
            "head_dim": head_dim,
            "head_norms": head_norms,
        }
        self.activation, self.normalize_first = activation, normalize_first

    def build(self, sequence_shape, mask_shape=None) -> None:
        settings, policy = self.settings, self.dtype_policy
        dim, inner = sequence_shape[-1], settings["intermediate_dim"]
        attention = {key: settings[key] for key in ATTENTION}
        self.attention = SelfAttention(**attention, name="attention", dtype=policy)
        plain = {"use_bias": settings["biases"] == "all", "dtype": policy}
        name = GATES.get(self.activation, self.activation)
        inward = _gelu_approximate if name == "gelu_approximate" else name
        self.inward = keras.layers.Dense(inner, activation=inward, name="inward", **plain)
        self.linear = keras.layers.Dense(inner, name="linear", **plain) if self.activation in GATES else None
        self.outward = keras.layers.Dense(dim, name="outward", **plain)
        norm = NORMALIZATIONS[settings["normalization"]]
        self.attention_norm, self.feed_forward_norm = (
            norm(epsilon=settings["epsilon"], name=name, dtype=policy)
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
        attended = self.attention(self._read(self.attention_norm, sequence), mask, training=training)
        sequence = self._added(self.attention_norm, sequence, self.dropout(attended, training=training))
        return self._fed(sequence, training)

    def _fed(self, sequence, training=None):
        """The feed-forward part."""
        fed = self._feed_forward(self._read(self.feed_forward_norm, sequence))
        return self._added(self.feed_forward_norm, sequence, self.dropout(fed, training=training))

    def _read(self, norm, sequence):
        """What a part reads of the sequence."""
        return norm(sequence) if self.normalize_first else sequence

    def _added(self, norm, sequence, more):
        """The sequence and what a part adds to it."""
        return sequence + more if self.normalize_first else norm(sequence + more)

    def _feed_forward(self, sequence):
        inner = self.inward(sequence)
        return self.outward(inner if self.linear is None else inner * self.linear(sequence))

    def compute_output_shape(self, sequence_shape, mask_shape=None):
        return sequence_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), **self.settings}


@keras.saving.register_keras_serializable(package="textapp")
class DecoderBlock(TransformerBlock):
    """A block that may also attend to a memory, between its self-attention and its feed-forward part.

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

    def build(self, sequence_shape, memory_shape=None) -> None:
        super().build(sequence_shape)
        if self.memory_dim is None:
            return
        names = ("num_heads", "num_key_value_heads", "dropout", "head_dim", "biases")
        chosen = {key: self.settings[key] for key in names}
        shape = (None, None, sequence_shape[-1])
        self.cross_attention = CrossAttention(**chosen, name="cross_attention", dtype=self.dtype_policy)
        self.cross_attention.build(shape, (None, None, self.memory_dim))
        self.cross_attention_norm = NORMALIZATIONS[self.settings["normalization"]](
            epsilon=self.settings["epsilon"], name="cross_attention_norm", dtype=self.dtype_policy
        )
        self.cross_attention_norm.build(shape)

    def call(self, sequence, mask, memory=None, memory_mask=None, training=None):
        attended = self.attention(self._read(self.attention_norm, sequence), mask, training=training)
        sequence = self._added(self.attention_norm, sequence, self.dropout(attended, training=training))
        if memory is not None:
            query = self._read(self.cross_attention_norm, sequence)
            keys_values = self.cross_attention.keys_values(memory)
            attended = self.cross_attention(query, *keys_values, memory_mask, training=training)
            sequence = self._added(self.cross_attention_norm, sequence, self.dropout(attended, training=training))
        return self._fed(sequence, training)

    def prefill(self, sequence, mask):
        """Reads a prompt: the sequence, and key and value `[batch, key-value heads, length, head_dim]`."""
        attended, key, value = self.attention.prefill(self._read(self.attention_norm, sequence), mask)
        return self._fed(self._added(self.attention_norm, sequence, attended)), key, value

    def step(self, vector, position, mask, past, memory=None, memory_mask=None):
        """One token: `[batch, 1, dim]`, and its key and value `[batch, key-value heads, 1, head_dim]`.

        See `SelfAttention.step`; `memory` is key and value of a memory, from `CrossAttention.keys_values`.
        """
        read = self._read(self.attention_norm, vector)
        attended, key, value = self.attention.step(read, position, mask, past)
        vector = self._added(self.attention_norm, vector, attended)
        if memory is not None:
            query = self._read(self.cross_attention_norm, vector)
            attended = self.cross_attention.step(query, *memory, memory_mask)
            vector = self._added(self.cross_attention_norm, vector, attended)
        return self._fed(vector), key, value

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "memory_dim": self.memory_dim}


def _gelu_approximate(values):
    return keras.activations.gelu(values, approximate=True)
