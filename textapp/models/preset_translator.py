"""A pretrained encoder-decoder of KerasHub, rebuilt on textapp's own layers with the preset's weights.

Published folders are built by `preset_published.py`. It trains, exports and decodes like any other `Generator`; BART
and T5 are supported.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import keras
import numpy as np

from textapp.config import PresetModel
from textapp.errors import ConfigError
from textapp.layers import BlockSettings, TransformerDecoder, TransformerEncoder
from textapp.models.generator import Generator, GeneratorSettings
from textapp.models.lora import enable_lora
from textapp.models.preset import array_of, copy_weights, load_backbone
from textapp.models.preset_published import served
from textapp.models.preset_published_translator import TRANSLATORS, translator

SIDES = ("encoder", "decoder")


class Family(NamedTuple):
    """How one family of KerasHub's encoder-decoders maps to textapp's layers.

    Attributes:
        shape: returns the arguments of `TransformerEncoder` and `TransformerDecoder` after `num_layers`, for a
            backbone, `max_length` and `dropout`.
        scaled: see `Generator`.
        outer: returns pairs of KerasHub's layer (or its values) and ours outside the blocks, for a backbone, a side and
            our stack.
        parts: returns the sublayers (or their values) of a KerasHub block by their names here; those of the
            cross-attention begin with `cross.`.
    """

    shape: Callable[..., dict[str, Any]]
    scaled: bool
    outer: Callable[[Any, str, Any], list[tuple[Any, Any]]]
    parts: Callable[[Any], dict[str, Any]]


def build_translator(config: PresetModel, settings: GeneratorSettings, lora: bool) -> Generator:
    """Builds the encoder-decoder of a preset, with its weights; source and target share its vocabulary.

    Args:
        config: resolved.
        settings: what task and tokenizer ask of it; further tokens of the preset are dropped.
        lora: freeze it and train low-rank matrices, if the config asks for it; False: the inference form.

    Raises:
        ConfigError: there is no such preset, its family is not supported, or it is too small for the tokenizer or the
            lengths.
    """
    lengths = {"encoder": settings.max_source_length, "decoder": settings.max_length}
    _check_lengths(config.path, lengths, longest(config.path))
    folder = served(config.path, "encoder-decoder")
    model = (
        translator(folder, settings, config.dropout or 0.0)
        if folder is not None
        else _kerashub_model(config, settings, lengths)
    )
    if lora and config.lora_rank:
        enable_lora(model, config.lora_rank)
    return model


def _kerashub_model(config: PresetModel, settings: GeneratorSettings, lengths: dict[str, int]) -> Generator:
    backbone = load_backbone(config.path)
    family = _family(config.path, backbone)
    vocabulary_size = settings.vocabulary_size
    if vocabulary_size > backbone.vocabulary_size:
        raise ConfigError(
            f"model.path: {config.path!r} knows {backbone.vocabulary_size} tokens, its tokenizer has {vocabulary_size}"
        )
    dim = backbone.hidden_dim
    shape = functools.partial(family.shape, backbone, dropout=config.dropout or 0.0)
    decoder, encoder = shape(max_length=lengths["decoder"]), shape(max_length=lengths["encoder"])
    tie_embeddings = backbone.token_embedding.tie_weights
    model = Generator(
        TransformerDecoder(dim, backbone.num_layers, **decoder, memory_dim=dim, name="decoder"),
        vocabulary_size, dim, settings.pad_id, settings.start_id, settings.end_id,
        encoder=TransformerEncoder(dim, backbone.num_layers, **encoder, name="encoder"),
        tie_embeddings=tie_embeddings, scaled=tie_embeddings and family.scaled, name="generator",
    )  # fmt: skip
    _copy_model(backbone, family, model)
    return model


@functools.cache
def longest(path: str) -> int | None:
    """The longest sequence of a preset, in tokens; None: any length. Builds it without its weights.

    Raises:
        ConfigError: there is no such preset, or its family is not supported.
    """
    folder = served(path, "encoder-decoder")
    if folder is not None:
        return TRANSLATORS[folder.kind].longest(folder)
    backbone = load_backbone(path, load_weights=False)
    _family(path, backbone)
    return getattr(backbone, "max_sequence_length", None)


def _family(path: str, backbone: Any) -> Family:
    kind = type(backbone).__name__
    if kind not in FAMILIES:
        raise ConfigError(
            f"model.path: {path!r} holds a {kind}; expected for task translation one of {', '.join(FAMILIES)}"
        )
    return FAMILIES[kind]


def _check_lengths(path: str, lengths: dict[str, int], limit: int | None) -> None:
    for side, key in zip(SIDES, ("lengths: found sources", "generate_lengths: found translations"), strict=True):
        if limit is not None and lengths[side] > limit:
            raise ConfigError(
                f"{key} of {lengths[side]} tokens, special ones included; the preset {path!r} reads {limit} at most"
            )


def _copy_model(backbone: Any, family: Family, model: Generator) -> None:
    table = backbone.token_embedding
    vectors = array_of(table.embeddings)[: model.vocabulary_size]
    model.token_embedding.embeddings.assign(vectors * model.embedding_dim**-0.5 if model.scaled else vectors)
    if not model.tie_embeddings:
        model.output_projection.kernel.assign(array_of(table.reverse_embeddings)[:, : model.vocabulary_size])
    for side in SIDES:
        stack = getattr(model, side)
        for source, target in family.outer(backbone, side, stack):
            copy_weights(source, target)
        for source, block in zip(getattr(backbone, f"{side}_transformer_layers"), stack.blocks, strict=True):
            targets = dict(_parts(block))
            for name, part in family.parts(source).items():
                copy_weights(part, targets[name])


def _parts(block: Any) -> Iterator[tuple[str, Any]]:
    """The sublayers of a block by the names of `Family.parts`."""
    yield from block.attention.projections.items()
    if hasattr(block, "cross_attention"):
        for name, projection in block.cross_attention.projections.items():
            yield f"cross.{name}", projection
    for name in ("attention_norm", "cross_attention_norm", "feed_forward_norm", "inward", "linear", "outward"):
        yield name, getattr(block, name, None)


# --- BART ----------------------------------------------------------------------------------------------------------


def _bart(backbone: Any, **sizes: Any) -> dict[str, Any]:
    """Lewis et al., 2020: post-norm, learned positions, one table for source, target and logits."""
    settings = BlockSettings(
        backbone.num_heads, backbone.intermediate_dim, epsilon=1e-5, normalize_first=False, **sizes
    )
    return {"settings": settings, "positions": "learned"}


def _bart_outer(backbone: Any, side: str, stack: Any) -> list[tuple[Any, Any]]:
    positions = array_of(getattr(backbone, f"{side}_position_embedding").position_embeddings)
    return [
        ([positions[: stack.settings.max_length]], stack.positions),
        (getattr(backbone, f"{side}_embeddings_layer_norm"), stack.norm),
    ]


def _bart_parts(layer: Any) -> dict[str, Any]:
    parts = {
        "attention_norm": layer._self_attention_layer_norm, "inward": layer._feedforward_intermediate_dense,
        "outward": layer._feedforward_output_dense, "feed_forward_norm": layer._feedforward_layer_norm,
    }  # fmt: skip
    attentions = {"": layer._self_attention_layer}
    if hasattr(layer, "_cross_attention_layer"):
        attentions["cross."] = layer._cross_attention_layer
        parts["cross_attention_norm"] = layer._cross_attention_layer_norm
    for prefix, attention in attentions.items():
        parts |= {f"{prefix}{name}": getattr(attention, f"{name}_dense") for name in PROJECTIONS}
    return parts


# --- T5 ------------------------------------------------------------------------------------------------------------


def _t5(backbone: Any, **sizes: Any) -> dict[str, Any]:
    """Raffel et al., 2020: pre-norm with RMS normalisation, no biases, relative positions."""
    settings = BlockSettings(
        backbone.num_heads, backbone.intermediate_dim,
        head_dim=backbone.key_value_dim or backbone.hidden_dim // backbone.num_heads, biases="none",
        activation=_activation(backbone), normalization="rms", epsilon=backbone.layer_norm_epsilon, **sizes,
    )  # fmt: skip
    return {"settings": settings, "positions": "relative"}


def _activation(backbone: Any) -> str:
    """The name of the activation, which KerasHub keeps as a function: found by comparing values."""
    values = np.linspace(-3, 3, 25, dtype=np.float32)
    gated = {"silu": "swiglu", "gelu": "geglu", "gelu_approximate": "geglu_approximate"}
    ungated = {"relu": "relu", "gelu": "gelu", "gelu_approximate": "gelu_approximate"}
    functions = {name: getattr(keras.ops, name) for name in ("relu", "silu")}
    functions["gelu"] = functools.partial(keras.ops.gelu, approximate=False)
    functions["gelu_approximate"] = keras.ops.gelu
    for name, ours in (gated if backbone.use_gated_activation else ungated).items():
        if np.allclose(backbone.activation(values), functions[name](values), atol=1e-6):
            return ours
    raise ConfigError(
        f"model.path: found a T5 with the activation {keras.activations.serialize(backbone.activation)}; expected relu "
        "or gelu, or with a gate silu or gelu"
    )


def _t5_outer(backbone: Any, side: str, stack: Any) -> list[tuple[Any, Any]]:
    first = getattr(backbone, f"{side}_transformer_layers")[0].self_attention
    return [
        ([array_of(first.relative_attention_bias)], stack.relative),
        (getattr(backbone, f"{side}_layer_norm"), stack.norm),
    ]


def _t5_parts(layer: Any) -> dict[str, Any]:
    parts = {
        "attention_norm": layer.self_attention_layer_norm, "inward": layer.input_projector,
        "outward": layer.output_projector, "feed_forward_norm": layer.layer_norm,
    }  # fmt: skip
    attentions = {"": layer.self_attention}
    if layer.use_gated_activation:
        parts["linear"] = layer.gate_projector
    if layer.is_decoder:
        attentions["cross."] = layer.cross_attention
        parts["cross_attention_norm"] = layer.cross_attention_layer_norm
    for prefix, attention in attentions.items():
        parts |= {f"{prefix}{name}": getattr(attention, f"{name}_projector") for name in PROJECTIONS}
        # T5 does not divide scores by the square root of the head's size, so the query kernel is multiplied by it.
        parts[f"{prefix}query"] = [array_of(attention.query_projector.kernel) * attention.key_value_dim**0.5]
    return parts


PROJECTIONS = ("query", "key", "value", "output")
FAMILIES = {
    "BartBackbone": Family(_bart, False, _bart_outer, _bart_parts),
    # With tied embeddings T5 divides the logits by the square root of `hidden_dim`. This is equal to dividing the table
    # by it and multiplying the embeddings.
    "T5Backbone": Family(_t5, True, _t5_outer, _t5_parts),
}
