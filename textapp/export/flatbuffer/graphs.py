"""A .tflite file as objects of TensorFlow Lite's schema, and what one asks of them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any


def parse(content: bytes) -> Any:
    """A file as a `ModelT`."""
    from tensorflow.lite.python import schema_py_generated as schema

    return schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(content, 0))


def pack(model: Any) -> bytes:
    """A `ModelT` as a file."""
    import flatbuffers

    builder = flatbuffers.Builder(1 << 20)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


def operator_name(model: Any, operator: Any) -> str:
    """The builtin behind an operator: `FULLY_CONNECTED`, `WHILE`, `CUSTOM`."""
    return _names("BuiltinOperator")[builtin_of(model.operatorCodes[operator.opcodeIndex])]


def builtin_of(code: Any) -> int:
    """The number of the builtin that an operator code stands for; old files name it in a field of one byte."""
    return max(code.builtinCode, code.deprecatedBuiltinCode)


def loops_of(model: Any) -> Iterator[tuple[Any, Any]]:
    """Each WHILE of a file, behind the graph that it stands in."""
    for graph in model.subgraphs:
        for operator in graph.operators:
            if operator_name(model, operator) == "WHILE":
                yield graph, operator


def read_in(graph: Any) -> set[int]:
    """The tensors that the operators of a graph read."""
    return {index for operator in graph.operators for index in operator.inputs}


def type_name(tensor: Any) -> str:
    """`FLOAT32`, `INT8`, ..."""
    return _names("TensorType")[tensor.type]


def shape_of(tensor: Any) -> tuple[int, ...]:
    """The shape; empty of a scalar."""
    return () if tensor.shape is None else tuple(int(size) for size in tensor.shape)


def size_bytes(model: Any, tensor: Any) -> int:
    """Bytes that the file holds for a tensor; 0 where it is computed."""
    data = model.buffers[tensor.buffer].data
    return 0 if data is None else len(data)


def is_constant(model: Any, graph: Any, index: int) -> bool:
    """Whether the file holds a tensor's values."""
    return size_bytes(model, graph.tensors[index]) > 0


@cache
def _names(kind: str) -> dict[int, str]:
    from tensorflow.lite.python import schema_py_generated as schema

    return {value: name for name, value in vars(getattr(schema, kind)).items() if isinstance(value, int)}
