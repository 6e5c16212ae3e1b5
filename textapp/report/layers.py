"""Which kind of layer an operator of LiteRT or of its XNNPACK belongs to."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

_OTHER = "other"
LEAST = 0.05  # percent of the time that a kind has to be told
# The first kind with a word that the name of the operator begins with.
_WORDS = {
    "matrix products": ("FULLY_CONNECTED", "FULLY CONNECTED", "BATCH_MATMUL", "BATCH MATRIX MULTIPLY", "EINSUM"),
    "convolutions": ("CONV_", "CONVOLUTION", "DEPTHWISE"),
    "LSTM": ("UNIDIRECTIONAL_SEQUENCE", "BIDIRECTIONAL_SEQUENCE", "LSTM"),
    "lookups in tables": ("GATHER", "EMBEDDING_LOOKUP", "HASHTABLE"),
    "softmax": ("SOFTMAX", "LOG_SOFTMAX"),
    "copies, shapes and comparisons": (
        "RESHAPE", "STATIC RESHAPE", "TRANSPOSE", "COPY", "CONCAT", "SLICE", "STRIDED_SLICE", "STATIC SLICE", "PACK",
        "UNPACK", "SPLIT", "PAD", "CAST", "FILL", "EXPAND_DIMS", "SQUEEZE", "BROADCAST", "TILE", "RANGE", "SHAPE",
        "DYNAMIC_UPDATE_SLICE", "NOT_EQUAL", "EQUAL", "LESS", "GREATER", "LOGICAL", "SELECT", "ONE_HOT", "ZEROS_LIKE",
        "SCATTER",
    ),
    "numbers one by one, means and maxima": (
        "ADD", "SUB", "MUL", "DIV", "CLAMP", "MEAN", "REDUCE", "SUM", "MAX", "MIN", "RSQRT", "RECIPROCAL", "SQUARE",
        "SQRT", "EXP", "LOG ", "LOG_", "TANH", "SIGMOID", "LOGISTIC", "GELU", "RELU", "HARDSWISH", "NEG", "ABS", "POW",
        "ARG_M", "FLOOR", "CUMSUM", "ERF", "LEAKY",
    ),
    "between float and int8": ("QUANTIZE", "DEQUANTIZE", "CONVERT"),
}  # fmt: skip
KINDS = (*_WORDS, _OTHER)


def kind_of(operator: str) -> str:
    """The kind of an operator.

    Args:
        operator: a builtin, or a kernel of XNNPACK.

    Example: `kind_of("Fully Connected (NC, QD8, F32, QC8W) GEMM")` is `matrix products`.
    """
    name = operator.upper()
    return next((kind for kind, words in _WORDS.items() if name.startswith(words)), _OTHER)


def by_kind(operators: Iterable[Sequence[Any]]) -> dict[str, float]:
    """The percent of each kind of layer, in the order of `KINDS`.

    Args:
        operators: pairs of name and percent.
    """
    sums = dict.fromkeys(KINDS, 0.0)
    for name, percent in operators:
        sums[kind_of(str(name))] += float(percent)
    return {kind: total for kind, total in sums.items() if total >= LEAST}
