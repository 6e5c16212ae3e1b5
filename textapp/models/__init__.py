"""The architectures, one file each, and the roles that each can play.

An architecture's file gives `encoder(config, vocabulary_size, pad_id, max_length)`, names in `POOLING` how its
sequence becomes one vector, and gives in `head(config)` the layers that follow it. What is done with that vector
belongs to objectives/. One that also writes gives `decoder(config, max_length, memory_dim)`, `memory_encoder(config,
max_length)` and `embedding_dim(config)`; `Generator` puts them together. A preset that writes comes whole, from
`preset_decoder.py` or `preset_translator.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType

import keras

from textapp.config import ModelConfig
from textapp.errors import ConfigError
from textapp.models import cnn, lstm, mlp, preset, preset_decoder, preset_translator, transformer
from textapp.models.generator import Generator
from textapp.models.kerashub_model import KerasHubLanguageModel

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
    "lstm": ("encoder", "decoder", "encoder-decoder"),
    "transformer": ("encoder", "decoder", "encoder-decoder"),
    "preset": ("encoder", "decoder", "encoder-decoder"),
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
    config: ModelConfig,
    vocabulary_size: int,
    pad_id: int,
    max_length: int,
    segments: bool = False,
    pieces: Sequence[str] | None = None,
) -> keras.Model:
    """Builds the encoder that a config describes.

    Args:
        config: the model part of a resolved config.
        vocabulary_size: ids run from 0 to this, exclusive.
        pad_id: the id that fills a batch up, on the right.
        max_length: the longest input, in tokens.
        segments: also take `segment_ids`; only presets can.
        pieces: the vocabulary by id, for an mlp in training, whose vectors its `subwords` make up.

    Returns:
        A functional model: `{"token_ids": [batch, length] int32}` (and `segment_ids`, the same shape) to a
        sequence `[batch, length, hidden_dim]`.

    Raises:
        ConfigError: the architecture has no encoder, or takes no segments.
    """
    module = serving(config.architecture, "encoder")
    if module is mlp and not segments:
        return mlp.encoder(config, vocabulary_size, pad_id, max_length, pieces)
    if not segments:
        return module.encoder(config, vocabulary_size, pad_id, max_length)
    if module is not preset:
        raise ConfigError(f"model.architecture: {config.architecture} takes no segment ids; only presets can")
    return preset.encoder(config, vocabulary_size, pad_id, max_length, segments=True)


def build_generator(
    config: ModelConfig,
    *,
    vocabulary_size: int,
    pad_id: int,
    start_id: int,
    end_id: int,
    max_length: int,
    source_vocabulary_size: int | None = None,
    max_source_length: int | None = None,
    never_ids: Sequence[int] = (),
    plain: bool = False,
) -> Generator | KerasHubLanguageModel:
    """Builds the model that writes which a config describes: a language model, or a translator.

    Args:
        config: the model part of a resolved config.
        vocabulary_size: of the side that is written.
        pad_id: the id that fills a batch up, on the right.
        start_id: what a translator's decoder reads first.
        end_id: ends a text.
        max_length: the most tokens that the decoder reads.
        source_vocabulary_size: of the side that is read; None: both sides share one vocabulary and one table.
        max_source_length: the longest source in tokens; None: a language model.
        never_ids: tokens that a model trained from scratch does not write.
        plain: without the low-rank additions that a preset may be trained by.

    Raises:
        ConfigError: the architecture cannot write.
    """
    module = serving(config.architecture, "decoder" if max_source_length is None else "encoder-decoder")
    if module is preset and max_source_length is not None:
        return preset_translator.build_translator(
            config, vocabulary_size, pad_id, start_id, end_id, max_length, max_source_length, lora=not plain
        )
    if module is preset:
        return preset_decoder.build_language_model(
            config, vocabulary_size, pad_id, start_id, end_id, max_length, lora=not plain
        )
    dim = module.embedding_dim(config)
    encoder, memory_dim = None, None
    if max_source_length is not None:
        encoder = module.memory_encoder(config, max_source_length)
        memory_dim = encoder.compute_output_shape((None, None, dim))[-1]
    return Generator(
        module.decoder(config, max_length, memory_dim),
        vocabulary_size,
        dim,
        pad_id,
        start_id,
        end_id,
        encoder=encoder,
        source_vocabulary_size=source_vocabulary_size,
        tie_embeddings=bool(config.tie_embeddings),
        scaled=config.architecture == "transformer",
        never_ids=never_ids,
        name="generator",
    )
