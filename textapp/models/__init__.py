"""The architectures, one file each, named as in the config.

An architecture's file gives `encoder(config, vocabulary_size, pad_id, max_length)` (a preset also takes `segments`, a
model with subword vectors `pieces`), names in `POOLING` how its sequence becomes one vector, and in `head(config)` the
layers that follow it; `reader` is an encoder of a question and its context. What is done with these belongs to
objectives/. One that also generates gives `generator(config, settings, inference)`, which `assembled` builds for those
trained from scratch, and `packs(config)`. Which roles an architecture serves, its class in the config says.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from types import ModuleType

import keras

from textapp.config import ModelConfig, Role, architectures
from textapp.errors import ConfigError
from textapp.layers import QuestionFlags
from textapp.models.generator import Generator, GeneratorSettings
from textapp.models.kerashub_model import KerasHubLanguageModel
from textapp.text.word_forms import WordForms

__all__ = ["Generator", "GeneratorSettings", "build_encoder", "build_generator", "build_reader", "packs", "serving"]


def serving(architecture: str, role: Role) -> ModuleType:
    """The file of an architecture that serves a role.

    Args:
        architecture: its name in the config.
        role: what it has to be.

    Raises:
        ConfigError: it does not serve it; the message names those that do.
    """
    known = architectures()
    if role not in known[architecture].roles:
        able = [name for name, part in known.items() if role in part.roles]
        raise ConfigError(
            f"model.architecture: found {architecture}, which serves as {', '.join(known[architecture].roles)} only; "
            f"expected for the role {role}: {', '.join(able) or 'no architecture serves it yet'}"
        )
    return importlib.import_module(f"textapp.models.{architecture}")


def packs(config: ModelConfig) -> bool:
    """Whether a row of a language model may hold several texts: an LSTM's state would go from one into the next."""
    return serving(config.architecture, "decoder").packs(config)


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
        pieces: the vocabulary by id, for a model in training whose token vectors are made of subwords.

    Returns:
        A functional model: `{"token_ids": [batch, length] int32}` (and `segment_ids`, the same shape) to a
        sequence `[batch, length, hidden_dim]`.

    Raises:
        ConfigError: the architecture has no encoder, or takes no segments.
    """
    module = serving(config.architecture, "encoder")
    if segments and not config.pretrained:
        raise ConfigError(f"model.architecture: {config.architecture} takes no segment ids; only presets can")
    more = {"segments": segments} if config.pretrained else {"pieces": pieces} if config.subword_vectors else {}
    return module.encoder(config, vocabulary_size, pad_id, max_length, **more)


def build_reader(
    config: ModelConfig, vocabulary_size: int, pad_id: int, max_length: int, forms: WordForms | None = None
) -> keras.Model:
    """Builds the encoder of a question and its context.

    Args:
        config, vocabulary_size, pad_id, max_length: as for `build_encoder`.
        forms: of the vocabulary, for a reader that compares words; a preset does not.

    Returns:
        A model: `token_ids` and `segment_ids` `[batch, length]` int32, the latter 0 in the question and 1 in the
        context, to a sequence `[batch, length, hidden_dim]`.

    Raises:
        ConfigError: the architecture cannot.
    """
    reader = serving(config.architecture, "reader").reader(config, vocabulary_size, pad_id, max_length)
    for layer in reader.layers:
        if isinstance(layer, QuestionFlags) and forms is not None:
            layer.set_forms(forms)
    return reader


def build_generator(
    config: ModelConfig, settings: GeneratorSettings, inference: bool = False
) -> Generator | KerasHubLanguageModel:
    """Builds the generative model that a config describes: a language model, or a translator.

    Args:
        config: the model part of a resolved config.
        settings: what task and tokenizer ask of it.
        inference: the inference form, without the low-rank additions that a preset may be trained by.

    Raises:
        ConfigError: the architecture cannot generate.
    """
    model = serving(config.architecture, settings.role).generator(config, settings, inference)
    model.other_end_ids = tuple(settings.other_end_ids)
    return model
