"""Moves weights that a loop of a .tflite file carries as loop variables into its body, as constants.

The converter dequantizes float16 weights that are used twice before the loop, and passes the float copy through it as a
loop variable: every call copies it once more, and no runtime can pack it for its matrix products.
"""

from __future__ import annotations

import copy
from typing import Any

from textapp.export.flatbuffer.graphs import is_constant, loops_of, operator_name, pack, parse, read_in


def sink_weights(content: bytes) -> bytes:
    """Returns the file with no weights among its loop variables; the same bytes if there were none.

    Args:
        content: a .tflite file.
    """
    model = parse(content)
    moved = [_sink(model, graph, loop) for graph, loop in loops_of(model)]
    return pack(model) if any(moved) else content


def _sink(model: Any, graph: Any, loop: Any) -> int:
    """Moves the loop variables that are constants, dequantized or not, and never change; returns their number."""
    body = model.subgraphs[loop.builtinOptions.bodySubgraphIndex]
    condition = model.subgraphs[loop.builtinOptions.condSubgraphIndex]
    made_by = {output: operator for operator in graph.operators for output in operator.outputs}
    used = read_in(condition) | set(condition.outputs)
    sunk = []
    for number, (outer, inner) in enumerate(zip(loop.inputs, body.inputs, strict=True)):
        maker = made_by.get(outer)
        dequantized = maker is not None and operator_name(model, maker) == "DEQUANTIZE"
        source = maker.inputs[0] if dequantized else outer
        if inner != body.outputs[number] or condition.inputs[number] in used or not is_constant(model, graph, source):
            continue
        if dequantized:
            body.tensors.append(graph.tensors[source])
            operator = copy.deepcopy(maker)
            operator.inputs, operator.outputs = [len(body.tensors) - 1], [inner]
            body.operators.insert(0, operator)
        else:
            body.tensors[inner].buffer = graph.tensors[source].buffer
        _replace_input(graph, loop.outputs[number], outer)
        sunk.append(number)
    for owner, names in ((loop, ("inputs", "outputs")), (body, ("inputs", "outputs")), (condition, ("inputs",))):
        for name in names:
            remaining = [index for number, index in enumerate(getattr(owner, name)) if number not in sunk]
            setattr(owner, name, remaining)
    return len(sunk)


def _replace_input(graph: Any, after: int, before: int) -> None:
    """Makes the graph read a tensor from before the loop instead of the equal one after it."""
    for operator in graph.operators:
        operator.inputs = [before if index == after else index for index in operator.inputs]
    graph.outputs = [before if index == after else index for index in graph.outputs]
