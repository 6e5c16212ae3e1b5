"""Moves weights that go through a loop of a .tflite file into the loop's body, where they are constants.

The converter turns float16 weights that are used twice to float before the loop, and hands the float copy through it:
every call copies it once more, and no runtime can pack it for its products.
"""

from __future__ import annotations

import copy
from typing import Any

from textapp.export.flatbuffer.graphs import is_constant, loops_of, operator_name, pack, parse, read_in


def sink_weights(content: bytes) -> bytes:
    """The same file with no weight in a loop; the file itself where there is none.

    Args:
        content: a .tflite file.
    """
    model = parse(content)
    moved = [_sink(model, graph, loop) for graph, loop in loops_of(model)]
    return pack(model) if any(moved) else content


def _sink(model: Any, graph: Any, loop: Any) -> int:
    """Moves what one loop carries and never changes, a constant or one turned to float; returns how many."""
    body = model.subgraphs[loop.builtinOptions.bodySubgraphIndex]
    condition = model.subgraphs[loop.builtinOptions.condSubgraphIndex]
    made_by = {output: operator for operator in graph.operators for output in operator.outputs}
    read = read_in(condition) | set(condition.outputs)
    sunk = []
    for place, (outer, inner) in enumerate(zip(loop.inputs, body.inputs, strict=True)):
        maker = made_by.get(outer)
        turned = maker is not None and operator_name(model, maker) == "DEQUANTIZE"
        source = maker.inputs[0] if turned else outer
        if inner != body.outputs[place] or condition.inputs[place] in read or not is_constant(model, graph, source):
            continue
        if turned:
            body.tensors.append(graph.tensors[source])
            operator = copy.deepcopy(maker)
            operator.inputs, operator.outputs = [len(body.tensors) - 1], [inner]
            body.operators.insert(0, operator)
        else:
            body.tensors[inner].buffer = graph.tensors[source].buffer
        _read_before(graph, loop.outputs[place], outer)
        sunk.append(place)
    for owner, names in ((loop, ("inputs", "outputs")), (body, ("inputs", "outputs")), (condition, ("inputs",))):
        for name in names:
            kept = [index for place, index in enumerate(getattr(owner, name)) if place not in sunk]
            setattr(owner, name, kept)
    return len(sunk)


def _read_before(graph: Any, after: int, before: int) -> None:
    """Whoever reads what comes out of a loop unchanged reads what went into it."""
    for operator in graph.operators:
        operator.inputs = [before if index == after else index for index in operator.inputs]
    graph.outputs = [before if index == after else index for index in graph.outputs]
