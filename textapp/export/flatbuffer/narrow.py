"""Writes the kernels of a .tflite file in int4, where its int8 ones are of kernels on the grid of int4.

The converter knows no int4. It quantizes such a kernel to int8 with one scale an output; here the kernel itself tells
the integers and the scales of its blocks (`as_int4`). LiteRT multiplies int8 activations with them (XNNPACK's
qd8-f32-qb4w). The scales are a tensor of float16, which the quantization of the kernel names.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from textapp.export.flatbuffer.graphs import (
    append_buffer,
    append_tensor,
    is_constant,
    operator_name,
    pack,
    parse,
    shape_of,
    type_name,
)
from textapp.models.int4_kernels import BLOCK, SMALLEST_SCALE, Int4Kernel, as_int4, rounded_scales

CLOSE = 1  # int8 steps, by which the converter may round otherwise than NumPy


class _Kernel(NamedTuple):
    """A kernel on the grid of int4.

    Attributes:
        narrow: its integers and scales.
        wide: `[outputs, inputs]` int8, as the converter writes it.
        steps: `[outputs]`, of `wide`.
    """

    narrow: Int4Kernel
    wide: np.ndarray
    steps: np.ndarray


def narrow_kernels(content: bytes, kernels: Iterable[np.ndarray]) -> tuple[bytes, int]:
    """Returns the file with its kernels in int4, and their number.

    Args:
        content: a .tflite file with int8 weights.
        kernels: those of its model, `[inputs, outputs]` float32; what `as_int4` does not take stays int8.
    """
    model = parse(content)
    found: dict[tuple[int, ...], list[_Kernel]] = defaultdict(list)
    for kernel in kernels:
        narrow = as_int4(kernel)
        if narrow is not None:
            steps = np.abs(kernel).max(axis=0) / 127
            wide = np.round(kernel / np.where(steps > 0, steps, 1)).T.astype(np.int8)
            found[wide.shape].append(_Kernel(narrow, wide, steps))
    written: dict[int, tuple[int, int]] = {}  # from the buffer of a kernel to those of its int4 values and scales
    for graph in model.subgraphs:
        for tensor in _weights(model, graph):
            if tensor.buffer not in written:
                of_kernel = _matching(model, tensor, found[shape_of(tensor)])
                if of_kernel is None:
                    continue
                values, scales = _packed(of_kernel.narrow.values), _scales(of_kernel, tensor)
                written[tensor.buffer] = append_buffer(model, values), append_buffer(model, scales)
            _narrow(graph, tensor, *written[tensor.buffer])
    read = {tensor.buffer for graph in model.subgraphs for tensor in graph.tensors}
    for buffer in written.keys() - read:
        model.buffers[buffer].data = None
    return pack(model), len(written)


def _weights(model: Any, graph: Any) -> list[Any]:
    """The int8 constants that a graph multiplies with and reads in no other way."""
    kernels, others = set(), set()
    for operator in graph.operators:
        product = operator_name(model, operator) == "FULLY_CONNECTED"
        for place, index in enumerate(operator.inputs):
            (kernels if product and place == 1 else others).add(int(index))
    tensors = [(index, graph.tensors[index]) for index in sorted(kernels - others)]
    return [tensor for index, tensor in tensors if type_name(tensor) == "INT8" and is_constant(model, graph, index)]


def _matching(model: Any, tensor: Any, kernels: list[_Kernel]) -> _Kernel | None:
    """The kernel that a tensor holds; None: there is none."""
    data = np.asarray(model.buffers[tensor.buffer].data, np.uint8).view(np.int8).reshape(shape_of(tensor))
    for kernel in kernels:
        if _close(kernel.wide[:4], data[:4]) and _close(kernel.wide, data):
            return kernel
    return None


def _close(one: np.ndarray, other: np.ndarray) -> bool:
    return bool(np.abs(one.astype(np.int16) - other).max() <= CLOSE)


def _scales(kernel: _Kernel, tensor: Any) -> np.ndarray:
    """The scales of a kernel as a file holds them, with a factor that the converter may have put into it."""
    factors = np.asarray(tensor.quantization.scale) / np.where(kernel.steps > 0, kernel.steps, 1)
    factors = np.where((kernel.steps > 0) & (np.abs(factors - 1) > 1e-4), factors, 1)
    return rounded_scales(np.maximum(kernel.narrow.scales * factors[:, None], SMALLEST_SCALE)).astype(np.float16)


def _packed(values: np.ndarray) -> np.ndarray:
    """Integers of four bits, two a byte, the first in its lower half."""
    halves = values.reshape(-1).astype(np.uint8) & 15
    return halves[::2] | halves[1::2] << 4


def _narrow(graph: Any, tensor: Any, values: int, scales: int) -> None:
    """Makes a tensor one of int4, with the buffers of its values and scales."""
    from tensorflow.lite.python import schema_py_generated as schema

    details, quantization = schema.BlockwiseQuantizationT(), schema.QuantizationParametersT()
    outputs, inputs = shape_of(tensor)
    details.scales = append_tensor(graph, (outputs, inputs // BLOCK), schema.TensorType.FLOAT16, scales)
    details.zeroPoints, details.blockSize = -1, BLOCK
    quantization.detailsType, quantization.details = schema.QuantizationDetails.BlockwiseQuantization, details
    tensor.type, tensor.buffer, tensor.quantization = schema.TensorType.INT4, values, quantization
