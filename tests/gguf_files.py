"""Writes the tiny models of published.py as GGUF files, as the converter of llama.cpp names and orders their parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import published

NAMES = {
    "model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output",
    "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output", "self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm",
    "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm", "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
}  # fmt: skip
# A model with rows of 32 and more numbers, which is the block of a quantization.
WIDE = {
    "hidden_size": 64, "intermediate_size": 96, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16
}  # fmt: skip


def write(
    file: Path,
    config: Mapping[str, Any],
    weights: Mapping[str, np.ndarray],
    dtype: str = "F32",
    changes: Mapping[str, Any] | None = None,
    tokens: Mapping[str, Any] | None = None,
) -> Path:
    """Writes a GGUF file.

    Args:
        file: to write.
        config: as config.json has it.
        weights: by their names in a published folder.
        dtype: of the matrices, a name of gguf's quantizations; vectors are float32.
        changes: keys after `llama.` that differ, or with dots before them whole keys; None as a value removes one.
        tokens: keys after `tokenizer.ggml.`.
    """
    import gguf

    kind = "llama" if config["model_type"] == "mistral" else config["model_type"]
    values = {
        "embedding_length": config["hidden_size"], "block_count": config["num_hidden_layers"],
        "feed_forward_length": config["intermediate_size"], "attention.head_count": config["num_attention_heads"],
        "attention.head_count_kv": config["num_key_value_heads"], "attention.key_length": config["head_dim"],
        "attention.value_length": config["head_dim"], "rope.dimension_count": config["head_dim"],
        "attention.layer_norm_rms_epsilon": config["rms_norm_eps"], "context_length": 64, "vocab_size": 60,
        "rope.freq_base": config["rope_parameters"]["rope_theta"],
    }  # fmt: skip
    keys = {"general.architecture": kind, **{f"{kind}.{name}": value for name, value in values.items()}}
    keys |= {name[1:] if name[0] == "." else f"{kind}.{name}": value for name, value in (changes or {}).items()}
    keys |= {f"tokenizer.ggml.{name}": value for name, value in (tokens or {}).items()}
    writer = gguf.GGUFWriter(str(file), keys.pop("general.architecture"))
    for key, value in keys.items():
        if value is not None:
            _add(writer, key, value)
    for name, array in stored(config, weights).items():
        qtype = gguf.GGMLQuantizationType[dtype if array.ndim > 1 else "F32"]
        writer.add_tensor(name, gguf.quantize(array, qtype), raw_dtype=qtype)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file


def stored(config: Mapping[str, Any], weights: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The tensors of a file by their names in it; those of Llama's queries and keys have the pairs of a head together.

    Args:
        config: as config.json has it.
        weights: by their names in a published folder.
    """
    tensors = {}
    for name, array in weights.items():
        stem, _, end = name.rpartition(".")
        layer, _, part = stem.removeprefix("model.layers.").partition(".")
        own = f"blk.{layer}.{NAMES[part]}.{end}" if layer.isdigit() else f"{NAMES.get(stem, stem)}.{end}"
        heads = {"attn_q": "num_attention_heads", "attn_k": "num_key_value_heads"}.get(NAMES.get(part, ""))
        if heads and config["model_type"] in ("llama", "mistral"):
            halves = array.reshape(config[heads], 2, -1, *array.shape[1:])
            array = np.ascontiguousarray(halves.swapaxes(1, 2)).reshape(array.shape)
        tensors[own] = array
    return tensors


def model(name: str, wide: bool = False) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Config and weights of a model of published.py.

    Args:
        name: a key of published.json.
        wide: with the sizes of `WIDE`.
    """
    config, weights = dict(published.MODELS[name]["config"]), published.tensors(name)
    config.setdefault("head_dim", config["hidden_size"] // config["num_attention_heads"])
    if wide:
        heads, shared = (WIDE[key] * WIDE["head_dim"] for key in ("num_attention_heads", "num_key_value_heads"))
        sizes = {"q_proj": (heads, 64), "k_proj": (shared, 64), "v_proj": (shared, 64), "o_proj": (64, heads),
                 "gate_proj": (96, 64), "up_proj": (96, 64), "down_proj": (64, 96)}  # fmt: skip
        config |= WIDE
        for key, array in weights.items():
            part = key.split(".")[-2]
            shape = sizes.get(part, (60, 64) if array.ndim > 1 else (64,))
            weights[key] = published.weight(key, shape if array.ndim > 1 else shape[:1]) * np.float32(0.5)
    return config, weights


def _add(writer: Any, key: str, value: Any) -> None:
    import gguf

    types: Sequence[tuple[type, Any]] = (
        (bool, gguf.GGUFValueType.BOOL), (int, gguf.GGUFValueType.UINT32), (float, gguf.GGUFValueType.FLOAT32),
        (str, gguf.GGUFValueType.STRING), (list, gguf.GGUFValueType.ARRAY),
    )  # fmt: skip
    writer.add_key_value(key, value, next(kind for python, kind in types if isinstance(value, python)))
