"""The weights of a model in the form that is kept, without what served training alone."""

from __future__ import annotations

import keras
import numpy as np

from textapp.layers.embedding import SubwordEmbedding


def plain_weights(model: keras.Model) -> list[np.ndarray]:
    """The weights of a model as those of its plain twin, in order.

    Of a `SubwordEmbedding` the twin has the sums as a `TokenEmbedding`; of a layer that was trained by low-rank
    additions (Hu et al., 2021) the kernel with its addition.
    """
    merged: dict[int, np.ndarray] = {}
    baked: set[int] = set()
    for layer in model._flatten_layers():
        if isinstance(layer, SubwordEmbedding):
            merged[id(layer.embeddings)] = layer.table()
            baked.add(id(layer.parts))
        elif getattr(layer, "lora_enabled", False):
            merged[id(layer._kernel)] = keras.ops.convert_to_numpy(layer.kernel)
            baked |= {id(layer.lora_kernel_a), id(layer.lora_kernel_b)}
    return [
        merged.get(id(weight), keras.ops.convert_to_numpy(weight))
        for weight in model.weights
        if id(weight) not in baked
    ]
