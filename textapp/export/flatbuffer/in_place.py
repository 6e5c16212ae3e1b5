"""Lets the loops of a .tflite file write a row of a buffer where it lies.

A loop that writes one row of a buffer at each turn makes a runtime copy all of it twice: to write into it, and to hand
it on to the next turn. But what a loop hands on as it came, and nobody reads behind the loop, TensorFlow Lite does not
copy since 2.14: inside, it is the memory that came from outside (its kernels/while.cc). So a buffer goes into the loop
under two names for this one memory. The body reads by the first, writes by the second, and hands both on; with one
name, the partition of a graph among delegates would wait for the writer before it lets anyone read.

A delegate may write before others have read, so the row that a turn writes must be one that it does not count: see
`textapp.layers.cache.ages`. A runtime that copies would lose all rows, so the file asks for an operator of 2.14.
"""

from __future__ import annotations

import copy
from typing import Any

import numpy as np

from textapp.export.flatbuffer.graphs import (
    builtin_of,
    is_constant,
    loops_of,
    operator_name,
    pack,
    parse,
    read_in,
    shape_of,
    type_name,
)

NEEDED = ("CONCATENATION", 4)  # came with 2.14


def write_in_place(content: bytes) -> bytes:
    """The same file with every buffer written in place that begins as zeros and is not read behind its loop.

    Args:
        content: a .tflite file.
    """
    model = parse(content)
    # The graphs grow while they are rewritten, so the loops are found first.
    if not any([_rewrite(model, graph, loop) for graph, loop in list(loops_of(model))]):
        return content
    _operator_code(model, *NEEDED)
    _drop_unread(model)
    return pack(model)


def _rewrite(model: Any, graph: Any, loop: Any) -> bool:
    """Rewrites one loop; returns whether it had such a buffer."""
    body = model.subgraphs[loop.builtinOptions.bodySubgraphIndex]
    condition = model.subgraphs[loop.builtinOptions.condSubgraphIndex]
    for owner in (loop, body, condition):
        owner.inputs, owner.outputs = list(owner.inputs), list(owner.outputs)
    read_outside, read_inside = read_in(graph) | set(graph.outputs), read_in(body)
    made_by = {
        operator.outputs[0]: operator
        for operator in body.operators
        if operator_name(model, operator) == "DYNAMIC_UPDATE_SLICE"
    }
    writers = {
        place: made_by[back]
        for place, (outer, behind, inner, back) in enumerate(
            zip(loop.inputs, loop.outputs, body.inputs, body.outputs, strict=True)
        )
        if back in made_by
        and back not in read_inside
        and made_by[back].inputs[0] == inner
        and behind not in read_outside
        and _is_zeros(model, graph, outer)
    }
    for place, writer in writers.items():
        loop.inputs[place] = _zeros(model, graph, loop, place)
        body.outputs[place] = body.inputs[place]
        writer.outputs = [_append_copy(body, body.inputs[place])]
        loop.inputs.append(loop.inputs[place])
        loop.outputs.append(_append_copy(graph, loop.outputs[place]))
        body.inputs.append(writer.outputs[0])
        body.outputs.append(writer.outputs[0])
        condition.inputs.append(_append_copy(condition, condition.inputs[place]))
    last = list(writers.values())
    body.operators = [operator for operator in body.operators if operator not in last] + last
    return bool(writers)


def _is_zeros(model: Any, graph: Any, index: int) -> bool:
    """Whether a tensor is a float32 constant of zeros; float16 weights keep one in half the space."""
    if type_name(graph.tensors[index]) != "FLOAT32":
        return False
    for operator in graph.operators:
        if index in operator.outputs and operator_name(model, operator) == "DEQUANTIZE":
            index = operator.inputs[0]
    return is_constant(model, graph, index) and not np.any(model.buffers[graph.tensors[index].buffer].data)


def _zeros(model: Any, graph: Any, loop: Any, place: int) -> int:
    """A tensor of its own with zeros, made before the loop: a constant cannot be written to."""
    from tensorflow.lite.python import schema_py_generated as schema

    like = graph.tensors[loop.inputs[place]]
    dims = _constant(model, graph, np.array(shape_of(like), np.int32), schema.TensorType.INT32)
    value = _constant(model, graph, np.zeros((), np.float32), schema.TensorType.FLOAT32)
    fill = schema.OperatorT()
    fill.opcodeIndex = _operator_code(model, "FILL", 1)
    fill.inputs, fill.outputs = [dims, value], [_append_copy(graph, loop.inputs[place])]
    fill.builtinOptionsType, fill.builtinOptions = schema.BuiltinOptions.FillOptions, schema.FillOptionsT()
    graph.operators.insert(next(at for at, each in enumerate(graph.operators) if each is loop), fill)
    return fill.outputs[0]


def _constant(model: Any, graph: Any, values: np.ndarray, kind: int) -> int:
    from tensorflow.lite.python import schema_py_generated as schema

    buffer, tensor = schema.BufferT(), schema.TensorT()
    buffer.data = np.frombuffer(values.tobytes(), np.uint8)
    model.buffers.append(buffer)
    tensor.shape, tensor.type, tensor.buffer, tensor.name = list(values.shape), kind, len(model.buffers) - 1, b""
    graph.tensors.append(tensor)
    return len(graph.tensors) - 1


def _append_copy(graph: Any, index: int) -> int:
    """One more tensor of the same shape and type, which is computed."""
    tensor = copy.deepcopy(graph.tensors[index])
    tensor.buffer = 0
    graph.tensors.append(tensor)
    return len(graph.tensors) - 1


def _operator_code(model: Any, name: str, version: int) -> int:
    """The number of an operator in the file, which is added where it is missing."""
    from tensorflow.lite.python import schema_py_generated as schema

    builtin = getattr(schema.BuiltinOperator, name)
    for number, code in enumerate(model.operatorCodes):
        if builtin_of(code) == builtin and code.version == version:
            return number
    code = schema.OperatorCodeT()
    code.builtinCode, code.deprecatedBuiltinCode, code.version = builtin, min(builtin, 127), version
    model.operatorCodes.append(code)
    return len(model.operatorCodes) - 1


def _drop_unread(model: Any) -> None:
    """Empties the constants that nobody reads any more, or only to turn them to float32 for nobody."""
    read_buffers = {entry.buffer for entry in model.metadata or ()}
    for graph in model.subgraphs:
        read = read_in(graph) | set(graph.outputs)
        graph.operators = [
            operator
            for operator in graph.operators
            if operator_name(model, operator) != "DEQUANTIZE" or operator.outputs[0] in read
        ]
        read = read_in(graph) | set(graph.outputs)
        for index, tensor in enumerate(graph.tensors):
            if index not in read:
                tensor.buffer = 0
            read_buffers.add(tensor.buffer)
    for number, buffer in enumerate(model.buffers):
        if number not in read_buffers:
            buffer.data = None
