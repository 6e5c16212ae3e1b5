"""What makes a bag of a text: hashed token n-grams beside the tokens, each counted once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from textapp.arrays import truncated_and_padded

# Rows of the n-gram table. As int8 with 16 numbers a row it is 4 MB; and `hash * MULTIPLIER + id` stays below 2**31
# for every vocabulary under a million, so that TensorFlow and the edge runtimes never wrap around.
NGRAM_ROWS = 2**18
MULTIPLIER = 7919
# A second hash, of one byte with 0 for none, tells the n-gram that owns a row from the others that come there.
OWNERS, OWNER_MULTIPLIER = 255, 31
LEAST_TEXTS = 2  # an n-gram of fewer training texts says nothing of others
TEXTS_AT_ONCE = 8192


@keras.saving.register_keras_serializable(package="textapp")
class CountOnce(keras.layers.Layer):
    """Lets each token of a text count once, however often it comes: what is said twice says no more.

    In classification by a bag of words their presence says more than their counts (Pang, Lee and Vaithyanathan, 2002).

    Args:
        pad_id: the padding id.

    Call arguments:
        sequence: `[batch, length, dim]`, a vector for each token.
        token_ids: `[batch, length]` int32.

    Returns:
        `[batch, length, dim]`: the vectors of a token that comes n times, each divided by n; 0 on padding.
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
class NgramEmbedding(keras.layers.Layer):
    """The sum of the vectors of the n-grams that end at each token, hashed into one table (Joulin et al., 2016).

    Each row belongs to one n-gram, which `know` chooses; n-grams without a row count as zeros. As with `CountOnce` the
    vectors of an n-gram that comes n times in a text are divided by n.

    Args:
        most: the longest n-gram in tokens; the shortest has 2.
        output_dim: numbers a vector.
        pad_id: the padding id; an n-gram never reaches before the first token nor into padding.
        rows: rows of the table.

    Call arguments:
        token_ids: `[batch, length]` int32, padding on the right.

    Returns:
        `[batch, length, output_dim]`, 0 on padding.
    """

    def __init__(self, most: int, output_dim: int, pad_id: int, rows: int = NGRAM_ROWS, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if most < 2 or not 1 <= rows <= NGRAM_ROWS:
            raise ValueError(f"expected most >= 2 and 1 <= rows <= {NGRAM_ROWS}, found most={most}, rows={rows}")
        self.most, self.output_dim, self.pad_id, self.rows = most, output_dim, pad_id, rows

    def build(self, input_shape) -> None:
        self.embeddings = self.add_weight(
            name="embeddings", shape=(self.rows, self.output_dim), initializer="uniform", autocast=False
        )
        self.owners = self.add_weight(
            name="owners", shape=(self.rows,), initializer="zeros", dtype="uint8", trainable=False, autocast=False
        )

    def know(self, token_ids: Sequence[np.ndarray]) -> None:
        """Gives each row to the n-gram of most training texts among those that come there, with two texts at least.

        Args:
            token_ids: of each training text, without padding.
        """
        keys, texts = np.zeros(0, np.int64), np.zeros(0, np.int64)
        for _, ids in texts_of_like_length(token_ids, self.pad_id):
            owned = [(np.asarray(rows) << 8 | np.asarray(owner), real) for rows, owner, real in self._ngrams(ids)]
            here, counts = np.unique(once_a_text(owned)[1], return_counts=True)
            keys, places = np.unique(np.concatenate([keys, here]), return_inverse=True)
            texts = np.bincount(places, weights=np.concatenate([texts, counts])).astype(np.int64)
        keys, texts = keys[texts >= LEAST_TEXTS], texts[texts >= LEAST_TEXTS]
        order = np.argsort(texts, kind="stable")  # what is assigned last stays: that of most texts
        owners = np.zeros(self.rows, np.uint8)
        owners[keys[order] >> 8] = keys[order] & 0xFF
        self.owners.assign(owners)

    def call(self, token_ids):
        table = tf.convert_to_tensor(self.embeddings)
        total = None
        for rows, real in self.read(token_ids):
            share = tf.cast(_shares(rows, real), self.compute_dtype)
            vectors = tf.cast(tf.gather(table, rows), self.compute_dtype) * tf.expand_dims(share, -1)
            total = vectors if total is None else total + vectors
        return total

    def read(self, token_ids) -> Iterator[tuple[Any, Any]]:
        """For n of 2, 3, ...: a row at each position, and 1 where the n-gram that ends there owns it, else 0."""
        owners = tf.convert_to_tensor(self.owners)
        for rows, owner, real in self._ngrams(token_ids):
            own = tf.equal(tf.cast(tf.gather(owners, rows), tf.int32), owner)
            yield rows, real * tf.cast(own, tf.int32)

    def _ngrams(self, token_ids) -> Iterator[tuple[Any, Any, Any]]:
        """For n of 2, 3, ... and the n-gram that ends at each position: its row, its byte, 1 if there is one."""
        length = tf.shape(token_ids)[1] if token_ids.shape[1] is None else token_ids.shape[1]
        real = tf.cast(tf.not_equal(token_ids, self.pad_id), tf.int32)
        rows, owner = tf.math.floormod(token_ids, self.rows), tf.math.floormod(token_ids, OWNERS)
        for n in range(2, self.most + 1):
            # The hash of the (n-1)-gram that ends one position earlier is extended by the token here.
            rows = tf.math.floormod(_later(rows) * MULTIPLIER + token_ids, self.rows)
            owner = tf.math.floormod(_later(owner) * OWNER_MULTIPLIER + token_ids, OWNERS)
            # Padding is on the right only, so the first n - 1 positions are the same for every text: a constant.
            yield rows, owner + 1, real * tf.cast(tf.range(length) >= n - 1, tf.int32)

    def compute_output_shape(self, input_shape):
        return (*input_shape, self.output_dim)

    def get_config(self) -> dict[str, Any]:
        own = {"most": self.most, "output_dim": self.output_dim, "pad_id": self.pad_id, "rows": self.rows}
        return {**super().get_config(), **own}


def texts_of_like_length(token_ids: Sequence[np.ndarray], pad_id: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """All texts, some at a time so that little padding is read: their numbers, and their ids `[texts, length]`."""
    order = np.argsort([len(ids) for ids in token_ids], kind="stable")
    for start in range(0, len(order), TEXTS_AT_ONCE):
        chosen = order[start : start + TEXTS_AT_ONCE]
        yield chosen, truncated_and_padded([token_ids[number] for number in chosen], len(token_ids[chosen[-1]]), pad_id)


def once_a_text(found: Iterable[tuple[Any, Any]]) -> tuple[np.ndarray, np.ndarray]:
    """Each key once for every text that has it: the place of the text and the key, `[n]` int64 each.

    Args:
        found: keys below 2 ** 32 at each position, `[texts, length]`, and 1 where there is one, else 0.
    """
    pairs = [
        (np.arange(len(keys))[:, None] << 32 | np.asarray(keys, np.int64))[np.asarray(real) > 0] for keys, real in found
    ]
    return np.divmod(np.unique(np.concatenate(pairs)), 1 << 32)


def _shares(keys, real):
    """1 / how often the key at each position stands in its row; 0 where `real` is 0. `[batch, length]` float32.

    In integers, which a quantized graph compares exactly.
    """
    keys = keys * real - (1 - real)
    times = tf.reduce_sum(tf.cast(tf.equal(keys[:, :, None], keys[:, None, :]), tf.int32), axis=2)
    return tf.cast(real, tf.float32) / tf.cast(times, tf.float32)


def _later(values):
    """Moves `[batch, length]` one position to the right: `[[1, 2, 3]]` gives `[[0, 1, 2]]`."""
    length = tf.shape(values)[1] if values.shape[1] is None else values.shape[1]
    return tf.slice(tf.pad(values, [[0, 0], [1, 0]]), [0, 0], [-1, length])
