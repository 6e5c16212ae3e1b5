"""One block of a Transformer encoder."""

from __future__ import annotations

from typing import Any, Literal

import keras

from textapp.layers.attention import SelfAttention
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


def _gelu_approximate(values):
    return keras.activations.gelu(values, approximate=True)
