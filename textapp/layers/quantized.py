"""Weights that are held as integers, and that TensorFlow reads as the float tensors which they stand for."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf


class QuantizedWeight:
    """A weight of a layer as int8, or as two int4 a byte, for layers that `keras.Model.quantize` does not know.

    The integers and their scales are those of Keras' own layers: int8 is symmetric, with one scale for each output of a
    kernel or each row of a table; int4 has a scale and a zero point for each `block_size` inputs. They take the place
    of the float variable in the layer and are called as Keras calls them: `kernel`, `kernel_scale`, `kernel_zero`.
    Activations stay float.

    Args:
        layer: that the variable belongs to, in its `quantize`.
        variable: float, with the outputs as its last axis, or a table of vectors.
        config: of Keras, with the mode `int8` or `int4`.
        table: whether rows are looked up, and each has scales of its own.
    """

    def __init__(self, layer: keras.layers.Layer, variable: keras.Variable, config: Any, table: bool = False) -> None:
        values = keras.ops.convert_to_numpy(variable)
        self.shape, self.table = values.shape, table
        matrix = values.T if table else values.reshape(-1, values.shape[-1])  # [inputs, outputs]
        self.inputs = self.block_size = len(matrix)
        zeros = None
        if config.mode == "int8":
            integers, steps = keras.quantizers.abs_max_quantize(matrix, axis=0, to_numpy=True)
            scales = 1 / np.asarray(steps)
        else:
            # A block that is longer than the inputs is filled up with zeros, so that 0 is in its range.
            block_size = self.inputs if config.block_size in (None, -1) else config.block_size
            self.block_size = min(block_size, self.inputs)
            integers, scales, zeros = keras.quantizers.abs_max_quantize_grouped_with_zero_point(
                matrix, block_size, to_numpy=True
            )
        # By output, so that a row of a table is read in one piece.
        rows = np.asarray(integers).T
        if config.mode == "int4":
            rows = np.asarray(keras.quantizers.pack_int4(rows, axis=-1)[0])
        self.packed = config.mode == "int4"
        parts = {"": rows, "_scale": np.asarray(scales, np.float32).T}
        if zeros is not None:
            parts["_zero"] = np.asarray(zeros).T
        layer._untrack_variable(variable)
        self._parts = {end: _added(layer, variable.name + end, part) for end, part in parts.items()}

    def __tf_tensor__(self, dtype: Any = None, name: str | None = None) -> tf.Tensor:
        """The whole weight, of its shape, in float32 or as asked."""
        rows = self._floats({end: tf.convert_to_tensor(part) for end, part in self._parts.items()})
        floats = rows if self.table else tf.reshape(tf.transpose(rows), self.shape)
        return floats if dtype is None else tf.cast(floats, dtype)

    def rows(self, indices: Any) -> tf.Tensor:
        """Rows of a table: `[*indices, dim]` float32."""
        return self._floats({end: tf.gather(part, indices) for end, part in self._parts.items()})

    def _floats(self, parts: dict[str, tf.Tensor]) -> tf.Tensor:
        """The floats of rows `[..., inputs]`, from their integers, scales and zero points."""
        integers = parts[""]
        if self.packed:
            shape = [*integers.shape[:-1], self.inputs]  # which unpacking forgets where the number of rows is open
            integers = tf.ensure_shape(keras.quantizers.unpack_int4(integers, self.inputs, axis=-1), shape)
        values = tf.cast(integers, tf.float32)
        if "_zero" in parts:
            values -= self._spread(tf.cast(parts["_zero"], tf.float32))
        return values * self._spread(parts["_scale"])

    def _spread(self, of_blocks: tf.Tensor) -> tf.Tensor:
        """`[..., blocks]` to what multiplies `[..., inputs]`."""
        if self.block_size == self.inputs:
            return of_blocks
        return tf.repeat(of_blocks, self.block_size, axis=-1)[..., : self.inputs]


def gather_rows(table: Any, indices: Any) -> tf.Tensor:
    """Rows of a table `[rows, dim]`, which may be a `QuantizedWeight`: `[*indices, dim]`."""
    if isinstance(table, QuantizedWeight):
        return table.rows(indices)
    # Of the variable itself: TensorFlow copies a whole table that a training updates by rows, each time it is read.
    return tf.gather(table.value if isinstance(table, keras.Variable) else table, indices)


def _added(layer: keras.layers.Layer, name: str, values: np.ndarray) -> keras.Variable:
    variable = layer.add_weight(
        values.shape, "zeros", values.dtype.name, trainable=False, autocast=False, name=name.replace("/", "_")
    )
    variable.assign(values)
    return variable
