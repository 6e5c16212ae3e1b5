"""A pretrained KerasHub text backbone."""

from __future__ import annotations

import keras

from textapp.config import PresetModel

POOLING = "mean"


def encoder(
    config: PresetModel, vocabulary_size: int, pad_id: int, max_length: int, segments: bool = False
) -> keras.Model:
    raise NotImplementedError


def head(config: PresetModel) -> list[keras.layers.Layer]:
    """Nothing stands between the mean and the logits."""
    return []
