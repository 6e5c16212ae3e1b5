"""Quantization-aware training (Jacob et al., 2018) by the quantizer of TF-MOT, for the weights of an int8 file.

The variable of the model holds the quantized weights at all times, so that every checkpoint and every figure is of
them. What is trained in its place is a copy of the weights as they would be without quantization; it gets the gradients
of the quantized ones. The converter computes the scales of the finished weights anew, and as each scale is the largest
magnitude divided by 127, it finds the same scales and integers.

The grid is that of a file for LiteRT with `--quantize dynamic`. It quantizes activations, too, when it runs, by the
range of each row; nothing of that is in the training.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from textapp.compression.kernels import Kernel, kernels_of
from textapp.compression.tfmot import tfmot
from textapp.models.generator import Generator
from textapp.models.int8_kernels import MANY_ZEROS, MIN_QUANTIZED
from textapp.training.loop import Hooks, WeightPairs

_LOCAL = {"trainable": False, "aggregation": "only_first_replica"}  # all replicas write the same values


@dataclass(frozen=True)
class QuantizedKernel:
    """A variable that an int8 file holds as integers.

    Attributes:
        kernel: whose view `[inputs, outputs]` has the values of one scale in a column.
        per_output: whether each column has a scale of its own; False: the whole table has one.
    """

    kernel: Kernel
    per_output: bool = True

    @property
    def scales(self) -> int:
        """The number of scales."""
        return self.kernel.view_shape[1] if self.per_output else 1


def quantized_kernels(model: keras.Model) -> list[QuantizedKernel]:
    """What an export with `--quantize dynamic` for LiteRT holds as int8, and with which scales.

    Products have a scale for each output. A table that is looked up has one, but those of a model that writes have one
    for each row, see `TokenEmbedding.round_rows`; such a table may also be the output layer, whose outputs are the
    rows. Matrices of few weights stay float32.

    Args:
        model: any model of textapp.
    """
    return list(_quantized(model))


def _quantized(model: keras.Model) -> Iterator[QuantizedKernel]:
    writes = isinstance(model, Generator)
    for kernel in kernels_of(model, embeddings=True):
        if kernel.embedding and writes:
            yield QuantizedKernel(replace(kernel, inputs=(1,)))
        elif math.prod(kernel.view_shape) < MIN_QUANTIZED or (kernel.embedding and getattr(model, "loops_copy", False)):
            continue  # a file reads a table of KerasHub's own layers on two grids: by rows, and as a whole
        else:
            yield QuantizedKernel(kernel, per_output=not kernel.embedding)
    positions = getattr(model.decoder, "positions", None) if writes else None
    if positions is not None and positions.kind == "learned" and math.prod(positions.table.shape) >= MIN_QUANTIZED:
        yield QuantizedKernel(Kernel(positions.table, (0,), embedding=True), per_output=False)  # read at each step


def quantizer_of(quantized: QuantizedKernel) -> Callable[[Any], tf.Tensor]:
    """A function from values of a variable to the nearest ones that a file can hold, of the same shape.

    Args:
        quantized: the kernel.

    Example: of one column 0.1, 0.104, -1.27 it makes 0.1, 0.1, -1.27: its step is 0.01.
    """
    kernel, axis = quantized.kernel, 0 if quantized.per_output else None
    quantizer = tfmot("quantization.keras.quantizers").LastValueQuantizer(
        8, per_axis=quantized.per_output, symmetric=True, narrow_range=True
    )

    def quantize(values: Any) -> tf.Tensor:
        view = kernel.view(values)
        limits = tf.reduce_max(tf.abs(view), axis=axis)
        # With `training` it would write the ranges into variables, of which the weights alone tell as much.
        return kernel.from_view(quantizer(view, training=False, weights={"min_var": -limits, "max_var": limits}))

    return quantize


def quantizing_hooks(model: keras.Model, keep_zeros: bool) -> Hooks:
    """The hooks of a quantization-aware training; call it under `strategy.scope()`.

    Args:
        model: its weights are quantized in place.
        keep_zeros: whether all weights that are zero now stay zero; else those of kernels with many zeros do, as a
            pruned one has.
    """
    parts = {id(each.kernel.variable): _Trained(each, keep_zeros) for each in quantized_kernels(model)}

    def transform_weights() -> WeightPairs:
        return [(part.variable, part.weights()) for part in parts.values()]

    def after_update() -> None:
        for part in parts.values():
            part.write()

    after_update()
    trained = [parts[id(each)].free if id(each) in parts else each for each in model.trainable_variables]
    masks = [part.mask for part in parts.values() if part.mask is not None]
    return Hooks(transform_weights, after_update, [*(part.free for part in parts.values()), *masks], trained=trained)


class _Trained:
    """A kernel in a training that quantizes it.

    Args:
        quantized: the kernel.
        keep_zeros: see `quantizing_hooks`.

    Attributes:
        variable: of the model, on the grid.
        free: the weights without quantization.
        mask: 0 where a weight stays zero; None if zeros are not kept.
    """

    def __init__(self, quantized: QuantizedKernel, keep_zeros: bool) -> None:
        self.variable = quantized.kernel.variable
        weights = keras.ops.convert_to_numpy(self.variable)
        self.free = keras.Variable(weights, name=f"{quantized.kernel.name.replace('/', '_')}_free")
        keeps = keep_zeros or np.mean(weights == 0) > MANY_ZEROS
        self.mask = keras.Variable((weights != 0).astype(np.float32), name="mask", **_LOCAL) if keeps else None
        self._quantize = quantizer_of(quantized)

    def weights(self) -> tf.Tensor:
        """The quantized weights, with their gradients to the free weights."""
        return _straight_through(self.free.value, self.variable.value)

    def write(self) -> None:
        """Writes the quantized weights into the model, after an update of the free ones."""
        if self.mask is not None:
            self.free.assign(self.free.value * self.mask.value)
        self.variable.assign(self._quantize(self.free.value))


@tf.custom_gradient
def _straight_through(free: tf.Tensor, quantized: tf.Tensor) -> tuple[tf.Tensor, Any]:
    """The quantized weights; their gradient is that of the free ones, rows of a table as rows (Bengio et al., 2013)."""
    return tf.identity(quantized), lambda gradient: (gradient, None)
