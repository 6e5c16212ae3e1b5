"""What a .tflite file holds and computes, read from the file: parameters that are not zero, bytes and products a run.

Reads the schema that ai-edge-litert brings; without that package nothing is known.
"""

from __future__ import annotations

import importlib
import importlib.util
from functools import cache
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

_PACKAGE = "ai_edge_litert"
_TYPES = {"FLOAT32": np.float32, "FLOAT16": np.float16, "INT8": np.int8, "UINT8": np.uint8, "INT16": np.int16}
_FEWEST = 2  # numbers of a parameter; a single one is a constant of the arithmetic


class Work(NamedTuple):
    """What one run of a signature reads and computes at least; of a loop one step.

    Attributes:
        weight_bytes: of the matrices that it multiplies with; of an embedding it reads single rows, which are left out.
        multiply_adds: of matrix products and convolutions.
    """

    weight_bytes: int
    multiply_adds: int


def parameters(model_path: Path) -> dict[str, int] | None:
    """Counts the parameters of a file, each once, however many signatures share it.

    Args:
        model_path: a .tflite file that was checked.

    Returns:
        `{"parameters": .., "nonzero": ..}`; of quantized ones a zero is what stands for 0.0. None if there is no
        schema to read it with.

    Example: an int8 kernel of 2 x 3 with the zero point 0 and the values 5, 0, 1, 0, 0, 2 has 6 parameters, 3 of them
    not zero.
    """
    model = _parse(model_path)
    if model is None:
        return None
    tensors = {tensor.buffer: tensor for graph in model.subgraphs for tensor in graph.tensors}
    for graph in model.subgraphs:
        for tensor in graph.tensors:
            for scales in _scales(graph, tensor):
                tensors.pop(scales.buffer, None)
    counts = [_counted(model, tensor) for tensor in tensors.values()]
    return {"parameters": sum(total for total, _ in counts), "nonzero": sum(nonzero for _, nonzero in counts)}


def work(model_path: Path, signature: str) -> Work | None:
    """Counts the work of a signature; None as for `parameters`, or if there is no such signature.

    Args:
        model_path: a .tflite file that was checked.
        signature: its name, such as `classify_16`.
    """
    model = _parse(model_path)
    if model is None:
        return None
    names = {_text(each.signatureKey): each.subgraphIndex for each in model.signatureDefs or ()}
    if signature not in names:
        return None
    graph, products = model.subgraphs[names[signature]], 0
    read: dict[int, int] = {}
    for operator in graph.operators:
        name = _operator_name(model, operator)
        if name not in ("FULLY_CONNECTED", "BATCH_MATMUL", "CONV_2D", "UNIDIRECTIONAL_SEQUENCE_LSTM"):
            continue
        sides = [graph.tensors[index] for index in operator.inputs if index >= 0]
        weights = [part for each in sides[1:] for part in (each, *_scales(graph, each))]
        read |= {each.buffer: _data(model, each).size for each in weights}
        shape, out = tuple(sides[1].shape), tuple(graph.tensors[operator.outputs[0]].shape)
        if name == "FULLY_CONNECTED":
            products += prod(shape) * (prod(out) // max(1, shape[0]))
        elif name == "CONV_2D":
            products += prod(shape) * prod(out[:-1])
        elif name == "BATCH_MATMUL":
            products += prod(out) * tuple(sides[0].shape)[-1]
        else:
            kernels = [each for each in sides[1:] if each.shape is not None and len(each.shape) == 2]
            products += sum(prod(each.shape) for each in kernels) * tuple(sides[0].shape)[1]
    return Work(int(sum(read.values())), int(products))


def _parse(model_path: Path) -> Any:
    """The file as objects of the schema."""
    if importlib.util.find_spec(_PACKAGE) is None:
        return None
    schema = importlib.import_module(f"{_PACKAGE}.schema_py_generated")
    return schema.ModelT.InitFromObj(schema.Model.GetRootAs(model_path.read_bytes(), 0))


def _counted(model: Any, tensor: Any) -> tuple[int, int]:
    """The numbers of a tensor that the file holds, and those of them that are not zero."""
    kind, data = _type_name(tensor.type), _data(model, tensor)
    packed = kind == "INT4"
    if not data.size or not (packed or kind in _TYPES):
        return 0, 0  # computed, or ids, shapes and indices
    values = np.concatenate([data & 15, data >> 4]) if packed else np.frombuffer(data.tobytes(), _TYPES[kind])
    if values.size < _FEWEST:
        return 0, 0
    points = getattr(tensor.quantization, "zeroPoint", None)
    zero = int(points[0]) if points is not None and len(points) else 0
    return values.size, int(np.count_nonzero(values != zero))


def _scales(graph: Any, tensor: Any) -> list[Any]:
    """The tensor with the scales of one that is quantized in blocks; of others none."""
    blocks = getattr(tensor.quantization, "details", None)
    return [] if blocks is None else [graph.tensors[blocks.scales]]


def _data(model: Any, tensor: Any) -> np.ndarray:
    data = model.buffers[tensor.buffer].data
    return np.zeros(0, np.uint8) if data is None else np.asarray(data, dtype=np.uint8)


def _operator_name(model: Any, operator: Any) -> str:
    code = model.operatorCodes[operator.opcodeIndex]
    return _names("BuiltinOperator").get(max(code.builtinCode, code.deprecatedBuiltinCode), "CUSTOM")


def _type_name(kind: int) -> str:
    return _names("TensorType").get(kind, "")


@cache
def _names(kind: str) -> dict[int, str]:
    schema = importlib.import_module(f"{_PACKAGE}.schema_py_generated")
    return {value: name for name, value in vars(getattr(schema, kind)).items() if isinstance(value, int)}


def _text(key: Any) -> str:
    return key.decode("utf-8", "replace") if isinstance(key, bytes) else str(key)
