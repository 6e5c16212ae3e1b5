"""A generator of textapp as a CTranslate2 model: the same weights under CTranslate2's names.

Tokens are the ids as strings, `"17"`, so that CTranslate2 is handed the very ids of textapp.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from ctranslate2.specs import (
    LayerSpec,
    TransformerDecoderModelSpec,
    TransformerDecoderSpec,
    TransformerEncoderSpec,
    TransformerSpec,
)
from ctranslate2.specs.common_spec import Activation
from serve import Weights
from writing import token_names

ACTIVATIONS = {
    "gelu": Activation.GELU,
    "gelu_approximate": Activation.GELUTanh,
    "relu": Activation.RELU,
    "swiglu": Activation.SWISH,
}


def write_model(facts: dict[str, Any], weights: Weights, folder: Path, quantization: str) -> None:
    """Writes a CTranslate2 model.

    Args:
        facts: model.json of generator_weights.py.
        weights: weights.npz of generator_weights.py, by name.
        folder: made by this call.
        quantization: `int8` or `float32`.
    """
    decoder = _decoder(facts, weights)
    if facts["encoder"] is None:
        spec = TransformerDecoderModelSpec(decoder)
        spec.register_vocabulary(token_names(facts["vocabulary_size"]))
    else:
        spec = TransformerSpec(_encoder(facts, weights), decoder)
        spec.config.decoder_start_token = str(facts["start_id"])
        spec.register_source_vocabulary(token_names(facts["source_vocabulary_size"]))
        spec.register_target_vocabulary(token_names(facts["vocabulary_size"]))
    spec.config.bos_token, spec.config.eos_token = str(facts["start_id"]), str(facts["end_id"])
    spec.config.unk_token = str(facts["unknown_id"])
    spec.config.layer_norm_epsilon = facts["decoder"]["epsilon"]
    spec.validate()
    spec.optimize(quantization)
    folder.mkdir(parents=True, exist_ok=True)
    spec.save(str(folder))


def _encoder(facts: dict[str, Any], weights: Weights) -> TransformerEncoderSpec:
    settings = facts["encoder"]
    spec = TransformerEncoderSpec(settings["num_layers"], settings["num_heads"], **_shared(settings))
    spec.embeddings[0].weight = weights["source_embedding"].copy()  # quantization writes into what it is given
    _fill_stack(spec, facts, settings, weights, "encoder")
    return spec


def _decoder(facts: dict[str, Any], weights: Weights) -> TransformerDecoderSpec:
    settings, alone = facts["decoder"], facts["encoder"] is None
    spec = TransformerDecoderSpec(
        settings["num_layers"], settings["num_heads"], with_encoder_attention=not alone, **_shared(settings)
    )
    spec.embeddings.weight = weights["target_embedding"].copy()
    spec.projection.weight = weights["logits/kernel"].T.copy()
    if "logits/bias" in weights:
        spec.projection.bias = weights["logits/bias"]
    _fill_stack(spec, facts, settings, weights, "decoder")
    return spec


def _shared(settings: dict[str, Any]) -> dict[str, Any]:
    """What the specs of an encoder and of a decoder both take."""
    heads = settings["num_key_value_heads"]
    own = {
        "activation": ACTIVATIONS[settings["activation"]],
        "ffn_glu": settings["activation"] == "swiglu",
        "num_heads_kv": None if heads == settings["num_heads"] else heads,
    }
    # rotary_dim 0: the whole head turns; its pairs stand half a head apart.
    return {**own, "rotary_dim": 0, "rotary_interleave": False} if settings["positions"] == "rope" else own


def _fill_stack(spec: Any, facts: dict[str, Any], settings: dict[str, Any], weights: Weights, name: str) -> None:
    scale = facts["embedding_scale"]
    spec.scale_embeddings = False if scale == 1.0 else float(scale)
    if settings["positions"] != "rope":
        spec.position_encodings.encodings = weights[f"{name}/positions"]
    _fill_norm(spec.layer_norm, weights, f"{name}/norm")
    for number, layer in enumerate(spec.layer):
        block = f"{name}/block_{number}"
        _fill_attention(layer.self_attention, weights, f"{block}/attention", [("query", "key", "value"), ("output",)])
        if hasattr(layer, "attention"):
            parts = [("query",), ("key", "value"), ("output",)]
            _fill_attention(layer.attention, weights, f"{block}/cross_attention", parts)
        _fill_norm(layer.ffn.layer_norm, weights, f"{block}/feed_forward_norm")
        _fill_linear(layer.ffn.linear_0, weights, [f"{block}/inward"])
        if settings["activation"] == "swiglu":
            _fill_linear(layer.ffn.linear_0_noact, weights, [f"{block}/linear"])
        _fill_linear(layer.ffn.linear_1, weights, [f"{block}/outward"])


def _fill_attention(spec: Any, weights: Weights, name: str, parts: list[tuple[str, ...]]) -> None:
    _fill_norm(spec.layer_norm, weights, f"{name}_norm")
    for linear, joined in zip(spec.linear, parts, strict=True):
        _fill_linear(linear, weights, [f"{name}/{part}" for part in joined])


def _fill_linear(spec: LayerSpec, weights: Weights, names: list[str]) -> None:
    """CTranslate2 keeps a kernel as `[outputs, inputs]`; several become one product."""
    spec.weight = np.concatenate([weights[f"{name}/kernel"].T for name in names])
    spec.bias = np.concatenate([weights[f"{name}/bias"] for name in names])


def _fill_norm(spec: LayerSpec, weights: Weights, name: str) -> None:
    spec.gamma, spec.beta = weights[f"{name}/gamma"], weights[f"{name}/beta"]
