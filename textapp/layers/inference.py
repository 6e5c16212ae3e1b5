"""The weights of a model's inference form, without layers and factors that only training needs."""

from __future__ import annotations

import keras
import numpy as np

from textapp.layers.embedding import SubwordEmbedding


def inference_weights(model: keras.Model) -> list[np.ndarray]:
    """The weights of the inference form of a trained model, in the order of that model's `weights`.

    A `SubwordEmbedding` becomes the table of a `TokenEmbedding`, and a layer trained by LoRA (Hu et al., 2021) the sum
    of its kernel and its low-rank product.
    """
    merged: dict[int, np.ndarray] = {}
    dropped: set[int] = set()
    for layer in model._flatten_layers():
        if isinstance(layer, SubwordEmbedding):
            merged[id(layer.embeddings)] = layer.table()
            dropped.add(id(layer.parts))
        elif getattr(layer, "lora_enabled", False):
            merged[id(layer._kernel)] = keras.ops.convert_to_numpy(layer.kernel)
            dropped |= {id(layer.lora_kernel_a), id(layer.lora_kernel_b)}
    return [
        merged.get(id(weight), keras.ops.convert_to_numpy(weight))
        for weight in model.weights
        if id(weight) not in dropped
    ]
