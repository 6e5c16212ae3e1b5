"""The kernels of a model: the matrices of weights that a method works on, each as a view `[inputs, outputs]`."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from textapp.errors import did_you_mean
from textapp.layers import Lstm, NgramEmbedding, TokenEmbedding, WindowFeatures

EMBEDDINGS = (TokenEmbedding, NgramEmbedding, keras.layers.Embedding)


@dataclass(frozen=True)
class Kernel:
    """A variable that multiplies, and which of its axes are inputs.

    Attributes:
        variable: of any rank from 2.
        inputs: axes over which a product sums; the others are outputs.
        embedding: whether it is a table of vectors, whose rows are the inputs.
    """

    variable: keras.Variable
    inputs: tuple[int, ...]
    embedding: bool = False

    @property
    def name(self) -> str:
        """The path of the variable: `windows/kernel_3`."""
        return self.variable.path

    @property
    def view_shape(self) -> tuple[int, int]:
        """`(inputs, outputs)` of the view."""
        sizes = [int(size) for size in self.variable.shape]
        inputs = math.prod(sizes[axis] for axis in self.inputs)
        return inputs, math.prod(sizes) // inputs

    def _order(self) -> list[int]:
        return [*self.inputs, *(axis for axis in range(len(self.variable.shape)) if axis not in self.inputs)]

    def view(self, values: Any) -> tf.Tensor:
        """Values of the shape of the variable, as `[inputs, outputs]`."""
        return tf.reshape(tf.transpose(values, self._order()), self.view_shape)

    def from_view(self, values: Any) -> tf.Tensor:
        """The inverse of `view`."""
        order = self._order()
        values = tf.reshape(values, [self.variable.shape[axis] for axis in order])
        return tf.transpose(values, np.argsort(order))


def kernels_of(model: keras.Model, embeddings: bool = False, layers: Sequence[str] | None = None) -> list[Kernel]:
    """The kernels of a model, each variable once, in the order of the model's weights.

    Args:
        model: any model of textapp.
        embeddings: also the tables of embeddings.
        layers: names of layers or patterns; None: all.

    Example: of a `Dense(3)` on 2 features it is one kernel with the view shape `(2, 3)`.
    """
    found: dict[int, Kernel] = {}
    for layer in model._flatten_layers():
        for kernel in _of_layer(layer):
            wanted = layers is None or any(_named(kernel, each) for each in layers)
            if wanted and (embeddings or not kernel.embedding):
                found.setdefault(id(kernel.variable), kernel)
    return [found[id(weight)] for weight in model.weights if id(weight) in found]


def unknown_layer(model: keras.Model, layers: Sequence[str], embeddings: bool) -> tuple[int, str] | None:
    """The first entry of `layers` that no kernel has, and what to tell the user; None if all are there.

    Args:
        model: any model of textapp.
        layers: names of layers or patterns.
        embeddings: whether the tables of embeddings count.
    """
    kernels = kernels_of(model, embeddings)
    for number, wanted in enumerate(layers):
        if not any(_named(kernel, wanted) for kernel in kernels):
            names = list(dict.fromkeys(part for kernel in kernels for part in kernel.name.split("/")[:-1]))
            return number, f"expected a layer with a kernel: {', '.join(names)}{did_you_mean(wanted, names)}"
    return None


def _named(kernel: Kernel, wanted: str) -> bool:
    return wanted in kernel.name.split("/") or fnmatchcase(kernel.name, wanted)


def _of_layer(layer: Any) -> Iterator[Kernel]:
    """The kernels that belong to a layer itself, and not to layers in it."""
    if isinstance(layer, keras.layers.EinsumDense):
        yield Kernel(layer._kernel, _einsum_inputs(layer.equation))
    elif isinstance(layer, keras.layers.Dense):
        yield Kernel(layer._kernel, (0,))
    elif isinstance(layer, keras.layers.Conv1D):
        yield Kernel(layer._kernel, (0, 1))
    elif isinstance(layer, WindowFeatures):
        yield from (Kernel(kernel, (0, 1)) for kernel in layer.kernels)
    elif isinstance(layer, Lstm):
        for inputs, states, _ in layer.directions:
            yield from (Kernel(inputs, (0,)), Kernel(states, (0,)))
    elif isinstance(layer, EMBEDDINGS):
        table = layer._embeddings if isinstance(layer, keras.layers.Embedding) else layer.embeddings
        yield Kernel(table, (0,), embedding=True)


def _einsum_inputs(equation: str) -> tuple[int, ...]:
    """The axes of the kernel that are summed over: of `abc,cde->abde` it is the first."""
    read, kernel = equation.split("->")[0].split(",")
    return tuple(axis for axis, letter in enumerate(kernel) if letter in read)
