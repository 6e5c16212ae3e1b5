"""Normalisation layers in few operations, and fewer where an export has folded parts of them into other layers."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable(package="textapp")
class LayerNorm(keras.layers.LayerNormalization):
    """Layer normalisation (Ba et al., 2016) over the last axis, computed in float32.

    Same function and weights as Keras' layer, which takes eight passes over the sequence; this one takes seven, or
    three with both attributes False.

    Attributes:
        center_inputs: False where every input is known to have mean 0.
        scale_outputs: False where `gamma` and `beta` are folded into the next layer's weights.
        scale_first: see `RmsNorm`.

    Call arguments:
        sequence: `[batch, length, dim]`.

    Returns:
        `[batch, length, dim]`.
    """

    center_inputs = True
    scale_outputs = True
    scale_first = False

    def call(self, sequence):
        values = tf.cast(sequence, tf.float32)
        if self.center_inputs:
            values = values - tf.reduce_mean(values, axis=-1, keepdims=True)
        variance = tf.reduce_mean(values * values, axis=-1, keepdims=True)
        values = _scaled(self, values, tf.math.rsqrt(variance + self.epsilon))
        if self.scale_outputs:
            values = values + tf.cast(self.beta, tf.float32)
        return tf.cast(values, self.compute_dtype)


@keras.saving.register_keras_serializable(package="textapp")
class RmsNorm(keras.layers.Layer):
    """Root mean square normalisation (Zhang and Sennrich, 2019) over the last axis, computed in float32.

    It neither subtracts a mean nor adds a shift: two passes over the sequence fewer than a layer normalisation.

    Args:
        epsilon: added to the mean of the squares.

    Attributes:
        scale_outputs: False where `gamma` is folded into the next layer's weights.
        scale_first: multiply by `gamma` before the division by the root mean square. A converter folds a last product
            with a constant into the next layer's weights, of which another layer may need the original.

    Call arguments:
        sequence: `[..., dim]`.

    Returns:
        the same shape.

    Example: with `gamma` 1, `[3.0, 4.0]` becomes `[0.85, 1.13]`: the root of the mean square is 3.54.
    """

    scale_outputs = True
    scale_first = False

    def __init__(self, epsilon: float = 1e-6, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.epsilon = epsilon

    def build(self, input_shape) -> None:
        self.gamma = self.add_weight(name="gamma", shape=(input_shape[-1],), initializer="ones", autocast=False)

    def call(self, sequence):
        values = tf.cast(sequence, tf.float32)
        scale = tf.math.rsqrt(tf.reduce_mean(values * values, axis=-1, keepdims=True) + self.epsilon)
        return tf.cast(_scaled(self, values, scale), self.compute_dtype)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "epsilon": self.epsilon}


def _scaled(norm: LayerNorm | RmsNorm, values: tf.Tensor, scale: tf.Tensor) -> tf.Tensor:
    """Values times the scale of their row and, if it is not folded, `gamma`."""
    factors = [scale, tf.cast(norm.gamma, tf.float32)] if norm.scale_outputs else [scale]
    for factor in reversed(factors) if norm.scale_first else factors:
        values = values * factor
    return values


NORMALIZATIONS = {"layer": LayerNorm, "rms": RmsNorm}
