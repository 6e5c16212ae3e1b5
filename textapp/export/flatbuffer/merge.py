"""Merges .tflite files of one signature each into one file, with one copy of the weights.

The converter's older quantizer corrupts weights shared by several signatures: it quantizes them once but updates only
one of the graphs. So each signature is converted alone, and equal weights are shared here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from textapp.export.flatbuffer.graphs import pack, parse


def merge(contents: Sequence[bytes]) -> bytes:
    """Returns one .tflite file with the signatures of all.

    Args:
        contents: .tflite files.
    """
    models = [parse(content) for content in contents]
    merged = models[0]
    buffers = {_data(buffer): index for index, buffer in reversed(list(enumerate(merged.buffers)))}
    for model in models[1:]:
        _append(merged, model, buffers)
    merged.metadata, merged.metadataBuffer = None, None  # they refer to buffers and graphs by their old indices
    return pack(merged)


def _append(merged: Any, model: Any, buffers: dict[bytes, int]) -> None:
    """Appends the graphs of `model`, with all indices of buffers, operator codes and graphs changed to the new ones."""
    first_graph, first_code = len(merged.subgraphs), len(merged.operatorCodes)
    new_buffers = []
    for buffer in model.buffers:
        data = _data(buffer)
        if data not in buffers:
            buffers[data] = len(merged.buffers)
            merged.buffers.append(buffer)
        new_buffers.append(buffers[data])
    for graph in model.subgraphs:
        for tensor in graph.tensors:
            tensor.buffer = new_buffers[tensor.buffer]
        for operator in graph.operators:
            operator.opcodeIndex += first_code
            for name in ("condSubgraphIndex", "bodySubgraphIndex", "thenSubgraphIndex", "elseSubgraphIndex"):
                if hasattr(operator.builtinOptions, name):
                    setattr(operator.builtinOptions, name, getattr(operator.builtinOptions, name) + first_graph)
    for signature in model.signatureDefs:
        signature.subgraphIndex += first_graph
    merged.subgraphs += model.subgraphs
    merged.operatorCodes += model.operatorCodes
    merged.signatureDefs += model.signatureDefs


def _data(buffer: Any) -> bytes:
    """The content of a buffer; empty for a tensor that is computed."""
    return b"" if buffer.data is None else bytes(buffer.data)
