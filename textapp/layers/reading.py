"""Layers that read a context with a question in mind; both stand in one row, told apart by segment ids."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from textapp.layers.masking import NEVER
from textapp.text.word_forms import WordForms


@keras.saving.register_keras_serializable(package="textapp")
class QuestionFlags(keras.layers.Layer):
    """Features of each token: whether it is of the context, whether the other text has it too, how rare it is.

    That a word of the context stands in the question is the strongest single sign of an answer nearby (Chen et al.,
    2017; Weissenborn et al., 2017).

    Args:
        vocabulary_size: of the tokenizer; `set_forms` sets the properties of its pieces.

    Call arguments:
        token_ids: `[batch, length]` int32.
        segment_ids: `[batch, length]` int32, 0 in the question, 1 in the context.
        mask: `[batch, length]`, 1 for a token, 0 for padding.

    Returns:
        `[batch, length, 7]`, 0.0 or 1.0: of the context; then in the other text: the token, its folded form, its stem,
        it with one of its neighbours. Then 0.0 to 1.0: its inverse document frequency, and that if its folded form is
        in the other text.

    An unknown token is never that of the other text, as it may be another word.

    Example: of the question `5 6 8` and the context `6 8 5` the flags of pairs are 0 for each `5`, else 1.
    """

    def __init__(self, vocabulary_size: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.vocabulary_size = vocabulary_size

    def build(self, *shapes) -> None:
        def table(name: str, dtype: str) -> Any:
            return self.add_weight((self.vocabulary_size,), "zeros", dtype, trainable=False, name=name)

        self.folded, self.stems = table("folded", "int32"), table("stems", "int32")
        self.idf = table("idf", "float32")

    def set_forms(self, forms: WordForms) -> None:
        """Sets the properties of the pieces."""
        self.folded.assign(forms.folded)
        self.stems.assign(forms.stems)
        self.idf.assign(forms.idf)

    def call(self, token_ids, segment_ids, mask):
        dtype = self.compute_dtype
        folded_ids = tf.gather(self.folded, token_ids)
        context = tf.cast(segment_ids, dtype) * tf.cast(mask, dtype)
        question = (tf.cast(mask, dtype) - context) * tf.cast(folded_ids >= 0, dtype)  # not the unknown
        other = context[:, :, None] * question[:, None, :] + question[:, :, None] * context[:, None, :]

        def same(ids: Any) -> Any:
            return tf.cast(tf.equal(ids[:, :, None], ids[:, None, :]), dtype) * other

        def found(equal: Any) -> Any:
            return tf.reduce_max(equal, axis=2)

        tokens, folded = same(token_ids), same(folded_ids)
        after = folded[:, :-1, :-1] * folded[:, 1:, 1:]  # the token and the next one
        pairs = tf.maximum(tf.pad(found(after), [[0, 0], [0, 1]]), tf.pad(found(after), [[0, 0], [1, 0]]))
        idf = tf.cast(tf.gather(self.idf, token_ids), dtype) * tf.cast(mask, dtype)
        in_other = found(folded)
        stems = found(same(tf.gather(self.stems, token_ids)))
        return tf.stack([context, found(tokens), in_other, stems, pairs, idf, idf * in_other], axis=2)

    def compute_output_shape(self, token_ids_shape, *others):
        return (*token_ids_shape, 7)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "vocabulary_size": self.vocabulary_size}


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
