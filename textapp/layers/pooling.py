"""Pooling of a sequence to one vector a text. Padding is ignored; a row of padding alone gives zeros, not NaN."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable(package="textapp")
class MeanPooling(keras.layers.Layer):
    """The mean over the tokens.

    Call arguments:
        sequence: `[batch, length, dim]`.
        mask: `[batch, length]`, 1 for a token.

    Returns:
        `[batch, dim]`; summed in float32, because bfloat16 has no odd integers above 256.

    Example: a sequence `[[[2.0], [4.0], [9.0]]]` with the mask `[[1, 1, 0]]` gives `[[3.0]]`.
    """

    def call(self, sequence, mask):
        mask = tf.expand_dims(tf.cast(mask, tf.float32), -1)
        total = tf.reduce_sum(tf.cast(sequence, tf.float32) * mask, axis=1)
        return tf.cast(total / tf.maximum(tf.reduce_sum(mask, axis=1), 1.0), self.compute_dtype)


@keras.saving.register_keras_serializable(package="textapp")
class ScaledSumPooling(keras.layers.Layer):
    """The sum over the tokens, divided by the square root of their number.

    A compromise for bags of n-grams: the mean dilutes the telling words of a long text, the sum favours long texts
    over short ones; with this one, training on phrases carries over to whole sentences.

    Call arguments:
        sequence: `[batch, length, dim]`.
        mask: `[batch, length]`, 1 for a token.

    Returns:
        `[batch, dim]`; summed in float32.

    Example: a sequence `[[[2.0], [4.0], [9.0]]]` with the mask `[[1, 1, 0]]` gives `[[6 / sqrt(2)]]`.
    """

    def call(self, sequence, mask):
        mask = tf.expand_dims(tf.cast(mask, tf.float32), -1)
        total = tf.reduce_sum(tf.cast(sequence, tf.float32) * mask, axis=1)
        scale = tf.math.rsqrt(tf.maximum(tf.reduce_sum(mask, axis=1), 1.0))
        return tf.cast(total * scale, self.compute_dtype)


@keras.saving.register_keras_serializable(package="textapp")
class MaxPooling(keras.layers.Layer):
    """The maximum over the tokens, for sequences that are never negative (after a ReLU).

    Padding is multiplied by 0, so it is never above a token.

    Call arguments:
        sequence: `[batch, length, dim]`, at least 0.
        mask: `[batch, length]`, 1 for a token.

    Returns:
        `[batch, dim]`.

    Example: a sequence `[[[2.0], [4.0], [9.0]]]` with the mask `[[1, 1, 0]]` gives `[[4.0]]`.
    """

    def call(self, sequence, mask):
        return tf.reduce_max(sequence * tf.expand_dims(mask, -1), axis=1)


@keras.saving.register_keras_serializable(package="textapp")
class FirstPooling(keras.layers.Layer):
    """The vector of the first token, [CLS] in BERT.

    Call arguments:
        sequence: `[batch, length, dim]`.
        mask: not used; every pooling layer takes one.

    Returns:
        `[batch, dim]`.
    """

    def call(self, sequence, mask=None):
        return tf.squeeze(tf.slice(sequence, [0, 0, 0], [-1, 1, -1]), axis=1)


@keras.saving.register_keras_serializable(package="textapp")
class LastPooling(keras.layers.Layer):
    """The final state of a recurrent layer: at the last token, and of the backward direction at the first.

    Args:
        bidirectional: the second half of the features is from the backward direction.

    Call arguments:
        sequence: `[batch, length, dim]`, from `Lstm`.
        mask: `[batch, length]`, 1 for a token, padding on the right.

    Returns:
        `[batch, dim]`.
    """

    def __init__(self, bidirectional: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.bidirectional = bidirectional

    def call(self, sequence, mask):
        num_tokens = tf.reduce_sum(tf.cast(tf.cast(mask, tf.float32), tf.int32), axis=1)
        last = tf.gather(sequence, tf.maximum(num_tokens - 1, 0), axis=1, batch_dims=1)
        if not self.bidirectional:
            return last
        half = sequence.shape[-1] // 2
        first = tf.squeeze(tf.slice(sequence, [0, 0, half], [-1, 1, half]), axis=1)
        return tf.concat([tf.slice(last, [0, 0], [-1, half]), first], axis=-1)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "bidirectional": self.bidirectional}


POOLINGS = {
    "mean": MeanPooling,
    "scaled_sum": ScaledSumPooling,
    "max": MaxPooling,
    "first": FirstPooling,
    "last": LastPooling,
}
