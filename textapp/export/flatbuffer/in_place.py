"""Rewrites the loops of a .tflite file to update buffers in place.

For a loop that writes one row of a buffer in each iteration, a runtime copies the whole buffer twice: to write into it,
and to pass it to the next iteration. But since 2.14 TensorFlow Lite does not copy a loop variable that the body returns
unchanged and that is not read after the loop: inside the loop it is the memory of the input (kernels/while.cc). So a
buffer becomes two loop variables that share this memory. The body reads the first, writes the second, and returns both
unchanged. With a single one, a graph that is partitioned among delegates would run the write before all reads.

A delegate may write before others have read, so the row that an iteration writes must be one that it masks: see
`textapp.layers.cache.ages`. An older runtime copies and would lose all rows, so the file requires an operator of 2.14.
"""

from __future__ import annotations

import copy
from typing import Any

import numpy as np

from textapp.export.flatbuffer.graphs import (
    append_buffer,
    append_tensor,
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

NEEDED = ("CONCATENATION", 4)  # new in 2.14


def write_in_place(content: bytes) -> bytes:
    """Rewrites every buffer of a loop that starts as zeros and is not read after the loop.

    Args:
        content: a .tflite file.

    Returns:
        the rewritten file, or the same bytes if it has no such buffer.
    """
    model = parse(content)
    # Rewriting adds operators to the graphs, so the loops are listed first.
    if not any([_rewrite(model, graph, loop) for graph, loop in list(loops_of(model))]):
        return content
    _operator_code(model, *NEEDED)
    _drop_unread(model)
    return pack(model)


def _rewrite(model: Any, graph: Any, loop: Any) -> bool:
    """Rewrites one loop; returns whether it has such a buffer."""
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
        number: made_by[returned]
        for number, (initial, final, inner, returned) in enumerate(
            zip(loop.inputs, loop.outputs, body.inputs, body.outputs, strict=True)
        )
        if returned in made_by
        and returned not in read_inside
        and made_by[returned].inputs[0] == inner
        and final not in read_outside
        and _is_zeros(model, graph, initial)
    }
    for number, writer in writers.items():
        loop.inputs[number] = _zeros(model, graph, loop, number)
        body.outputs[number] = body.inputs[number]
        writer.outputs = [_append_copy(body, body.inputs[number])]
        loop.inputs.append(loop.inputs[number])
        loop.outputs.append(_append_copy(graph, loop.outputs[number]))
        body.inputs.append(writer.outputs[0])
        body.outputs.append(writer.outputs[0])
        condition.inputs.append(_append_copy(condition, condition.inputs[number]))
    last = list(writers.values())
    body.operators = [operator for operator in body.operators if operator not in last] + last
    return bool(writers)


def _is_zeros(model: Any, graph: Any, index: int) -> bool:
    """Whether a tensor is a float32 constant of zeros, which in a file of float16 weights is a dequantized one."""
    if type_name(graph.tensors[index]) != "FLOAT32":
        return False
    for operator in graph.operators:
        if index in operator.outputs and operator_name(model, operator) == "DEQUANTIZE":
            index = operator.inputs[0]
    return is_constant(model, graph, index) and not np.any(model.buffers[graph.tensors[index].buffer].data)


def _zeros(model: Any, graph: Any, loop: Any, number: int) -> int:
    """Adds a FILL of zeros before the loop, as a constant cannot be written to; returns its output tensor."""
    from tensorflow.lite.python import schema_py_generated as schema

    like = graph.tensors[loop.inputs[number]]
    dims = _constant(model, graph, np.array(shape_of(like), np.int32), schema.TensorType.INT32)
    value = _constant(model, graph, np.zeros((), np.float32), schema.TensorType.FLOAT32)
    fill = schema.OperatorT()
    fill.opcodeIndex = _operator_code(model, "FILL", 1)
    fill.inputs, fill.outputs = [dims, value], [_append_copy(graph, loop.inputs[number])]
    fill.builtinOptionsType, fill.builtinOptions = schema.BuiltinOptions.FillOptions, schema.FillOptionsT()
    graph.operators.insert(next(at for at, each in enumerate(graph.operators) if each is loop), fill)
    return fill.outputs[0]


def _constant(model: Any, graph: Any, values: np.ndarray, kind: int) -> int:
    return append_tensor(graph, values.shape, kind, append_buffer(model, values))


def _append_copy(graph: Any, index: int) -> int:
    """Adds a computed tensor of the same shape and type as tensor `index`; returns its index."""
    tensor = copy.deepcopy(graph.tensors[index])
    tensor.buffer = 0
    graph.tensors.append(tensor)
    return len(graph.tensors) - 1


def _operator_code(model: Any, name: str, version: int) -> int:
    """The index of an operator code in the file, which is added if it is missing."""
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
    """Removes constants that are no longer read, and those whose dequantized copy is not."""
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
