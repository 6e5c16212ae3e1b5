"""A look into a .tflite file: what goes through its loops, and which weights of an int8 file are still float.

A tensor in a loop may be copied at every token, so a loop carries its counters, the text so far and a cache, no weight.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from textapp.errors import ExportError
from textapp.export.flatbuffer.graphs import loops_of, operator_name, parse, shape_of, size_bytes, type_name

# Float constants up to this size stay in an int8 file: biases, masks, tables of positions of a short context.
MOST_FLOAT_BYTES = 1 << 18
QUANTIZED = ("dynamic", "int8")
LEAST_NUMBERS = 1024  # what has fewer numbers costs a loop nothing
KINDS = {"BOOL": 1, "INT8": 1, "UINT8": 1, "INT16": 2, "FLOAT16": 2, "INT64": 8}  # bytes a number; others have 4
REWRITERS = ("DEQUANTIZE", "RESHAPE", "TRANSPOSE", "CAST")  # of a constant they make the same weight again


class Carried(NamedTuple):
    """A tensor that goes through a loop.

    Attributes:
        name, shape, kind: of the tensor inside the body; `kind` is `FLOAT32`, `INT32`, ...
        changes: whether the body gives another tensor back.
        weight: whether it holds a constant of the file, in whatever form.
    """

    name: str
    shape: tuple[int, ...]
    kind: str
    changes: bool
    weight: bool

    @property
    def numbers(self) -> int:
        return int(np.prod(self.shape))


def check_loops(model_path: Path, quantize: str) -> None:
    """Refuses a file whose loops carry a weight, or whose int8 weights have a float copy.

    Args:
        model_path: the .tflite file.
        quantize: how it was converted.

    Raises:
        ExportError: naming the tensors.
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
    """What a file of layers that were not written for a loop costs at every token, in megabytes.

    Args:
        model_path: the .tflite file.
        quantize: how it was converted.

    Returns:
        `copied_mb`: what its largest loop carries and changes, or carries as a weight; of an int8 file also
        `float_weights_mb`: large weights that are float all the same.
    """
    model = parse(model_path.read_bytes())
    carried = [
        sum(KINDS.get(each.kind, 4) * each.numbers for each in loop if each.changes or each.weight)
        for loop in _loops(model)
    ]
    copied = {"copied_mb": round(max(carried, default=0) / 1e6, 3)}
    if quantize not in QUANTIZED:
        return copied
    floats = sum(4 * int(np.prod(shape)) for _, shape in float_weights(model))
    return {**copied, "float_weights_mb": round(floats / 1e6, 3)}


def loop_variables(model: Any) -> list[Carried]:
    """All tensors that go through all loops of the file."""
    return [carried for loop in _loops(model) for carried in loop]


def _loops(model: Any) -> Iterator[list[Carried]]:
    """What goes through each loop of the file."""
    for graph, loop in loops_of(model):
        made_by = {output: operator for operator in graph.operators for output in operator.outputs}
        body, found = model.subgraphs[loop.builtinOptions.bodySubgraphIndex], []
        for outer, inner, back in zip(loop.inputs, body.inputs, body.outputs, strict=True):
            tensor = body.tensors[inner]
            weight = _is_weight(model, graph, made_by, outer)
            found.append(Carried(tensor.name.decode(), shape_of(tensor), type_name(tensor), inner != back, weight))
        yield found


def float_weights(model: Any) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Name and shape of the large float constants, and of integer constants that are turned to float as a whole.

    Zeros are no weights: a cache begins with them, and with the texts of a batch they become many.
    """
    seen = set()  # signatures share their buffers
    for graph in model.subgraphs:
        for tensor in graph.tensors:
            large = size_bytes(model, tensor) > MOST_FLOAT_BYTES and np.any(model.buffers[tensor.buffer].data)
            if type_name(tensor) in ("FLOAT32", "FLOAT16") and large and tensor.buffer not in seen:
                seen.add(tensor.buffer)
                yield tensor.name.decode(), shape_of(tensor)
        for operator in graph.operators:
            if operator_name(model, operator) == "DEQUANTIZE":
                tensor = graph.tensors[operator.inputs[0]]
                if 4 * size_bytes(model, tensor) > MOST_FLOAT_BYTES:
                    yield tensor.name.decode(), shape_of(tensor)


def _is_weight(model: Any, graph: Any, made_by: dict[int, Any], index: int) -> bool:
    """Whether a tensor is a large constant with values other than 0, or made of one."""
    tensor = graph.tensors[index]
    data = model.buffers[tensor.buffer].data
    if data is not None and len(data):
        return int(np.prod(shape_of(tensor))) >= LEAST_NUMBERS and bool(np.any(data))
    operator = made_by.get(index)
    if operator is None or operator_name(model, operator) not in REWRITERS:
        return False
    return _is_weight(model, graph, made_by, operator.inputs[0])
