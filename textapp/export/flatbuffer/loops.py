"""Inspects a .tflite file: the variables of its loops, and the weights of an int8 file that are still float.

A loop variable may be copied at every token, so a loop should carry counters, the text so far and a cache, no weights.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from textapp.errors import ExportError
from textapp.export.flatbuffer.graphs import (
    loops_of,
    operator_name,
    parse,
    read_in,
    shape_of,
    size_bytes,
    type_name,
)

# An int8 file may hold float constants up to this size, or this share of all constants: biases, tables of positions.
MAX_FLOAT_BYTES = 1 << 18
MAX_FLOAT_SHARE = 1 / 64
QUANTIZED = ("dynamic", "int8", "int4")
MIN_WEIGHT_SIZE = 1024  # elements; a smaller constant in a loop costs next to nothing
BYTES = {"BOOL": 1, "INT8": 1, "UINT8": 1, "INT16": 2, "FLOAT16": 2, "INT64": 8}  # an element; 4 for other types
REWRITERS = ("DEQUANTIZE", "RESHAPE", "TRANSPOSE", "CAST")  # their output for a constant is the same weight


class LoopVariable(NamedTuple):
    """A variable of a loop.

    Attributes:
        name, shape, kind: of the tensor inside the body; `kind` is `FLOAT32`, `INT32`, ...
        changes: whether the body returns another tensor.
        weight: whether its initial value is a large constant of the file, or computed from one alone.
    """

    name: str
    shape: tuple[int, ...]
    kind: str
    changes: bool
    weight: bool

    @property
    def size(self) -> int:
        """Elements of the tensor."""
        return int(np.prod(self.shape))


def check_loops(model_path: Path, quantize: str) -> None:
    """Checks that no loop of a file carries a weight, and that a quantized file holds no large float weight.

    Args:
        model_path: the .tflite file.
        quantize: its quantization.

    Raises:
        ExportError: it does; the message names the tensors.
    """
    model = parse(model_path.read_bytes())
    weights = [carried for carried in loop_variables(model) if carried.weight and not carried.changes]
    if weights:
        shown = ", ".join(f"{carried.name} {list(carried.shape)}" for carried in weights)
        raise ExportError(f"a loop of the file carries weights, which it may copy at every token: {shown}")
    if quantize in QUANTIZED:
        floats = [f"{name} {list(shape)}" for name, shape in float_weights(model)]
        if floats:
            raise ExportError(f"the quantized file still holds float weights: {', '.join(floats)}")


def loop_copies(model_path: Path, quantize: str) -> dict[str, float]:
    """The memory traffic that a decoding loop adds at every token, for layers that were not written for a loop.

    Args:
        model_path: the .tflite file.
        quantize: its quantization.

    Returns:
        `copied_mb`: megabytes of the variables that the largest loop changes, and of weights among them; for a
        quantized file also `float_weights_mb`: of large weights that are still float.
    """
    model = parse(model_path.read_bytes())
    carried = [
        sum(BYTES.get(each.kind, 4) * each.size for each in loop if each.changes or each.weight)
        for loop in _loops(model)
    ]
    copied = {"copied_mb": round(max(carried, default=0) / 1e6, 3)}
    if quantize not in QUANTIZED:
        return copied
    floats = sum(4 * int(np.prod(shape)) for _, shape in float_weights(model))
    return {**copied, "float_weights_mb": round(floats / 1e6, 3)}


def loop_variables(model: Any) -> list[LoopVariable]:
    """The variables of all loops of the file."""
    return [carried for loop in _loops(model) for carried in loop]


def _loops(model: Any) -> Iterator[list[LoopVariable]]:
    """The variables of each loop of the file."""
    for graph, loop in loops_of(model):
        made_by = {output: operator for operator in graph.operators for output in operator.outputs}
        body, variables = model.subgraphs[loop.builtinOptions.bodySubgraphIndex], []
        for initial, inner, returned in zip(loop.inputs, body.inputs, body.outputs, strict=True):
            tensor = body.tensors[inner]
            weight = _is_weight(model, graph, made_by, initial)
            name, shape, kind = tensor.name.decode(), shape_of(tensor), type_name(tensor)
            variables.append(LoopVariable(name, shape, kind, inner != returned, weight))
        yield variables


def float_weights(model: Any) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Name and shape of the large float constants, and of large integer constants that are dequantized as a whole.

    Constants of one or two values do not count: they are the initial values of caches, which grow with the batch, and
    masks, which grow with the square of a prompt's length.
    """
    constants = sum(0 if buffer.data is None else len(buffer.data) for buffer in model.buffers)
    limit = max(MAX_FLOAT_BYTES, int(constants * MAX_FLOAT_SHARE))
    seen = set()  # signatures share their buffers
    for graph in model.subgraphs:
        for tensor in map(graph.tensors.__getitem__, sorted(read_in(graph))):  # and no scales, which no operator reads
            if type_name(tensor) not in ("FLOAT32", "FLOAT16") or size_bytes(model, tensor) <= limit:
                continue
            if tensor.buffer not in seen and not _has_two_values(model, tensor):
                seen.add(tensor.buffer)
                yield tensor.name.decode(), shape_of(tensor)
        for operator in graph.operators:
            if operator_name(model, operator) == "DEQUANTIZE":
                tensor = graph.tensors[operator.inputs[0]]
                if 4 * size_bytes(model, tensor) > limit:
                    yield tensor.name.decode(), shape_of(tensor)


def _has_two_values(model: Any, tensor: Any) -> bool:
    kind = np.float32 if type_name(tensor) == "FLOAT32" else np.float16
    values = np.frombuffer(bytes(model.buffers[tensor.buffer].data), kind)
    return bool(np.all((values == values.min()) | (values == values.max())))


def _is_weight(model: Any, graph: Any, made_by: dict[int, Any], index: int) -> bool:
    """Whether a tensor is a large constant other than zeros, or computed from one by `REWRITERS`."""
    tensor = graph.tensors[index]
    data = model.buffers[tensor.buffer].data
    if data is not None and len(data):
        return int(np.prod(shape_of(tensor))) >= MIN_WEIGHT_SIZE and bool(np.any(data))
    operator = made_by.get(index)
    if operator is None or operator_name(model, operator) not in REWRITERS:
        return False
    return _is_weight(model, graph, made_by, operator.inputs[0])
