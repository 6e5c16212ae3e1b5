"""A .tflite file as objects of TensorFlow Lite's schema, with functions to query them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

import numpy as np


def parse(content: bytes) -> Any:
    """Reads a file into a `ModelT`."""
    from tensorflow.lite.python import schema_py_generated as schema

    return schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(content, 0))


def pack(model: Any) -> bytes:
    """Writes a `ModelT` to a file, as small as a runtime can read it.

    The signatures of a file repeat each other, so equal lists (scales, zero points, shapes) and names stand in the file
    once, and what is computed between constants and outputs has no name.
    """
    for graph in model.subgraphs:
        named = {*graph.inputs, *graph.outputs}
        for index, tensor in enumerate(graph.tensors):
            if index not in named and not size_bytes(model, tensor):
                tensor.name = None
            quantization = tensor.quantization
            if quantization is not None and quantization.scale is None and quantization.details is None:
                tensor.quantization = None
    builder = _sharing_builder()(1 << 20)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


@cache
def _sharing_builder() -> Any:
    """The class of a builder that writes equal strings and equal vectors of numbers once."""
    import flatbuffers

    class Sharing(flatbuffers.Builder):  # type: ignore[misc]
        def __init__(self, size: int) -> None:
            super().__init__(size)
            self._vectors: dict[tuple[str, bytes], int] = {}

        def CreateString(self, text: Any, *args: Any) -> int:  # noqa: N802
            key = "string", text if isinstance(text, bytes) else text.encode()
            if key not in self._vectors:
                self._vectors[key] = super().CreateString(text, *args)
            return self._vectors[key]

        def CreateNumpyVector(self, values: np.ndarray) -> int:  # noqa: N802
            key = values.dtype.str, hashlib.blake2b(np.ascontiguousarray(values).data).digest()
            if key not in self._vectors:
                self._vectors[key] = super().CreateNumpyVector(values)
            return self._vectors[key]

    return Sharing


def operator_name(model: Any, operator: Any) -> str:
    """The name of an operator's builtin: `FULLY_CONNECTED`, `WHILE`, `CUSTOM`."""
    return _names("BuiltinOperator")[builtin_of(model.operatorCodes[operator.opcodeIndex])]


def builtin_of(code: Any) -> int:
    """The builtin of an operator code; old files have it in a deprecated field of one byte."""
    return max(code.builtinCode, code.deprecatedBuiltinCode)


def loops_of(model: Any) -> Iterator[tuple[Any, Any]]:
    """Each WHILE operator of a file, with its graph: pairs `(graph, operator)`."""
    for graph in model.subgraphs:
        for operator in graph.operators:
            if operator_name(model, operator) == "WHILE":
                yield graph, operator


def read_in(graph: Any) -> set[int]:
    """The tensors that the operators of a graph read."""
    return {index for operator in graph.operators for index in operator.inputs if index >= 0}  # -1: no bias


def type_name(tensor: Any) -> str:
    """`FLOAT32`, `INT8`, ..."""
    return _names("TensorType")[tensor.type]


def shape_of(tensor: Any) -> tuple[int, ...]:
    """The shape; empty for a scalar."""
    return () if tensor.shape is None else tuple(int(size) for size in tensor.shape)


def size_bytes(model: Any, tensor: Any) -> int:
    """Bytes of a tensor's constant value in the file; 0 if it is computed."""
    data = model.buffers[tensor.buffer].data
    return 0 if data is None else len(data)


def is_constant(model: Any, graph: Any, index: int) -> bool:
    """Whether a tensor is a constant of the file.

    Args:
        model: the file.
        graph: one of its subgraphs.
        index: of the tensor in the graph.
    """
    return size_bytes(model, graph.tensors[index]) > 0


def append_buffer(model: Any, values: np.ndarray) -> int:
    """Adds the bytes of an array to a file; returns the number of their buffer."""
    from tensorflow.lite.python import schema_py_generated as schema

    buffer = schema.BufferT()
    buffer.data = np.frombuffer(values.tobytes(), np.uint8)
    model.buffers.append(buffer)
    return len(model.buffers) - 1


def append_tensor(graph: Any, shape: Sequence[int], kind: int, buffer: int) -> int:
    """Adds a constant without a name to a graph; returns its index.

    Args:
        graph: of the file.
        shape: of the tensor.
        kind: its `TensorType`.
        buffer: the number of the buffer that holds its values.
    """
    from tensorflow.lite.python import schema_py_generated as schema

    tensor = schema.TensorT()
    tensor.shape, tensor.type, tensor.buffer, tensor.name = list(shape), kind, buffer, b""
    graph.tensors.append(tensor)
    return len(graph.tensors) - 1


@cache
def _names(kind: str) -> dict[int, str]:
    from tensorflow.lite.python import schema_py_generated as schema

    return {value: name for name, value in vars(getattr(schema, kind)).items() if isinstance(value, int)}
