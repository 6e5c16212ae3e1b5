"""Low-rank adaptation: a frozen model learns by small matrices beside those of its queries and values."""

from __future__ import annotations

from typing import Any

import keras

from textapp.errors import ConfigError

ADAPTED = ("query", "value")


def enable_lora(model: Any, rank: int) -> None:
    """Freezes a model, and adds to each product of a query or a value a trained one of rank `rank` (Hu et al., 2021).

    The addition begins as zeros, so the model answers as before. `textapp.layers.plain_weights` merges it.

    Args:
        model: a model that writes; a wrapped one names its layers in `lora_names`.
        rank: numbers between the two factors of an addition.

    Raises:
        ConfigError: the model has no such layers.
    """
    names = getattr(model, "lora_names", ADAPTED)
    found = [layer for layer in model._flatten_layers() if layer.name in names and hasattr(layer, "enable_lora")]
    found = [layer for layer in found if isinstance(layer, (keras.layers.Dense, keras.layers.EinsumDense))]
    if not found:
        raise ConfigError(
            f"model.lora_rank: found {rank}, but the preset has no layers named {', '.join(names)} that it could "
            "adapt: leave it out"
        )
    for variable in model.variables:
        variable.trainable = False
    for layer in found:
        layer.enable_lora(rank)
