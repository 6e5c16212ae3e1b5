"""A pretrained text encoder.

Published folders (`preset_published.py`) and KerasHub's BERT are rebuilt on textapp's own layers with the preset's
weights, and so have their fast attention; other KerasHub families keep KerasHub's layers.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np

from textapp.config import PresetModel
from textapp.errors import ConfigError, require
from textapp.layers import BlockSettings, PaddingMask, TransformerBlock
from textapp.models.generator import Generator, GeneratorSettings
from textapp.models.kerashub_model import KerasHubLanguageModel
from textapp.models.preset_published import served
from textapp.models.preset_published_encoder import encoder as published_encoder
from textapp.models.preset_published_encoder import encoder_facts, encoder_layers, encoder_sizes, first_part
from textapp.text.preset_files import is_name

POOLING = "mean"


def encoder(
    config: PresetModel, vocabulary_size: int, pad_id: int, max_length: int, segments: bool = False
) -> keras.Model:
    """Builds the encoder: `{"token_ids": [batch, length]}` to the backbone's output `[batch, length, hidden_dim]`.

    Args:
        config: resolved.
        vocabulary_size: of the tokenizer.
        pad_id: the padding id.
        max_length: the longest text in tokens.
        segments: also take `segment_ids` `[batch, length]`.

    Raises:
        ConfigError: there is no such preset, it is not a text encoder, or it is too small for the tokenizer or the
            lengths.
    """
    folder = served(config.path, "text encoder")
    if folder is not None:
        check_length(config.path, max_length, encoder_facts(folder)[1])
        dropout = config.dropout or 0.0
        return published_encoder(folder, vocabulary_size, pad_id, max_length, segments, dropout, config.sizes)
    backbone = load_encoder(config.path)
    _check_fits(config, backbone, vocabulary_size, max_length, segments)
    if type(backbone).__name__ == "BertBackbone":
        return _bert(backbone, config, pad_id, max_length, segments)
    if config.sizes:
        raise _kerashub_sizes(config.path, backbone)
    return _kerashub(backbone, pad_id, segments)


def reader(config: PresetModel, vocabulary_size: int, pad_id: int, max_length: int) -> keras.Model:
    """The encoder of question and context, which takes `segment_ids` even if the preset itself has no use for them.

    Args:
        config, vocabulary_size, pad_id, max_length: as for `encoder`.

    Raises:
        ConfigError: as for `encoder`.
    """
    segments = facts(config.path).segments
    inner = encoder(config, vocabulary_size, pad_id, max_length, segments)
    inputs = _inputs(segments=True)
    sequence = inner(inputs if segments else {"token_ids": inputs["token_ids"]})
    return keras.Model(inputs, sequence, name="reader")


def head(config: PresetModel) -> list[keras.layers.Layer]:
    """No layers between the mean and the logits."""
    return []


def generator(config: PresetModel, settings: GeneratorSettings, inference: bool) -> Generator | KerasHubLanguageModel:
    """The preset's translator or language model, with its weights.

    Args:
        config: the model part of a resolved config.
        settings: what task and tokenizer ask of it.
        inference: without the low-rank additions of training.
    """
    from textapp.models import preset_decoder, preset_translator  # they read backbones by this module

    if settings.role == "decoder":
        return preset_decoder.build_language_model(config, settings, lora=not inference)
    return preset_translator.build_translator(config, settings, lora=not inference)


def packs(config: PresetModel) -> bool:
    """Where it is rebuilt on textapp's own layers."""
    from textapp.models import preset_decoder

    return preset_decoder.facts(config.path).packs


class Facts(NamedTuple):
    """The inputs that a preset takes.

    Attributes:
        segments: whether it takes segment ids.
        max_length: the longest text in tokens; None: any.
    """

    segments: bool
    max_length: int | None


@functools.cache
def facts(path: str) -> Facts:
    """The inputs that a preset takes. Loads it once in a process."""
    folder = served(path, "text encoder")
    if folder is not None:
        return Facts(*encoder_facts(folder))
    backbone = load_backbone(path)
    return Facts("segment_ids" in backbone.input, getattr(backbone, "max_sequence_length", None))


def sizes_of(config: PresetModel) -> dict[str, int]:
    """The sizes of a text encoder by their keys of a config; without `num_layers` if all its layers are one.

    Args:
        config: of the preset, with those of its sizes that are smaller.

    Raises:
        ConfigError: it keeps the layers of KerasHub, which have no smaller ones.
    """
    folder = served(config.path, "text encoder")
    if folder is not None:
        return {**encoder_sizes(folder), **config.sizes}
    backbone = load_backbone(config.path, load_weights=False)
    if type(backbone).__name__ != "BertBackbone":
        raise _kerashub_sizes(config.path, backbone)
    return {**_bert_sizes(backbone), **config.sizes}


def _kerashub_sizes(path: str, backbone: keras.Model) -> ConfigError:
    return ConfigError(
        f"model.path: {path!r} holds a {type(backbone).__name__}, whose layers are those of KerasHub and whose sizes "
        "are fixed; only a BERT, or a text encoder in Hugging Face layout, becomes smaller: distill it instead"
    )


def load_backbone(path: str, load_weights: bool = True) -> keras.Model:
    """Loads a KerasHub backbone from a preset name or a folder in KerasHub or Hugging Face layout.

    Args:
        path: the name or the folder.
        load_weights: False: build it with random weights, to look at its shape.

    Raises:
        ConfigError: there is no such preset.
    """
    keras_hub = require("keras_hub", "train")
    if not is_name(path) and not Path(path).exists():
        raise ConfigError(f"model.path: {path}: no such file or folder; expected one, or the name of a KerasHub preset")
    if path.startswith("hf://"):
        _check_hub(path)
    try:
        return keras_hub.models.Backbone.from_preset(path, load_weights=load_weights)
    except Exception as error:  # a damaged folder raises many kinds of errors
        reason = " ".join(str(error).split())[:300]
        raise ConfigError(
            f"model.path: found {path!r}, which does not load ({reason}); expected the name of a KerasHub preset, or a "
            "folder in KerasHub layout (config.json, model.weights.h5) or Hugging Face layout (config.json, "
            "model.safetensors)"
        ) from error


def _check_hub(path: str) -> None:
    """Refuses a model on the hub in Hugging Face's layout: KerasHub's reader ignores fields that change its answers."""
    from keras_hub.src.utils.preset_utils import get_preset_loader

    try:
        kind = type(get_preset_loader(path)).__name__
    except Exception:  # told by the loading that follows
        return
    if kind == "TransformersPresetLoader":
        name = path.removeprefix("hf://")
        raise ConfigError(
            f"model.path: found {path!r}, a model in Hugging Face layout; expected it in a folder: "
            f"hf download {name} --local-dir FOLDER, then model.path: FOLDER"
        )


def load_encoder(path: str) -> keras.Model:
    """Loads a KerasHub text encoder; see `load_backbone`.

    Raises:
        ConfigError: there is no such preset, or it is not a text encoder.
    """
    backbone = load_backbone(path)
    if not isinstance(backbone.input, dict) or not {"token_ids", "padding_mask"} <= backbone.input.keys():
        raise ConfigError(f"model.path: {path!r} holds a {type(backbone).__name__}; expected a text encoder")
    return backbone


def copy_weights(source: Any, target: Any) -> None:
    """Copies weights to a layer, reshaped: KerasHub's attention kernels are `[dim, heads, head_dim]`, ours matrices.

    Args:
        source: a layer of KerasHub, or a list of values.
        target: a layer of textapp.
    """
    values = source if isinstance(source, list) else source.weights
    for value, weight in zip(values, target.weights, strict=True):
        weight.assign(np.reshape(array_of(value), weight.shape))


def array_of(weight: Any) -> np.ndarray:
    """The values of a weight, float32."""
    return np.asarray(keras.ops.convert_to_numpy(weight), np.float32)


def _check_fits(config: PresetModel, backbone: keras.Model, vocabulary_size: int, max_length: int, segments: bool):
    rows = getattr(backbone, "vocabulary_size", vocabulary_size)
    if vocabulary_size > rows:
        raise ConfigError(f"model.path: {config.path!r} knows {rows} tokens, its tokenizer has {vocabulary_size}")
    check_length(config.path, max_length, getattr(backbone, "max_sequence_length", max_length))
    if segments and "segment_ids" not in backbone.input:
        raise ConfigError(f"model.path: {config.path!r} takes no segment ids")


def check_length(path: str, max_length: int, limit: int) -> None:
    """Checks that a preset has a position for every token.

    Args:
        path: of the preset.
        max_length: tokens.
        limit: the tokens that it reads.

    Raises:
        ConfigError: it has not.
    """
    if max_length > limit:
        raise ConfigError(f"lengths: found {max_length} tokens; the preset {path!r} reads {limit} at most: lower it")


def _inputs(segments: bool) -> dict[str, Any]:
    names = ["token_ids", "segment_ids"] if segments else ["token_ids"]
    return {name: keras.Input((None,), dtype="int32", name=name) for name in names}


# --- BERT on our own layers ----------------------------------------------------------------------------------------


def _bert(backbone: keras.Model, config: PresetModel, pad_id: int, max_length: int, segments: bool) -> keras.Model:
    """The same function on textapp's layers; without segment ids, the vector of segment 0 is added to the positions."""
    settings = BlockSettings(
        backbone.num_heads, backbone.intermediate_dim, activation="gelu_approximate", dropout=config.dropout,
        normalize_first=False, epsilon=1e-12,
    )  # fmt: skip
    dim = backbone.hidden_dim
    num_segments = backbone.num_segments if segments else 0
    make = functools.partial(
        encoder_layers, vocabulary_size=backbone.vocabulary_size, embedding_dim=dim, hidden_dim=dim,
        num_layers=backbone.num_layers, pad_id=pad_id, max_length=max_length, num_segments=num_segments,
    )  # fmt: skip
    model = make(settings)
    _copy_embeddings(backbone, model, segments)
    for number in range(backbone.num_layers):
        _copy_block(backbone.get_layer(f"transformer_layer_{number}"), model.get_layer(f"block_{number}"))
    return first_part(model, make, settings, _bert_sizes(backbone), config.sizes)


def _bert_sizes(backbone: keras.Model) -> dict[str, int]:
    return {name: getattr(backbone, name) for name in ("num_layers", "num_heads", "intermediate_dim")}


def _copy_embeddings(backbone: keras.Model, model: keras.Model, segments: bool) -> None:
    model.get_layer("token_embedding").set_weights(backbone.token_embedding.get_weights()[:1])
    table = model.get_layer("positions").table
    positions = backbone.position_embedding.get_weights()[0][: table.shape[0]]
    segment = backbone.segment_embedding.get_weights()[0]
    if segments:
        model.get_layer("segment_embedding").set_weights([segment])
    else:
        positions = positions + segment[0]
    table.assign(positions)
    model.get_layer("embeddings_norm").set_weights(backbone.embeddings_layer_norm.get_weights())


def _copy_block(source: Any, block: TransformerBlock) -> None:
    attention = source._self_attention_layer
    for name, projection in block.attention.projections.items():
        copy_weights(getattr(attention, f"{name}_dense"), projection)
    copy_weights(source._self_attention_layer_norm, block.attention_norm)
    copy_weights(source._feedforward_layer_norm, block.feed_forward_norm)
    copy_weights(source._feedforward_intermediate_dense, block.inward)
    copy_weights(source._feedforward_output_dense, block.outward)


# --- other families ------------------------------------------------------------------------------------------------


def _kerashub(backbone: keras.Model, pad_id: int, segments: bool) -> keras.Model:
    """KerasHub's layers, with the mask (and zeros for the segments) computed inside the graph."""
    inputs = _inputs(segments)
    mask = PaddingMask(pad_id, name="padding_mask", dtype="float32")(inputs["token_ids"])
    features = {**inputs, "padding_mask": keras.ops.cast(mask, "int32")}
    if "segment_ids" in backbone.input and not segments:
        features["segment_ids"] = keras.ops.zeros_like(inputs["token_ids"])
    outputs = backbone(features)
    sequence = outputs["sequence_output"] if isinstance(outputs, dict) else outputs
    return keras.Model(inputs, sequence, name="encoder")
