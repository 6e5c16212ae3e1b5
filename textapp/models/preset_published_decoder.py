"""Language models of published folders, on textapp's own layers: GPT-2, Llama, Mistral, Qwen 2 and 3, SmolLM."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from textapp.errors import ConfigError
from textapp.layers import BlockSettings, TransformerDecoder
from textapp.models.generator import Generator, GeneratorSettings
from textapp.models.preset_folder import Folder
from textapp.models.preset_tensors import (
    GATED,
    PLAIN,
    check_rows,
    fill_dense,
    fill_embeddings,
    fill_norm,
    fill_output_layer,
)


class LanguageModel(NamedTuple):
    """How one kind of language model is read.

    Attributes:
        shape: returns the arguments of `TransformerDecoder` after `num_layers`, for a folder, `max_length` and
            `dropout`.
        fill: fills a built model from a folder.
        context: returns the longest context in tokens; None: any.
        dim, layers: keys of the width and the number of layers.
        tied: whether embeddings and output layer are one where the config does not say.
    """

    shape: Callable[..., dict[str, Any]]
    fill: Callable[[Folder, Generator, int], None]
    context: Callable[[Folder], int | None]
    dim: str = "hidden_size"
    layers: str = "num_hidden_layers"
    tied: bool = False


def language_model(folder: Folder, settings: GeneratorSettings, dropout: float) -> Generator:
    """Builds the language model of a folder, with its weights.

    Args:
        folder: of a kind in `LANGUAGE_MODELS`.
        settings: what task and tokenizer ask of it; further tokens of the folder are dropped.
        dropout: rate.

    Raises:
        ConfigError: a field of its config is not served, a tensor is missing, left over or of another shape, or it has
            fewer tokens than its tokenizer.
    """
    kind = LANGUAGE_MODELS[folder.kind]
    rows, dim = folder.size("vocab_size"), folder.size(kind.dim)
    check_rows(folder, rows, settings.vocabulary_size)
    shape = kind.shape(folder, max_length=settings.max_length, dropout=dropout)
    model = Generator(
        TransformerDecoder(dim, folder.size(kind.layers), **shape), settings.vocabulary_size, dim, settings.pad_id,
        settings.start_id, settings.end_id, tie_embeddings=folder.flag("tie_word_embeddings", kind.tied), scaled=False,
        name="generator",
    )  # fmt: skip
    kind.fill(folder, model, rows)
    fill_output_layer(folder, model, rows)
    folder.finish("score.weight", "lm_head.weight")
    return model


def _llama(folder: Folder, max_length: int, dropout: float, biases: str = "none", head_norms: bool = False) -> dict:
    """Touvron et al., 2023; its successors differ in heads and biases."""
    folder.require(
        rope_interleaved=False, attention_multiplier=1.0, logits_scaling=1.0, embedding_multiplier=1.0,
        residual_multiplier=1.0, attn_logit_softcapping=(), final_logit_softcapping=(), num_local_experts=(0, 1),
        qk_layernorm=False, layer_norm_bias=False, use_mrope=False,
    )  # fmt: skip
    heads = folder.size("num_attention_heads")
    if _attention_bias(folder) or folder.flag("mlp_bias", False):
        biases = "all"
    settings = BlockSettings(
        heads, folder.size("intermediate_size"), folder.size("num_key_value_heads", heads), head_dim_of(folder), biases,
        head_norms=head_norms, rope_rates=rope_rates(folder).tolist(),
        activation=folder.choice("hidden_act", GATED, "silu"), normalization="rms",
        epsilon=folder.number("rms_norm_eps", 1e-6), max_length=max_length, dropout=dropout,
    )  # fmt: skip
    return {"settings": settings, "positions": "rope", "rope_layers": _rope_layers(folder)}


def _attention_bias(folder: Folder) -> bool:
    """Whether all four projections of the attention have biases; those of Qwen 2 are read without this field."""
    return folder.kind != "qwen2" and folder.flag("attention_bias", False)


def head_dim_of(folder: Folder) -> int:
    heads = folder.size("num_attention_heads")
    if folder.config.get("head_dim") is None and folder.size("hidden_size") % heads:
        raise folder.fault("num_attention_heads", f"a divisor of hidden_size {folder.size('hidden_size')}")
    return folder.size("head_dim", folder.size("hidden_size") // heads)


def _rope_layers(folder: Folder) -> list[bool] | None:
    """Which layers rotate, of a SmolLM 3; None: all."""
    if folder.kind != "smollm3":
        folder.require(no_rope_layers=())
        return None
    layers, interval = folder.size("num_hidden_layers"), folder.size("no_rope_layer_interval", 4)
    rotated = folder.config.get("no_rope_layers")
    if rotated is None:
        rotated = [(number + 1) % interval != 0 for number in range(layers)]
    if not isinstance(rotated, list) or len(rotated) != layers:
        raise folder.fault("no_rope_layers", f"a list of {layers} numbers 0 or 1")
    return [bool(value) for value in rotated]


def rope_rates(folder: Folder) -> np.ndarray:
    """Radians a position for each pair of a head, `[head_dim / 2]` float64.

    Raises:
        ConfigError: a way to scale them that is not served.
    """
    where = "rope_scaling" if folder.config.get("rope_scaling") else "rope_parameters"
    rope = folder.config.get(where) or {}
    if not isinstance(rope, dict):
        raise folder.fault(where, "an object")
    kind = rope.get("rope_type", rope.get("type", "default"))
    if any(isinstance(value, dict) for value in rope.values()) or kind not in (
        "default",
        "linear",
        "dynamic",
        "llama3",
    ):
        raise folder.fault(where, "rope_type default, linear, dynamic or llama3")
    share = rope.get("partial_rotary_factor", folder.config.get("partial_rotary_factor"))
    if share not in (None, 1, 1.0):
        raise ConfigError(
            f"model.path: {folder.path}: partial_rotary_factor of model_type {folder.kind}: found {share}, expected 1; "
            "take another model"
        )
    dim = head_dim_of(folder)
    default = 2_000_000.0 if folder.kind == "smollm3" else 10_000.0
    theta = float(rope["rope_theta"]) if rope.get("rope_theta") else folder.number("rope_theta", default)
    rates = theta ** (-np.arange(0, dim, 2) / dim)
    divisors = folder.rope_divisors(len(rates))
    rates = rates if divisors is None else rates / divisors
    try:
        if kind == "linear":
            return rates / float(rope["factor"])
        return _llama3_rates(rates, rope) if kind == "llama3" else rates  # dynamic ones differ beyond the context only
    except (KeyError, TypeError, ValueError, ZeroDivisionError) as error:
        raise folder.fault(where, f"the numbers of rope_type {kind} ({error})") from error


def _llama3_rates(rates: np.ndarray, rope: Mapping[str, Any]) -> np.ndarray:
    """Slow rotations slowed further, as in Llama 3.1: by `factor`, fast ones not, those between in between."""
    low, high, factor = (float(rope[key]) for key in ("low_freq_factor", "high_freq_factor", "factor"))
    turns = float(rope["original_max_position_embeddings"]) * rates / (2 * math.pi)
    share = np.clip((turns - low) / (high - low), 0, 1)
    return rates * (share + (1 - share) / factor)


def _fill_llama(folder: Folder, model: Generator, rows: int, qkv_bias: bool = False) -> None:
    folder.begin("embed_tokens.weight", "model.")
    fill_embeddings(folder, "embed_tokens.weight", model, rows)
    attention_bias, mlp_bias = _attention_bias(folder), folder.flag("mlp_bias", False)
    fill_norm(folder, "norm", model.decoder.norm)
    for number, block in enumerate(model.decoder.blocks):
        attention, mlp = f"layers.{number}.self_attn", f"layers.{number}.mlp"
        for name, short in (("query", "q"), ("key", "k"), ("value", "v"), ("output", "o")):
            bias = attention_bias or (qkv_bias and short != "o")
            fill_dense(folder, f"{attention}.{short}_proj", block.attention.projections[name], bias)
        for name, norm in block.attention.norms.items():
            fill_norm(folder, f"{attention}.{name[0]}_norm", norm)
        fill_norm(folder, f"layers.{number}.input_layernorm", block.attention_norm)
        fill_norm(folder, f"layers.{number}.post_attention_layernorm", block.feed_forward_norm)
        for name, layer in (("gate", block.inward), ("up", block.linear), ("down", block.outward)):
            fill_dense(folder, f"{mlp}.{name}_proj", layer, mlp_bias)


def _llama_context(folder: Folder) -> int | None:
    """The positions that it was trained on, and no more than a window of attention: the rebuilt layers have none."""
    limits = [folder.size("max_position_embeddings", 2048)]
    sliding = "sliding_attention" in (folder.config.get("layer_types") or ())
    if folder.config.get("sliding_window") and (sliding or folder.flag("use_sliding_window", folder.kind == "mistral")):
        limits.append(folder.size("sliding_window"))
    return min(limits)


def _gpt2(folder: Folder, max_length: int, dropout: float) -> dict:
    """Radford et al., 2019."""
    folder.require(scale_attn_weights=True, scale_attn_by_inverse_layer_idx=False, add_cross_attention=False)
    settings = BlockSettings(
        folder.size("n_head"), folder.size("n_inner", 4 * folder.size("n_embd")),
        activation=folder.choice("activation_function", PLAIN, "gelu_new"),
        epsilon=folder.number("layer_norm_epsilon", 1e-5), max_length=max_length, dropout=dropout,
    )  # fmt: skip
    return {"settings": settings, "positions": "learned"}


def _fill_gpt2(folder: Folder, model: Generator, rows: int) -> None:
    """GPT-2 keeps its kernels as `[inputs, outputs]`, those of query, key and value in one."""
    folder.begin("wte.weight", "transformer.")
    fill_embeddings(folder, "wte.weight", model, rows)
    positions = folder.tensor("wpe.weight", folder.size("n_positions"), model.embedding_dim)
    model.decoder.positions.table.assign(positions[: model.decoder.settings.max_length])
    fill_norm(folder, "ln_f", model.decoder.norm)
    for number, block in enumerate(model.decoder.blocks):
        projections = block.attention.projections
        _convolved(folder, f"h.{number}.attn.c_attn", [projections[name] for name in ("query", "key", "value")])
        _convolved(folder, f"h.{number}.attn.c_proj", [projections["output"]])
        fill_norm(folder, f"h.{number}.ln_1", block.attention_norm)
        fill_norm(folder, f"h.{number}.ln_2", block.feed_forward_norm)
        _convolved(folder, f"h.{number}.mlp.c_fc", [block.inward])
        _convolved(folder, f"h.{number}.mlp.c_proj", [block.outward])


def _convolved(folder: Folder, name: str, layers: list[Any]) -> None:
    inputs, outputs = layers[0].kernel.shape
    width = outputs * len(layers)
    kernels = np.split(folder.tensor(f"{name}.weight", inputs, width), len(layers), axis=1)
    biases = np.split(folder.tensor(f"{name}.bias", width), len(layers))
    for layer, kernel, bias in zip(layers, kernels, biases, strict=True):
        layer.kernel.assign(kernel)
        layer.bias.assign(bias)


_LLAMA = LanguageModel(_llama, _fill_llama, _llama_context)
LANGUAGE_MODELS: Mapping[str, LanguageModel] = {
    "gpt2": LanguageModel(
        _gpt2, _fill_gpt2, lambda folder: folder.size("n_positions", 1024), "n_embd", "n_layer", tied=True
    ),
    **dict.fromkeys(("llama", "mistral"), _LLAMA),
    "qwen2": _LLAMA._replace(
        shape=functools.partial(_llama, biases="qkv"), fill=functools.partial(_fill_llama, qkv_bias=True)
    ),
    "qwen3": _LLAMA._replace(shape=functools.partial(_llama, head_norms=True)),
    "smollm3": _LLAMA._replace(tied=True),
}
