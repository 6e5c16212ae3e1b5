"""Int8 and int4 weights of a SavedModel: Keras' own quantization, without that of activations.

A file of integers needs a quarter or an eighth of the bytes for its weights. A server computes in float32 all the same,
and makes the floats anew at each call: it answers more slowly, and its memory at the peak is no less.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Iterator
from typing import Any

import keras
import numpy as np

from textapp.errors import ExportError
from textapp.models.int8_kernels import MIN_QUANTIZED

_BLOCK = 128  # inputs of an output that share a scale and a zero point in int4, Keras' own default


def quantize_weights(model: keras.Model, quantize: str) -> dict[str, Any]:
    """Quantizes the weights of a model in place, by `keras.Model.quantize`, and counts them.

    That reaches Keras' Dense, EinsumDense and embeddings, and those layers of textapp that have a `quantize`: token and
    n-gram embeddings, LSTMs and the windows of a cnn. Layers without a matrix of 1,024 weights stay float, as in a
    .tflite file.

    Args:
        model: in float32; of no use for training afterwards, and cannot be saved by Keras.
        quantize: `none`: only counts. `int8-weights`: a scale for each output of a kernel and each row of a table.
            `int4-weights`: besides a zero point, for each 128 inputs of an output.

    Returns:
        For the manifest: `parameters`, of them `nonzero`, which do not stand for 0.0, and, if it is quantized,
        `quantized_share`, 0 to 100, of the weights.

    Raises:
        ExportError: no layer can be quantized.
    """
    shapes = {place: tuple(weight.shape) for place, weight in _weights(model)}
    floats = [weight for weight in model.weights if weight.dtype == "float32"]
    counts = {"parameters": sum(map(math.prod, shapes.values()))}
    if quantize == "none":
        return {**counts, "nonzero": _nonzero(model, shapes)}
    configs = keras.quantizers
    config = (
        configs.Int8QuantizationConfig(activation_quantizer=None)
        if quantize == "int8-weights"
        else configs.Int4QuantizationConfig(activation_quantizer=None, block_size=_BLOCK)
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of each layer that cannot be quantized
        # KerasHub's ReversibleEmbedding is a subclass of Keras' that adds nothing, and the only one of its kind.
        model.quantize(config=config, filters=_is_large, type_check=False)
    kept = {id(weight) for weight in model.weights}
    quantized = _size(weight for weight in floats if id(weight) not in kept)
    if not quantized:
        raise ExportError(
            f"quantize {quantize}: found no layer with a matrix of {MIN_QUANTIZED:,} weights or more that Keras can "
            "quantize: take --quantize none"
        )
    share = round(100 * quantized / _size(floats), 2)
    return {**counts, "nonzero": _nonzero(model, shapes), "quantized_share": share}


def _size(weights: Iterable[keras.Variable]) -> int:
    return sum(math.prod(weight.shape) for weight in weights)


def _is_large(layer: keras.layers.Layer) -> bool:
    """Whether a layer has a matrix that is worth scales of its own."""
    return any(len(weight.shape) > 1 and math.prod(weight.shape) >= MIN_QUANTIZED for weight in layer.weights)


_Place = tuple[int, str]  # the layer, and the name of its weight


def _weights(model: keras.Model) -> Iterator[tuple[_Place, keras.Variable]]:
    """Each weight of a model once, with its place; integers have the place of the floats that they stand for."""
    seen: set[int] = set()
    for layer in model._flatten_layers():
        for weight in (*layer._trainable_variables, *layer._non_trainable_variables):
            if id(weight) not in seen:
                seen.add(id(weight))
                yield (id(layer), weight.name), weight


def _nonzero(model: keras.Model, shapes: dict[_Place, tuple[int, ...]]) -> int:
    """Counts the weights that do not stand for 0.0; of a quantized model without its scales and zero points.

    Args:
        model: quantized or not.
        shapes: of its weights before.
    """
    now = dict(_weights(model))
    count = 0
    for place, shape in shapes.items():
        layer, name = place
        values, zero = np.asarray(now[place]), np.asarray(now.get((layer, f"{name}_zero"), 0))
        if zero.ndim:
            axis = 0 if name == "reverse_embeddings" else 1  # along which Keras packs two values a byte
            length = math.prod(shape) // values.shape[1 - axis]
            values = np.asarray(keras.quantizers.unpack_int4(values, length, axis=axis))
            for side, size in enumerate(values.shape):
                if zero.shape[side] != size:
                    zero = np.repeat(zero, _BLOCK, axis=side).take(range(size), axis=side)
        count += np.count_nonzero(values != zero)
    return int(count)
