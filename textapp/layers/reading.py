"""Layers that read a context with a question in mind; both stand in one row, told apart by segment ids."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from textapp.layers.masking import NEVER


@keras.saving.register_keras_serializable(package="textapp")
class QuestionFlags(keras.layers.Layer):
    """Two features of each token: whether it is of the context, and whether the other text has it too.

    That a word of the context stands in the question is the strongest single sign of an answer nearby (Chen et al.,
    2017; Weissenborn et al., 2017).

    Call arguments:
        token_ids: `[batch, length]` int32.
        segment_ids: `[batch, length]` int32, 0 in the question, 1 in the context.
        mask: `[batch, length]`, 1 for a token, 0 for padding.

    Returns:
        `[batch, length, 2]`, 0.0 or 1.0.

    Example: of the question `5 6` and the context `6 7` the flags are `[[0, 0], [0, 1], [1, 1], [1, 0]]`.
    """

    def call(self, token_ids, segment_ids, mask):
        context = tf.cast(segment_ids, self.compute_dtype) * tf.cast(mask, self.compute_dtype)
        question = tf.cast(mask, self.compute_dtype) - context
        same = tf.cast(tf.equal(token_ids[:, :, None], token_ids[:, None, :]), self.compute_dtype)
        in_question = tf.reduce_max(same * question[:, None, :], axis=2) * context
        in_context = tf.reduce_max(same * context[:, None, :], axis=2) * question
        return tf.stack([context, in_question + in_context], axis=2)

    def compute_output_shape(self, token_ids_shape, *others):
        return (*token_ids_shape, 2)


@keras.saving.register_keras_serializable(package="textapp")
class AlignedQuestion(keras.layers.Layer):
    """A vector of the question for each token, weighted by the similarity of their embeddings (Chen et al., 2017).

    Call arguments:
        embeddings: `[batch, length, dim]`, of question and context.
        segment_ids: `[batch, length]` int32, 0 in the question, 1 in the context.
        mask: `[batch, length]`, 1 for a token, 0 for padding.

    Returns:
        `[batch, length, dim]`: the mean of the question's embeddings, weighted by a softmax.
    """

    def build(self, embeddings_shape, *others) -> None:
        self.projection = keras.layers.Dense(
            embeddings_shape[-1], activation="relu", dtype=self.dtype_policy, name="projection"
        )
        self.projection.build(embeddings_shape)

    def call(self, embeddings, segment_ids, mask):
        projected = self.projection(embeddings)
        scores = tf.matmul(projected, projected, transpose_b=True) * projected.shape[-1] ** -0.5
        weights = tf.nn.softmax(scores + of_question(segment_ids, mask, scores.dtype)[:, None, :], axis=-1)
        return tf.matmul(weights, embeddings)

    def compute_output_shape(self, embeddings_shape, *others):
        return embeddings_shape


@keras.saving.register_keras_serializable(package="textapp")
class SpanLogits(keras.layers.Layer):
    """Logits of each token to be the first and the last of the answer, compared with a vector of the question.

    The vector is a weighted mean of the question's tokens, the comparison bilinear (Chen et al., 2017).

    Call arguments:
        sequence: `[batch, length, dim]`, of question and context.
        segment_ids: `[batch, length]` int32, 0 in the question, 1 in the context.
        mask: `[batch, length]`, 1 for a token, 0 for padding.

    Returns:
        `[batch, length, 2]`.
    """

    def build(self, sequence_shape, *others) -> None:
        dim = sequence_shape[-1]
        self.weight = keras.layers.Dense(1, dtype=self.dtype_policy, name="weight")
        # At first the question does not count, as in BERT's own head.
        self.compared = keras.layers.Dense(
            2 * dim, kernel_initializer="zeros", dtype=self.dtype_policy, name="compared"
        )
        self.alone = keras.layers.Dense(2, dtype=self.dtype_policy, name="alone")
        for layer, size in ((self.weight, dim), (self.compared, dim), (self.alone, dim)):
            layer.build((None, size))

    def call(self, sequence, segment_ids, mask):
        dim = sequence.shape[-1]
        scores = tf.squeeze(self.weight(sequence), axis=2)
        weights = tf.nn.softmax(scores + of_question(segment_ids, mask, scores.dtype), axis=-1)
        question = tf.squeeze(tf.matmul(weights[:, None, :], sequence), axis=1)
        compared = tf.reshape(self.compared(question), [-1, dim, 2]) * dim**-0.5
        return tf.matmul(sequence, compared) + self.alone(sequence)

    def compute_output_shape(self, sequence_shape, *others):
        return (*sequence_shape[:-1], 2)


def of_question(segment_ids: Any, mask: Any, dtype: Any) -> Any:
    """A mask to add to scores: 0 in the question, -1e9 elsewhere, `[batch, length]`.

    Args:
        segment_ids: `[batch, length]` int32, 0 in the question, 1 in the context.
        mask: `[batch, length]`, 1 for a token, 0 for padding.
        dtype: of the result.
    """
    question = tf.cast(mask, dtype) * (1 - tf.cast(segment_ids, dtype))
    return (1 - question) * NEVER
