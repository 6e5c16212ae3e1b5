"""Puts .tflite files of one signature each together into one file, with one copy of the weights.

The converter's older quantizer spoils weights that several signatures share: it quantizes them once and tells only
one of the graphs. So each signature is converted alone, and the equal weights find each other here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from textapp.export.flatbuffer.graphs import pack, parse


def merge(contents: Sequence[bytes]) -> bytes:
    """One .tflite file with the signatures of all.

    Args:
        contents: .tflite files.
    """
    models = [parse(content) for content in contents]
    whole = models[0]
    buffers = {_data(buffer): index for index, buffer in reversed(list(enumerate(whole.buffers)))}
    for model in models[1:]:
        _append(whole, model, buffers)
    whole.metadata, whole.metadataBuffer = None, None  # they name buffers and graphs by their old numbers
    return pack(whole)


def _append(whole: Any, model: Any, buffers: dict[bytes, int]) -> None:
    """Moves the graphs of `model` over: every number by which one names another changes."""
    first_graph, first_code = len(whole.subgraphs), len(whole.operatorCodes)
    places = []
    for buffer in model.buffers:
        data = _data(buffer)
        if data not in buffers:
            buffers[data] = len(whole.buffers)
            whole.buffers.append(buffer)
        places.append(buffers[data])
    for graph in model.subgraphs:
        for tensor in graph.tensors:
            tensor.buffer = places[tensor.buffer]
        for operator in graph.operators:
            operator.opcodeIndex += first_code
            for name in ("condSubgraphIndex", "bodySubgraphIndex", "thenSubgraphIndex", "elseSubgraphIndex"):
                if hasattr(operator.builtinOptions, name):
                    setattr(operator.builtinOptions, name, getattr(operator.builtinOptions, name) + first_graph)
    for signature in model.signatureDefs:
        signature.subgraphIndex += first_graph
    whole.subgraphs += model.subgraphs
    whole.operatorCodes += model.operatorCodes
    whole.signatureDefs += model.signatureDefs


def _data(buffer: Any) -> bytes:
    """What a buffer holds; empty for a tensor that is computed."""
    return b"" if buffer.data is None else bytes(buffer.data)
