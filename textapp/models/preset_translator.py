"""A pretrained KerasHub encoder-decoder, rebuilt on textapp's own layers with the preset's weights.

So it trains, exports and decodes as every other `Generator`. BART and T5 are served.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import keras
import numpy as np

from textapp.config import PresetModel
from textapp.errors import ConfigError
from textapp.layers import TransformerDecoder, TransformerEncoder
from textapp.models.generator import Generator, GeneratorSettings
from textapp.models.lora import enable_lora
from textapp.models.preset import array_of, copy_weights, load_backbone

SIDES = ("encoder", "decoder")


class Family(NamedTuple):
    """How KerasHub's encoder-decoders of one family look on our layers.

    Attributes:
        settings: a backbone to the settings of both stacks, without `max_length` and `dropout`.
        scaled: see `Generator`.
        outer: a backbone, a side and our stack to pairs of KerasHub's layer (or values) and ours, outside the blocks.
        parts: a KerasHub block to its parts (or values) by the names that they have here; those of the cross-attention
            begin with `cross.`.
    """

    settings: Callable[[Any], dict[str, Any]]
    scaled: bool
    outer: Callable[[Any, str, Any], list[tuple[Any, Any]]]
    parts: Callable[[Any], dict[str, Any]]


def build_translator(config: PresetModel, settings: GeneratorSettings, lora: bool) -> Generator:
    """A model that reads a source and writes a target, both in the preset's one vocabulary.

    Args:
        config: resolved.
        settings: what task and tokenizer ask of it. Rows of the preset beyond the vocabulary are left out.
        lora: train low-rank additions alone, where the config asks for them; False: the plain form.

    Raises:
        ConfigError: there is no such preset, it is of no family that is served, or too small for the tokenizer or the
            lengths.
    """
    backbone = load_backbone(config.path)
    family = _family(config.path, backbone)
    vocabulary_size = settings.vocabulary_size
    if vocabulary_size > backbone.vocabulary_size:
        raise ConfigError(
            f"model.path: {config.path!r} knows {backbone.vocabulary_size} tokens, its tokenizer has {vocabulary_size}"
        )
    lengths = {"encoder": settings.max_source_length, "decoder": settings.max_length}
    _check_lengths(config.path, lengths, longest(config.path))
    dim = backbone.hidden_dim
    block = {"hidden_dim": dim, **family.settings(backbone), "dropout": config.dropout or 0.0}
    tie_embeddings = backbone.token_embedding.tie_weights
    model = Generator(
        TransformerDecoder(**block, max_length=settings.max_length, memory_dim=dim, name="decoder"),
        vocabulary_size, dim, settings.pad_id, settings.start_id, settings.end_id,
        encoder=TransformerEncoder(**block, max_length=settings.max_source_length, name="encoder"),
        tie_embeddings=tie_embeddings, scaled=tie_embeddings and family.scaled, name="generator",
    )  # fmt: skip
    _copy_model(backbone, family, model)
    if lora and config.lora_rank:
        enable_lora(model, config.lora_rank)
    return model


@functools.cache
def longest(path: str) -> int | None:
    """The tokens that a preset can read at once; None: any number. Loads its shape alone.

    Raises:
        ConfigError: there is no such preset, or it is of no family that is served.
    """
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


def _check_lengths(path: str, lengths: dict[str, int], most: int | None) -> None:
    for side, key in zip(SIDES, ("lengths: found sources", "generate_lengths: found translations"), strict=True):
        if most is not None and lengths[side] > most:
            raise ConfigError(
                f"{key} of {lengths[side]} tokens, special ones included; the preset {path!r} reads {most} at most"
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
    """The parts of a block by the names that `Family.parts` uses."""
    yield from block.attention.projections.items()
    if hasattr(block, "cross_attention"):
        for name, projection in block.cross_attention.projections.items():
            yield f"cross.{name}", projection
    for name in ("attention_norm", "cross_attention_norm", "feed_forward_norm", "inward", "linear", "outward"):
        yield name, getattr(block, name, None)


# --- BART ----------------------------------------------------------------------------------------------------------


def _bart(backbone: Any) -> dict[str, Any]:
    """Lewis et al., 2020: post-norm, learned positions, one table for source, target and logits."""
    return {
        "num_layers": backbone.num_layers, "num_heads": backbone.num_heads,
        "intermediate_dim": backbone.intermediate_dim, "positions": "learned", "activation": "gelu", "epsilon": 1e-5,
        "normalize_first": False,
    }  # fmt: skip


def _bart_outer(backbone: Any, side: str, stack: Any) -> list[tuple[Any, Any]]:
    positions = array_of(getattr(backbone, f"{side}_position_embedding").position_embeddings)
    return [
        ([positions[: stack.max_length]], stack.positions),
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


def _t5(backbone: Any) -> dict[str, Any]:
    """Raffel et al., 2020: pre-norm without means and biases, positions by distance."""
    return {
        "num_layers": backbone.num_layers, "num_heads": backbone.num_heads,
        "intermediate_dim": backbone.intermediate_dim, "head_dim": backbone.key_value_dim or
        backbone.hidden_dim // backbone.num_heads, "positions": "relative",
        "activation": _activation(backbone), "epsilon": backbone.layer_norm_epsilon, "normalization": "rms",
        "biases": "none",
    }  # fmt: skip


def _activation(backbone: Any) -> str:
    """What KerasHub keeps as a function, told from its values."""
    values = np.linspace(-3, 3, 25, dtype=np.float32)
    gated = {"silu": "swiglu", "gelu": "geglu", "gelu_approximate": "geglu_approximate"}
    plain = {"relu": "relu", "gelu": "gelu", "gelu_approximate": "gelu_approximate"}
    functions = {name: getattr(keras.ops, name) for name in ("relu", "silu")}
    functions["gelu"] = functools.partial(keras.ops.gelu, approximate=False)
    functions["gelu_approximate"] = keras.ops.gelu
    for name, ours in (gated if backbone.use_gated_activation else plain).items():
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
        # T5 does not divide its scores by the root of the head's size: the queries hold the root here.
        parts[f"{prefix}query"] = [array_of(attention.query_projector.kernel) * attention.key_value_dim**0.5]
    return parts


PROJECTIONS = ("query", "key", "value", "output")
FAMILIES = {
    "BartBackbone": Family(_bart, False, _bart_outer, _bart_parts),
    # The logits of tied tables are divided by the root of the size, which is the same as a smaller table read larger.
    "T5Backbone": Family(_t5, True, _t5_outer, _t5_parts),
}
