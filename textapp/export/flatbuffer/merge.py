"""Merges .tflite files of one signature each into one file, with one copy of the weights.

The converter's older quantizer corrupts weights shared by several signatures: it quantizes them once but updates only
one of the graphs. And the converter needs memory for each signature of a large model. So there each signature is
converted alone, and equal weights are shared here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

import numpy as np

from textapp.export.flatbuffer.graphs import pack, parse


def merge(contents: Iterable[bytes]) -> bytes:
    """Returns one .tflite file with the signatures of all.

    Args:
        contents: .tflite files; read one after the other, so an iterator keeps one of them in memory at a time.
    """
    models = map(parse, contents)
    merged = next(models)
    buffers = {_key(buffer): index for index, buffer in reversed(list(enumerate(merged.buffers)))}
    codes = {_code(code): index for index, code in enumerate(merged.operatorCodes)}
    for model in models:
        _append(merged, model, buffers, codes)
    merged.metadata, merged.metadataBuffer = None, None  # they refer to buffers and graphs by their old indices
    return pack(merged)


def _append(merged: Any, model: Any, buffers: dict[bytes, int], codes: dict[tuple[Any, ...], int]) -> None:
    """Appends the graphs of `model`, with all indices of buffers, operator codes and graphs changed to the new ones.

    Args:
        merged: the file so far.
        model: another one.
        buffers: the index of each buffer of `merged`, by its key.
        codes: the same of its operator codes.
    """
    first_graph = len(merged.subgraphs)
    new_buffers, new_codes = [], []
    for buffer in model.buffers:
        key = _key(buffer)
        if key not in buffers:
            buffers[key] = len(merged.buffers)
            # A copy, because the array is a part of the file's content, which would stay in memory.
            buffer.data = None if buffer.data is None else np.array(buffer.data)
            merged.buffers.append(buffer)
        new_buffers.append(buffers[key])
    for code in model.operatorCodes:
        if _code(code) not in codes:
            codes[_code(code)] = len(merged.operatorCodes)
            merged.operatorCodes.append(code)
        new_codes.append(codes[_code(code)])
    for graph in model.subgraphs:
        for tensor in graph.tensors:
            tensor.buffer = new_buffers[tensor.buffer]
        for operator in graph.operators:
            operator.opcodeIndex = new_codes[operator.opcodeIndex]
            for name in ("condSubgraphIndex", "bodySubgraphIndex", "thenSubgraphIndex", "elseSubgraphIndex"):
                if hasattr(operator.builtinOptions, name):
                    setattr(operator.builtinOptions, name, getattr(operator.builtinOptions, name) + first_graph)
    for signature in model.signatureDefs:
        signature.subgraphIndex += first_graph
    merged.subgraphs += model.subgraphs
    merged.signatureDefs += model.signatureDefs


def _key(buffer: Any) -> bytes:
    """Equal for buffers of equal content; of a tensor that is computed it is that of no content."""
    return hashlib.blake2b(b"" if buffer.data is None else np.asarray(buffer.data, np.uint8).data).digest()


def _code(code: Any) -> tuple[Any, ...]:
    return code.builtinCode, code.deprecatedBuiltinCode, code.version, code.customCode
