"""Layer normalisation in few operations, fewer still where an export has moved a part of it into its neighbours."""

from __future__ import annotations

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable(package="textapp")
class LayerNorm(keras.layers.LayerNormalization):
    """Layer normalisation (Ba et al., 2016) over the last axis, computed in float32.

    The same function and weights as Keras's layer, whose form takes eight passes over the sequence; this one takes
    seven, or three with both attributes False.

    Attributes:
        center_inputs: False where every input is known to have the mean 0.
        scale_outputs: False where the next layer's weights hold `gamma` and `beta`.

    Call arguments:
        sequence: `[batch, length, dim]`.

    Returns:
        `[batch, length, dim]`.
    """

    center_inputs = True
    scale_outputs = True

    def call(self, sequence):
        values = tf.cast(sequence, tf.float32)
        if self.center_inputs:
            values = values - tf.reduce_mean(values, axis=-1, keepdims=True)
        variance = tf.reduce_mean(values * values, axis=-1, keepdims=True)
        values = values * tf.math.rsqrt(variance + self.epsilon)
        if self.scale_outputs:
            values = values * tf.cast(self.gamma, tf.float32) + tf.cast(self.beta, tf.float32)
        return tf.cast(values, self.compute_dtype)
