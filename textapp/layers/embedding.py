"""Embeddings of tokens and of positions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import keras
import numpy as np
import tensorflow as tf

from textapp.layers.quantized import QuantizedWeight, gather_rows
from textapp.layers.shapes import axis_size

FIXED_POINT = 2.0**30
TABLE_UNIT = 2.0**-24  # of tables of constants; float16, as which a file may hold it, has no smaller number


@keras.saving.register_keras_serializable(package="textapp")
class TokenEmbedding(keras.layers.Layer):
    """A vector for each id, read by one gather.

    `keras.layers.Embedding` also handles negative ids, which do not occur here, and in mixed precision casts its whole
    table at every step.

    Args:
        input_dim: size of the vocabulary; ids are 0 to `input_dim - 1`.
        output_dim: size of a vector.
        initializer: of the table.

    Attributes:
        center_rows: subtract from each vector its mean; set by an export, see `textapp.export.folding`.

    Call arguments:
        token_ids: `[batch, length]` int32.

    Returns:
        `[batch, length, output_dim]`.
    """

    center_rows = False

    def __init__(self, input_dim: int, output_dim: int, initializer: Any = "uniform", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.input_dim, self.output_dim = input_dim, output_dim
        self.initializer = keras.initializers.get(initializer)
        self.int8_rows: tuple[tf.Variable, tf.Variable] | None = None

    def build(self, input_shape) -> None:
        self.embeddings = self.add_weight(
            name="embeddings", shape=(self.input_dim, self.output_dim), initializer=self.initializer, autocast=False
        )

    def call(self, token_ids):
        if self.int8_rows is None:
            rows = tf.cast(gather_rows(self.embeddings, token_ids), self.compute_dtype)
        else:
            rows, scales = (tf.cast(tf.gather(part, token_ids), self.compute_dtype) for part in self.int8_rows)
            rows = rows * (scales * FIXED_POINT**-1)
        return rows - tf.reduce_mean(rows, axis=-1, keepdims=True) if self.center_rows else rows

    def quantize(self, mode: str | None = None, type_check: bool = True, config: Any = None) -> None:
        """Quantizes the table in place, as `keras.layers.Embedding.quantize` does: called by `keras.Model.quantize`."""
        self.embeddings = QuantizedWeight(self, self.embeddings, config, table=True)

    def round_rows(self) -> None:
        """Quantizes the table in place; from now on a call gathers int8 rows, each with a scale of its own.

        For the export of a quantized file whose table is read inside a loop: the converter would carry a float copy of
        the whole table through the loop. The float table is rounded to the same grid, so that the converter finds the
        same int8 values for a product with it, and the file holds them once. The scales are integers in units of
        2**-30, because the converter would quantize a float constant of this size to int8.
        """
        table = np.asarray(self.embeddings, np.float64)
        scales = np.maximum(1, np.round(np.abs(table).max(axis=1, keepdims=True) / 127 * FIXED_POINT))
        values = np.clip(np.round(table / scales * FIXED_POINT), -127, 127)
        self.embeddings.assign(values * (scales / FIXED_POINT))
        # Variables, because a constant would stand in the graph of every signature, at each place that reads it.
        self.int8_rows = tf.Variable(values.astype(np.int8)), tf.Variable(scales.astype(np.int32))

    def compute_output_shape(self, input_shape):
        return (*input_shape, self.output_dim)

    def get_config(self) -> dict[str, Any]:
        initializer = keras.initializers.serialize(self.initializer)
        config = {"input_dim": self.input_dim, "output_dim": self.output_dim, "initializer": initializer}
        return {**super().get_config(), **config}


class SubwordEmbedding(TokenEmbedding):
    """The sum of a vector for each id and of the vectors of its character n-grams (Bojanowski et al., 2017).

    For training only: words that share n-grams learn from each other. Afterwards `inference_weights` writes the sums
    into the table of a `TokenEmbedding`, so inference costs nothing more, and this layer is never saved.

    Args:
        ngrams: the n-grams of each id, int32 `[input_dim, max n-grams]`, as numbered by
            `textapp.text.subwords.piece_ngrams`; 0 means none.
        output_dim: size of a vector.

    Call arguments:
        token_ids: `[batch, length]` int32.

    Returns:
        `[batch, length, output_dim]`.
    """

    def __init__(self, ngrams: np.ndarray, output_dim: int, **kwargs: Any) -> None:
        super().__init__(len(ngrams), output_dim, **kwargs)
        self.ngrams = ngrams

    def build(self, input_shape) -> None:
        super().build(input_shape)
        self.parts = self.add_weight(
            name="parts", shape=(int(self.ngrams.max()) + 1, self.output_dim), initializer="uniform", autocast=False
        )

    def call(self, token_ids):
        ngrams = tf.gather(tf.constant(self.ngrams), token_ids)  # [batch, length, max n-grams]
        vectors = tf.cast(gather_rows(self.parts, ngrams), self.compute_dtype)
        present = tf.cast(ngrams > 0, self.compute_dtype)
        return super().call(token_ids) + tf.einsum("blnd,bln->bld", vectors, present)

    def table(self) -> np.ndarray:
        """The sum for each id, `[input_dim, output_dim]` float32."""
        parts = keras.ops.convert_to_numpy(self.parts).copy()
        parts[0] = 0.0
        sums = keras.ops.convert_to_numpy(self.embeddings).copy()
        for column in self.ngrams.T:
            sums += parts[column]
        return sums


@keras.saving.register_keras_serializable(package="textapp")
class Positions(keras.layers.Layer):
    """Adds a position embedding to each token (Vaswani et al., 2017).

    Args:
        kind: `learned`, a trained table; or `sinusoidal`, a fixed one.
        max_length: rows of the table, in tokens.

    Call arguments:
        sequence: `[batch, length, dim]`, length at most `max_length`.
        positions: `[batch, length]` or `[length]` int32, the position of each token; None: 0, 1, 2, ...

    Returns:
        `[batch, length, dim]`.

    Raises:
        ValueError: `kind` is none of these.
    """

    def __init__(self, kind: Literal["learned", "sinusoidal"], max_length: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if kind not in ("learned", "sinusoidal"):
            raise ValueError(f"expected the kind learned or sinusoidal, found {kind!r}")
        self.kind, self.max_length = kind, max_length

    def build(self, input_shape) -> None:
        dim = input_shape[-1]
        if self.kind == "learned":
            normal = keras.initializers.RandomNormal(stddev=0.02)
            self.table = self.add_weight(name="table", shape=(self.max_length, dim), initializer=normal)
        else:
            self.table = sinusoids(self.max_length, dim)

    def call(self, sequence, positions=None):
        if positions is not None and isinstance(self.table, np.ndarray):
            return sequence + constant_rows(self.table, positions, self.compute_dtype)
        table = tf.cast(tf.convert_to_tensor(self.table), self.compute_dtype)
        if positions is not None:
            return sequence + tf.gather(table, positions)
        length = axis_size(sequence, 1)
        return sequence + tf.slice(table, [0, 0], [length, -1])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "kind": self.kind, "max_length": self.max_length}


def constant_rows(table: np.ndarray, indices: Any, dtype: str) -> tf.Tensor:
    """Rows of a table of constants, which a quantized file keeps exact to 2**-25.

    A converter quantizes a float constant that is gathered to int8 with one scale for all of it, whatever follows; then
    a decoding step would rotate keys by other angles than the prompt before it. It leaves integers as they are.

    Args:
        table: `[rows, dim]`, values below 2.
        indices: int32, of any shape.
        dtype: of the result.

    Returns:
        `[*indices, dim]`.
    """
    whole = tf.constant(np.round(table / TABLE_UNIT).astype(np.int32))
    return tf.cast(tf.cast(tf.gather(whole, indices), tf.float32) * TABLE_UNIT, dtype)


def sinusoids(length: int, dim: int) -> np.ndarray:
    """Sinusoidal position embeddings: sines, then cosines, of wavelengths from 2 pi to 10,000 * 2 pi tokens.

    Args:
        length: positions.
        dim: size of a vector.

    Returns:
        `[length, dim]` float32; row 0 is all 0 in the first half and all 1 in the second.
    """
    angles = rotary_angles(length, 2 * ((dim + 1) // 2))
    return np.concatenate([np.sin(angles), np.cos(angles)], axis=-1)[:, :dim].astype(np.float32)


def rotary_angles(length: int, dim: int, rates: Sequence[float] | None = None) -> np.ndarray:
    """The angles of rotary position embeddings, in radians.

    Args:
        length: positions.
        dim: size of a vector, whose elements are rotated in pairs.
        rates: radians a position for each pair; None: 10,000 ** (-2i / dim).

    Returns:
        `[length, dim / 2]` float64.
    """
    if rates is None:
        rates = 1.0 / 10000.0 ** (np.arange(0, dim, 2) / dim)
    return np.arange(length)[:, None] * np.asarray(rates, np.float64)[None, :]
