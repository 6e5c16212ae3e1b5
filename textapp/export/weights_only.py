"""Int8 and int4 weights of a SavedModel: Keras' own quantization, without that of activations.

A server that keeps weights as integers needs a quarter or an eighth of the disk and memory for them. It computes in
float32 all the same, and makes the floats anew at each call, so it does not answer faster.
"""

from __future__ import annotations

import math
import warnings
from typing import Any

import keras

from textapp.errors import ExportError
from textapp.models.int8_kernels import MIN_QUANTIZED


def quantize_weights(model: keras.Model, quantize: str) -> dict[str, Any]:
    """Quantizes the weights of a model in place, by `keras.Model.quantize`.

    That reaches Keras' Dense, EinsumDense and embeddings, and those layers of textapp that have a `quantize`: token and
    n-gram embeddings, LSTMs and the windows of a cnn. Layers without a matrix of 1,024 weights stay float, as in a
    .tflite file.

    Args:
        model: in float32; of no use for training afterwards, and cannot be saved by Keras.
        quantize: `int8-weights`: a scale for each output of a kernel and each row of a table. `int4-weights`: besides a
            zero point, for each 128 inputs of an output.

    Returns:
        For the manifest: `quantized_share`, 0 to 100, of the weights.

    Raises:
        ExportError: no layer can be quantized.
    """
    configs = keras.quantizers
    config = (
        configs.Int8QuantizationConfig(activation_quantizer=None)
        if quantize == "int8-weights"
        else configs.Int4QuantizationConfig(activation_quantizer=None)
    )
    before = [weight for weight in model.weights if weight.dtype == "float32"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of each layer that cannot be quantized
        # KerasHub's ReversibleEmbedding is a subclass of Keras' that adds nothing, and the only one of its kind.
        model.quantize(config=config, filters=_is_large, type_check=False)
    kept = {id(weight) for weight in model.weights}
    total = sum(math.prod(weight.shape) for weight in before)
    quantized = sum(math.prod(weight.shape) for weight in before if id(weight) not in kept)
    if not quantized:
        raise ExportError(
            f"quantize {quantize}: found no layer with a matrix of {MIN_QUANTIZED:,} weights or more that Keras can "
            "quantize: take --quantize none"
        )
    return {"quantized_share": round(100 * quantized / total, 2)}


def _is_large(layer: keras.layers.Layer) -> bool:
    """Whether a layer has a matrix that is worth scales of its own."""
    return any(len(weight.shape) > 1 and math.prod(weight.shape) >= MIN_QUANTIZED for weight in layer.weights)
