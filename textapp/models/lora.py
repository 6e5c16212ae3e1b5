"""Low-rank adaptation (LoRA): a frozen model trained by small matrices added to those of its queries and values."""

from __future__ import annotations

from typing import Any

import keras

from textapp.errors import ConfigError

ADAPTED = ("query", "value")


def enable_lora(model: Any, rank: int) -> None:
    """Freezes a model and adds trainable matrices of low rank to its query and value kernels (Hu et al., 2021).

    They start at zero, so the outputs do not change at first. `textapp.layers.inference_weights` merges them.

    Args:
        model: a generation model; one that wraps KerasHub's layers names the layers to adapt in `lora_names`.
        rank: of the added matrices.

    Raises:
        ConfigError: the model has no such layers.
    """
    names = getattr(model, "lora_names", ADAPTED)
    kinds = (keras.layers.Dense, keras.layers.EinsumDense)
    adapted = [layer for layer in model._flatten_layers() if layer.name in names and isinstance(layer, kinds)]
    if not adapted:
        raise ConfigError(
            f"model.lora_rank: found {rank}, but the preset has no layers named {', '.join(names)} that it could "
            "adapt: leave it out"
        )
    for variable in model.variables:
        variable.trainable = False
    for layer in adapted:
        layer.enable_lora(rank)
