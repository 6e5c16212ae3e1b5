"""A pretrained language model.

Published folders are built by `preset_published.py`. Of KerasHub's presets GPT-2, Llama, Mistral, Qwen 2 and 3 and
SmolLM are rebuilt on textapp's own layers with the preset's weights, and train, export and decode like any other
`Generator`; other families keep KerasHub's layers, see `kerashub_model.py`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import keras

from textapp.config import PresetModel
from textapp.errors import ConfigError
from textapp.layers import BlockSettings, TransformerDecoder
from textapp.models.generator import Generator, GeneratorSettings
from textapp.models.kerashub_model import KerasHubLanguageModel, language_model
from textapp.models.lora import enable_lora
from textapp.models.preset import array_of, copy_weights, load_backbone
from textapp.models.preset_published import served
from textapp.models.preset_published_decoder import LANGUAGE_MODELS
from textapp.models.preset_published_decoder import language_model as published_model


class Family(NamedTuple):
    """How one family of KerasHub's decoders maps to textapp's layers.

    Attributes:
        shape: returns the arguments of `TransformerDecoder` after `num_layers`, for a backbone, `max_length` and
            `dropout`.
        parts: returns the sublayers of a KerasHub decoder layer by their names here; `key.norm` is the normalisation
            of each head's keys.
        last_norm: KerasHub's name of the normalisation after the last layer.
    """

    shape: Callable[..., dict[str, Any]]
    parts: Callable[[Any], dict[str, Any]]
    last_norm: str = "sequence_output_layernorm"


def build_language_model(
    config: PresetModel, settings: GeneratorSettings, lora: bool
) -> Generator | KerasHubLanguageModel:
    """Builds the language model of a preset, with its weights.

    Args:
        config: resolved.
        settings: what task and tokenizer ask of it; further tokens of the preset are dropped.
        lora: freeze it and train low-rank matrices, if the config asks for it; False: the inference form.

    Raises:
        ConfigError: there is no such preset, it is not a language model, or it is too small for the tokenizer or the
            context.
    """
    check_context(config.path, settings.max_length)
    folder = served(config.path, "language model")
    model = (
        published_model(folder, settings, config.dropout or 0.0)
        if folder is not None
        else _kerashub_model(config, settings)
    )
    if lora and config.lora_rank:
        enable_lora(model, config.lora_rank)
    return model


def _kerashub_model(config: PresetModel, settings: GeneratorSettings) -> Generator | KerasHubLanguageModel:
    backbone = load_backbone(config.path)
    vocabulary_size = settings.vocabulary_size
    rows = getattr(backbone, "vocabulary_size", vocabulary_size)
    if vocabulary_size > rows:
        raise ConfigError(f"model.path: {config.path!r} knows {rows} tokens, its tokenizer has {vocabulary_size}")
    ids = {"pad_id": settings.pad_id, "start_id": settings.start_id, "end_id": settings.end_id}
    if type(backbone).__name__ in FAMILIES:
        return rebuilt(backbone, vocabulary_size, settings.max_length, config.dropout or 0.0, **ids)
    return language_model(config.path, vocabulary_size, **ids)


def check_context(path: str, max_length: int) -> None:
    """Checks that a preset supports a context of `max_length` tokens.

    Raises:
        ConfigError: the preset has fewer positions, or attends to a smaller window.
    """
    limit = facts(path).max_length
    if limit is not None and max_length > limit:
        raise ConfigError(
            f"lengths: found a context of {max_length} tokens; the preset {path!r} sees {limit} at once: lower it"
        )


class Facts(NamedTuple):
    """The inputs that a language model preset takes.

    Attributes:
        max_length: the longest context in tokens; None: any.
        packs: whether a row may hold several texts.
    """

    max_length: int | None
    packs: bool


@functools.cache
def facts(path: str) -> Facts:
    """The inputs that a preset takes. Builds a KerasHub preset without its weights, once in a process."""
    folder = served(path, "language model")
    if folder is not None:
        kind = LANGUAGE_MODELS[folder.kind]
        kind.shape(folder, max_length=1, dropout=0.0)  # a field that is not served is told before texts are read
        return Facts(kind.context(folder), packs=True)
    backbone = load_backbone(path, load_weights=False)
    return Facts(context_of(backbone), type(backbone).__name__ in FAMILIES)


def context_of(backbone: keras.Model) -> int | None:
    """The longest context with full attention and positions for every token; None: any length."""
    limits = [getattr(backbone, name, None) for name in ("max_sequence_length", "max_position_embeddings")]
    if type(backbone).__name__ in FAMILIES:  # rebuilt without a sliding window, which is equal for shorter contexts
        windows = [getattr(backbone, name, None) for name in ("sliding_window", "sliding_window_size")]
        limits += windows if getattr(backbone, "use_sliding_window_attention", True) else []
    return min((limit for limit in limits if limit), default=None)


def rebuilt(
    backbone: keras.Model, vocabulary_size: int, max_length: int, dropout: float = 0.0, **ids: int
) -> Generator:
    """Rebuilds a backbone on textapp's layers, with its weights.

    Args:
        backbone: of a family in `FAMILIES`.
        vocabulary_size: keep the first so many of its tokens.
        max_length: the context in tokens.
        dropout: rate.
        ids: `pad_id`, `start_id`, `end_id`.
    """
    family = FAMILIES[type(backbone).__name__]
    shape = family.shape(backbone, max_length=max_length, dropout=dropout)
    decoder = TransformerDecoder(backbone.hidden_dim, backbone.num_layers, **shape)
    table = backbone.token_embedding
    settings = {"tie_embeddings": table.tie_weights, "scaled": False, **ids}
    model = Generator(decoder, vocabulary_size, backbone.hidden_dim, name="generator", **settings)
    model.token_embedding.embeddings.assign(array_of(table.embeddings)[:vocabulary_size])
    if not model.tie_embeddings:
        model.output_projection.kernel.assign(array_of(table.reverse_embeddings)[:, :vocabulary_size])
    if decoder.positions is not None:
        positions = array_of(backbone.position_embedding.weights[0])
        decoder.positions.table.assign(positions[:max_length])
    copy_weights(backbone.get_layer(family.last_norm), decoder.norm)
    for source, block in zip(backbone.transformer_layers, decoder.blocks, strict=True):
        targets = _parts(block)
        for name, part in family.parts(source).items():
            copy_weights(part, targets[name])
    return model


def _parts(block: Any) -> dict[str, Any]:
    """The sublayers of a block by the names of `Family.parts`."""
    named = ("attention_norm", "feed_forward_norm", "inward", "linear", "outward")
    return {
        **block.attention.projections,
        **{f"{name}.norm": norm for name, norm in block.attention.norms.items()},
        **{name: getattr(block, name) for name in named},
    }


# --- the families --------------------------------------------------------------------------------------------------


def _gpt2(backbone: Any, **sizes: Any) -> dict[str, Any]:
    """Radford et al., 2019."""
    settings = BlockSettings(
        backbone.num_heads, backbone.intermediate_dim, activation="gelu_approximate", epsilon=1e-5, **sizes
    )
    return {"settings": settings, "positions": "learned"}


def _gpt2_parts(layer: Any) -> dict[str, Any]:
    attention = layer._self_attention_layer
    return {
        "query": attention.query_dense, "key": attention.key_dense, "value": attention.value_dense,
        "output": attention.output_dense, "attention_norm": layer._self_attention_layer_norm,
        "feed_forward_norm": layer._feedforward_layer_norm, "inward": layer._feedforward_intermediate_dense,
        "outward": layer._feedforward_output_dense,
    }  # fmt: skip


def _llama(backbone: Any, biases: str = "none", **sizes: Any) -> dict[str, Any]:
    """Touvron et al., 2023; its successors differ in heads and biases."""
    heads = backbone.num_query_heads
    rotary = backbone.transformer_layers[0]._self_attention_layer.rotary_embedding_layer
    head_dim = getattr(backbone, "head_dim", None) or backbone.hidden_dim // heads
    settings = BlockSettings(
        heads, backbone.intermediate_dim, backbone.num_key_value_heads, head_dim, biases,
        rope_rates=array_of(rotary._get_inverse_freq(head_dim)).tolist(), epsilon=backbone.layer_norm_epsilon,
        **_LLAMA, **sizes,
    )  # fmt: skip
    return {"settings": settings, "positions": "rope"}


def _llama_parts(layer: Any) -> dict[str, Any]:
    attention = layer._self_attention_layer
    return {
        "query": attention._query_dense, "key": attention._key_dense, "value": attention._value_dense,
        "output": attention._output_dense, "attention_norm": layer._self_attention_layernorm,
        "feed_forward_norm": layer._feedforward_layernorm, "inward": layer._feedforward_gate_dense,
        "linear": layer._feedforward_intermediate_dense, "outward": layer._feedforward_output_dense,
    }  # fmt: skip


def _qwen3_parts(layer: Any) -> dict[str, Any]:
    attention = layer._self_attention_layer
    norms = {"query.norm": attention._query_dense_layer_norm, "key.norm": attention._key_dense_layer_norm}
    return {**_llama_parts(layer), **norms}


def _smollm3(backbone: Any, **sizes: Any) -> dict[str, Any]:
    """SmolLM 3, with rotary positions in some layers only. Earlier SmolLMs are Llamas in KerasHub.

    Raises:
        ConfigError: it has options that no published SmolLM uses.
    """
    if backbone.mlp_bias or backbone.partial_rotary_factor != 1:
        raise ConfigError("model.path: found a SmolLM3 with mlp_bias or a partial_rotary_factor, which is not served")
    rotary = backbone.transformer_layers[0].self_attn.rotary_embedding
    settings = BlockSettings(
        backbone.num_attention_heads, backbone.intermediate_dim, backbone.num_key_value_heads,
        biases="qkv" if backbone.attention_bias else "none", rope_rates=array_of(rotary.inv_freq).tolist(),
        epsilon=backbone.layer_norm_epsilon, **_LLAMA, **sizes,
    )  # fmt: skip
    return {"settings": settings, "positions": "rope", "rope_layers": list(backbone.rope_layer_enabled_list)}


def _smollm3_parts(layer: Any) -> dict[str, Any]:
    attention, mlp = layer.self_attn, layer.mlp
    return {
        "query": attention.q_proj, "key": attention.k_proj, "value": attention.v_proj, "output": attention.o_proj,
        "attention_norm": layer.input_layernorm, "feed_forward_norm": layer.post_attention_layernorm,
        "inward": mlp.gate_proj, "linear": mlp.up_proj, "outward": mlp.down_proj,
    }  # fmt: skip


_LLAMA = {"activation": "swiglu", "normalization": "rms"}
FAMILIES: Mapping[str, Family] = {
    "GPT2Backbone": Family(_gpt2, _gpt2_parts, "layer_norm"),
    **dict.fromkeys(("LlamaBackbone", "Llama3Backbone", "MistralBackbone"), Family(_llama, _llama_parts)),
    "QwenBackbone": Family(functools.partial(_llama, biases="qkv"), _llama_parts),
    "Qwen3Backbone": Family(functools.partial(_llama, head_norms=True), _qwen3_parts),
    "SmolLM3Backbone": Family(_smollm3, _smollm3_parts),
}
