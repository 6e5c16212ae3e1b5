"""The architectures, one file each, and the roles that each can play.

An architecture's file gives `encoder(config, vocabulary_size, pad_id, max_length)`, names in `POOLING` how its
sequence becomes one vector, and gives in `head(config)` the layers that follow it. What is done with that vector
belongs to objectives/.
"""

from __future__ import annotations

from types import ModuleType

import keras

from textapp.config import ModelConfig
from textapp.errors import ConfigError
from textapp.models import cnn, lstm, mlp, preset, transformer

ARCHITECTURES: dict[str, ModuleType] = {
    "mlp": mlp,
    "cnn": cnn,
    "lstm": lstm,
    "transformer": transformer,
    "preset": preset,
}
ROLES: dict[str, tuple[str, ...]] = {
    "mlp": ("encoder",),
    "cnn": ("encoder",),
    "lstm": ("encoder",),
    "transformer": ("encoder",),
    "preset": ("encoder",),
}


def serving(architecture: str, role: str) -> ModuleType:
    """The file of an architecture that serves a role.

    Raises:
        ConfigError: it does not; the message names those that do.
    """
    if role not in ROLES[architecture]:
        able = [name for name, roles in ROLES.items() if role in roles]
        raise ConfigError(
            f"model.architecture: found {architecture}, which serves as {', '.join(ROLES[architecture])} only; "
            f"expected for the role {role}: {', '.join(able) or 'no architecture serves it yet'}"
        )
    return ARCHITECTURES[architecture]


def build_encoder(
    config: ModelConfig, vocabulary_size: int, pad_id: int, max_length: int, segments: bool = False
) -> keras.Model:
    """Builds the encoder that a config describes.

    Args:
        config: the model part of a resolved config.
        vocabulary_size: ids run from 0 to this, exclusive.
        pad_id: the id that fills a batch up, on the right.
        max_length: the longest input, in tokens.
        segments: also take `segment_ids`; only presets can.

    Returns:
        A functional model: `{"token_ids": [batch, length] int32}` (and `segment_ids`, the same shape) to a
        sequence `[batch, length, hidden_dim]`.

    Raises:
        ConfigError: the architecture has no encoder, or takes no segments.
    """
    module = serving(config.architecture, "encoder")
    if not segments:
        return module.encoder(config, vocabulary_size, pad_id, max_length)
    if module is not preset:
        raise ConfigError(f"model.architecture: {config.architecture} takes no segment ids; only presets can")
    return preset.encoder(config, vocabulary_size, pad_id, max_length, segments=True)
