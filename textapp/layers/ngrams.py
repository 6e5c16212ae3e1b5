"""Layers for bags of words: embeddings of hashed token n-grams, and repeated tokens that count once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from textapp.arrays import truncated_and_padded
from textapp.layers.quantized import QuantizedWeight, gather_rows
from textapp.layers.shapes import axis_size

# Rows of the n-gram table: 4 MB as int8 with 16 features a row. `hash * MULTIPLIER + id` stays below 2**31 for every
# vocabulary under a million, so that integers do not overflow in TensorFlow or in an edge runtime.
NGRAM_ROWS = 2**18
MULTIPLIER = 7919
# A second hash of one byte, 0 for none, distinguishes the n-gram that owns a row from others with the same first hash.
OWNERS, OWNER_MULTIPLIER = 255, 31
MIN_TEXTS = 2  # an n-gram of a single training text does not generalise
TEXTS_AT_ONCE = 8192


@keras.saving.register_keras_serializable(package="textapp")
class CountOnce(keras.layers.Layer):
    """Divides the vector of a token by its number of occurrences, so that their sum is that of one.

    In classification by a bag of words, presence is a better feature than counts (Pang, Lee and Vaithyanathan, 2002).

    Args:
        pad_id: the padding id.

    Call arguments:
        sequence: `[batch, length, dim]`, a vector for each token.
        token_ids: `[batch, length]` int32.

    Returns:
        `[batch, length, dim]`: the vectors of a token that occurs n times in its text, divided by n; 0 on padding.
    """

    def __init__(self, pad_id: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.pad_id = pad_id

    def call(self, sequence, token_ids):
        real = tf.cast(tf.not_equal(token_ids, self.pad_id), tf.int32)
        return sequence * tf.expand_dims(tf.cast(_shares(token_ids, real), self.compute_dtype), -1)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "pad_id": self.pad_id}


@keras.saving.register_keras_serializable(package="textapp")
class Sum(keras.layers.Add):
    """The sum of sequences of one shape.

    Keras's own takes one of `[1, length, 1]` for the biases of `length` channels, which LiteRT's converter refuses.
    """

    def _merge_function(self, inputs):
        return tf.add_n(inputs)


@keras.saving.register_keras_serializable(package="textapp")
class NgramEmbedding(keras.layers.Layer):
    """The sum of the vectors of the n-grams that end at each token, from one hashed table (Joulin et al., 2016).

    Each row of the table is owned by one n-gram, chosen by `choose_owners`; the vector of an n-gram that owns no row is
    zero. As in `CountOnce`, the vectors of an n-gram that occurs n times in a text are divided by n.

    Args:
        max_n: tokens of the longest n-gram; the shortest has 2.
        output_dim: size of a vector.
        pad_id: the padding id; no n-gram contains padding.
        rows: rows of the table.

    Call arguments:
        token_ids: `[batch, length]` int32, padding on the right.

    Returns:
        `[batch, length, output_dim]`, 0 on padding.

    Raises:
        ValueError: `max_n` or `rows` is out of range.
    """

    def __init__(self, max_n: int, output_dim: int, pad_id: int, rows: int = NGRAM_ROWS, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if max_n < 2 or not 1 <= rows <= NGRAM_ROWS:
            raise ValueError(f"expected max_n >= 2 and 1 <= rows <= {NGRAM_ROWS}, found max_n={max_n}, rows={rows}")
        self.max_n, self.output_dim, self.pad_id, self.rows = max_n, output_dim, pad_id, rows

    def build(self, input_shape) -> None:
        self.embeddings = self.add_weight(
            name="embeddings", shape=(self.rows, self.output_dim), initializer="uniform", autocast=False
        )
        self.owners = self.add_weight(
            name="owners", shape=(self.rows,), initializer="zeros", dtype="uint8", trainable=False, autocast=False
        )

    def choose_owners(self, token_ids: Sequence[np.ndarray]) -> None:
        """Chooses the owner of each row: the n-gram with this hash in the most training texts, in at least two.

        Args:
            token_ids: int32 `[tokens]` of each training text, without padding.
        """
        keys, texts = np.zeros(0, np.int64), np.zeros(0, np.int64)
        for _, ids in batches_by_length(token_ids, self.pad_id):
            owned = [(np.asarray(rows) << 8 | np.asarray(owner), real) for rows, owner, real in self._ngrams(ids)]
            chunk_keys, counts = np.unique(distinct_keys(owned)[1], return_counts=True)
            keys, inverse = np.unique(np.concatenate([keys, chunk_keys]), return_inverse=True)
            texts = np.bincount(inverse, weights=np.concatenate([texts, counts])).astype(np.int64)
        keys, texts = keys[texts >= MIN_TEXTS], texts[texts >= MIN_TEXTS]
        order = np.argsort(texts, kind="stable")  # the last assignment to a row stays: the n-gram of the most texts
        owners = np.zeros(self.rows, np.uint8)
        owners[keys[order] >> 8] = keys[order] & 0xFF
        self.owners.assign(owners)

    def call(self, token_ids):
        total = None
        for rows, real in self.read(token_ids):
            share = tf.cast(_shares(rows, real), self.compute_dtype)
            vectors = tf.cast(gather_rows(self.embeddings, rows), self.compute_dtype) * tf.expand_dims(share, -1)
            total = vectors if total is None else total + vectors
        return total

    def read(self, token_ids) -> Iterator[tuple[Any, Any]]:
        """Looks up the n-gram that ends at each position.

        Args:
            token_ids: `[batch, length]` int32.

        Yields:
            for n of 2, 3, ...: its row, and 1 if it owns that row, else 0; `[batch, length]` int32 each.
        """
        owners = tf.convert_to_tensor(self.owners)
        for rows, owner, real in self._ngrams(token_ids):
            owns = tf.equal(tf.cast(tf.gather(owners, rows), tf.int32), owner)
            yield rows, real * tf.cast(owns, tf.int32)

    def _ngrams(self, token_ids) -> Iterator[tuple[Any, Any, Any]]:
        """For n of 2, 3, ... and the n-gram that ends at each position: its row, its second hash, 1 if there is one."""
        length = axis_size(token_ids, 1)
        real = tf.cast(tf.not_equal(token_ids, self.pad_id), tf.int32)
        rows, owner = tf.math.floormod(token_ids, self.rows), tf.math.floormod(token_ids, OWNERS)
        for n in range(2, self.max_n + 1):
            # The hash of the (n-1)-gram that ends one position earlier is extended by the token here.
            rows = tf.math.floormod(_shifted(rows) * MULTIPLIER + token_ids, self.rows)
            owner = tf.math.floormod(_shifted(owner) * OWNER_MULTIPLIER + token_ids, OWNERS)
            # Padding is on the right only, so the first n - 1 positions are the same for every text: a constant.
            yield rows, owner + 1, real * tf.cast(tf.range(length) >= n - 1, tf.int32)

    def quantize(self, mode: str | None = None, type_check: bool = True, config: Any = None) -> None:
        """Quantizes the table in place; called by `keras.Model.quantize`."""
        self.embeddings = QuantizedWeight(self, self.embeddings, config, table=True)

    def compute_output_shape(self, input_shape):
        return (*input_shape, self.output_dim)

    def get_config(self) -> dict[str, Any]:
        config = {"max_n": self.max_n, "output_dim": self.output_dim, "pad_id": self.pad_id, "rows": self.rows}
        return {**super().get_config(), **config}


def batches_by_length(token_ids: Sequence[np.ndarray], pad_id: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Batches of texts, sorted by length so that they need little padding.

    Args:
        token_ids: int32 `[tokens]` of each text.
        pad_id: the padding id.

    Yields:
        the indices of the texts `[texts]`, and their padded ids `[texts, length]` int32.
    """
    order = np.argsort([len(ids) for ids in token_ids], kind="stable")
    for start in range(0, len(order), TEXTS_AT_ONCE):
        chosen = order[start : start + TEXTS_AT_ONCE]
        yield chosen, truncated_and_padded([token_ids[index] for index in chosen], len(token_ids[chosen[-1]]), pad_id)


def distinct_keys(keys_and_masks: Iterable[tuple[Any, Any]]) -> tuple[np.ndarray, np.ndarray]:
    """The distinct keys of each text.

    Args:
        keys_and_masks: keys below 2 ** 32 at each position, `[texts, length]`, and 1 where there is one, else 0.

    Returns:
        the row of the text, and the key, `[pairs]` int64 each.
    """
    pairs = [
        (np.arange(len(keys))[:, None] << 32 | np.asarray(keys, np.int64))[np.asarray(real) > 0]
        for keys, real in keys_and_masks
    ]
    return np.divmod(np.unique(np.concatenate(pairs)), 1 << 32)


def _shares(keys, real):
    """1 / the occurrences of each key in its row; 0 where `real` is 0. `[batch, length]` float32.

    Compared as integers, which quantization leaves exact.
    """
    keys = keys * real - (1 - real)
    times = tf.reduce_sum(tf.cast(tf.equal(keys[:, :, None], keys[:, None, :]), tf.int32), axis=2)
    return tf.cast(real, tf.float32) / tf.cast(times, tf.float32)


def _shifted(values):
    """Shifts `[batch, length]` one position to the right: `[[1, 2, 3]]` gives `[[0, 1, 2]]`."""
    length = axis_size(values, 1)
    return tf.slice(tf.pad(values, [[0, 0], [1, 0]]), [0, 0], [-1, length])
