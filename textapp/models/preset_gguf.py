"""A GGUF file of a language model as a published folder: its keys as a config.json, its tensors by the usual names."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from textapp.errors import ConfigError, require
from textapp.models.preset_folder import Folder
from textapp.text.preset_files import DOWNLOAD
from textapp.text.preset_gguf import Gguf, is_gguf, read_gguf

# Architectures, named as the model_type of a config.json; whether the converter reordered the rows of query and key, so
# that the two numbers of a rotated pair are neighbours.
REORDERED: Mapping[str, bool] = {"llama": True, "qwen2": False, "qwen3": False}
_KEYS = {
    "embedding_length": "hidden_size",
    "block_count": "num_hidden_layers",
    "feed_forward_length": "intermediate_size",
    "attention.head_count": "num_attention_heads",
    "attention.layer_norm_rms_epsilon": "rms_norm_eps",
    "context_length": "max_position_embeddings",
    "attention.head_count_kv": "num_key_value_heads",
    "attention.key_length": "head_dim",
    "rope.freq_base": "rope_theta",
    "attention.sliding_window": "sliding_window",
    "expert_count": "num_local_experts",
}
_REQUIRED = tuple(_KEYS)[:6]
# Read with others, or without meaning for the outputs. Every further key may change them, and is refused.
_OTHER_KEYS = (
    "attention.value_length", "rope.dimension_count", "rope.scaling.type", "rope.scaling.factor",
    "rope.scaling.original_context_length", "rope.scaling.finetuned", "vocab_size", "tensor_data_layout",
    "expert_used_count",
)  # fmt: skip
_TENSORS = {
    "token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head",
    "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj", "attn_q_norm": "self_attn.q_norm", "attn_k_norm": "self_attn.k_norm",
    "attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj",
}  # fmt: skip
_ROPE_FACTORS = "rope_freqs.weight"
_NAME = re.compile(r"(?:blk\.(\d+)\.)?(\w+)\.(weight|bias)")


def gguf_folder(path: str) -> GgufFolder | None:
    """Opens a GGUF file; None: the path is something else.

    Raises:
        ConfigError: it is damaged, or of an architecture that is not served.
        UsageError: the package gguf is not installed.
    """
    return GgufFolder(read_gguf(Path(path))) if is_gguf(Path(path)) else None


class GgufFolder(Folder):
    """See `Folder`; quantized tensors are dequantized.

    Args:
        file: as `read_gguf` returns it.
    """

    def __init__(self, file: Gguf) -> None:
        self.file = file
        super().__init__(file.path, _config(file))
        self.where = file.path

    def fault(self, key: str, expected: str) -> ConfigError:
        """See `Folder`; names the key of the file."""
        name = next((f"{self.kind}.{name}" for name, usual in _KEYS.items() if usual == key), key)
        found = repr(self.config[key])[:200] if key in self.config else "nothing"
        return ConfigError(
            f"model.path: {self.path}: {name} of architecture {self.kind}: found {found}, expected {expected}; "
            "take another model"
        )

    def rope_divisors(self, pairs: int) -> np.ndarray | None:
        """See `Folder`; the long contexts of Llama 3.1 are written as one number for each pair."""
        return self.tensor(_ROPE_FACTORS, pairs, whole_name=True) if _ROPE_FACTORS in self.names else None

    def tensor(self, name: str, *shape: int, whole_name: bool = False) -> np.ndarray:
        """See `Folder`."""
        name = name if whole_name else self.prefix + name
        if name not in self.names:
            self._missing(name)
        stored = self.file.tensors[self.names[name]]
        found = tuple(reversed(stored.shape.tolist()))
        if found != shape:
            raise ConfigError(
                f"model.path: {self.path}: found {stored.name} of shape {list(found)}, expected {list(shape)} by the "
                f"keys of the file: {DOWNLOAD}, or take another model"
            )
        gguf = require("gguf", "gguf")
        try:
            values = gguf.dequantize(stored.data, stored.tensor_type)
        except NotImplementedError as error:
            raise ConfigError(
                f"model.path: {self.path}: found {stored.name} in {stored.tensor_type.name}, which the package gguf "
                "cannot dequantize; expected another quantization, such as Q8_0 or Q4_K: download that file"
            ) from error
        self._taken.add(name)
        values = np.asarray(values, np.float32).reshape(shape)
        part = name.split(".")[-2]
        if not REORDERED[self.kind] or part not in ("q_proj", "k_proj"):
            return values
        heads = self.size("num_attention_heads")
        return _halves_apart(values, heads if part == "q_proj" else self.size("num_key_value_heads", heads))

    @functools.cached_property
    def _places(self) -> dict[str, str]:
        """The name in the file of each tensor."""
        return {_usual_name(name): name for name in self.file.tensors}

    def _missing(self, name: str) -> None:
        known = {usual: short for short, usual in _TENSORS.items()}
        layer, rest = re.fullmatch(r"(?:model\.layers\.(\d+)\.)?(.+)", name).groups()  # type: ignore[union-attr]
        stem, _, kind = rest.rpartition(".")
        own = f"{f'blk.{layer}.' if layer else ''}{known.get(stem, stem)}.{kind}"
        raise ConfigError(
            f"model.path: {self.path}: found no tensor {own} among {len(self.names)}; expected a whole model of "
            f"architecture {self.kind}: {DOWNLOAD}"
        )


def _config(file: Gguf) -> dict[str, Any]:
    """The fields of a config.json that say the same as the keys of a file."""
    kind = file.values.get("general.architecture")
    if kind not in REORDERED:
        raise file.fault("general.architecture", f"one of {', '.join(REORDERED)}")
    own = {key.removeprefix(f"{kind}."): value for key, value in file.values.items() if key.startswith(f"{kind}.")}
    for key in _REQUIRED:
        if key not in own:
            raise file.fault(f"{kind}.{key}", "a number")
    for key, value in own.items():
        if key not in _KEYS and key not in _OTHER_KEYS and value:
            raise file.fault(f"{kind}.{key}", "no such key: what it changes is not served")
    config = {name: own[key] for key, name in _KEYS.items() if key in own}
    width = own.get("attention.key_length")
    if own.get("attention.value_length", width) != width:
        raise file.fault(f"{kind}.attention.value_length", f"{width}, as attention.key_length")
    return {
        **config,
        "model_type": kind,
        "vocab_size": _rows(file),
        "tie_word_embeddings": "output.weight" not in file.tensors,
        "use_sliding_window": bool(own.get("attention.sliding_window")),
        "attention_bias": kind != "qwen2" and "blk.0.attn_q.bias" in file.tensors,
        "mlp_bias": "blk.0.ffn_down.bias" in file.tensors,
        **_rope(file, own, kind),
    }


def _rope(file: Gguf, own: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """The fields about rotary positions."""
    heads = own["attention.head_count"]
    width = own.get("attention.key_length") or (
        own["embedding_length"] // heads if isinstance(heads, int) and heads > 0 else None
    )
    if own.get("rope.dimension_count", width) != width:
        raise file.fault(f"{kind}.rope.dimension_count", f"{width}, all numbers of a head")
    scaling = own.get("rope.scaling.type", "none")
    if scaling == "none":
        return {}
    return {"rope_scaling": {"rope_type": scaling, "factor": own.get("rope.scaling.factor")}}


def _rows(file: Gguf) -> int:
    """The tokens that the model knows."""
    table = file.tensors.get("token_embd.weight")
    if table is None or len(table.shape) != 2:
        raise ConfigError(
            f"model.path: {file.path}: found no tensor token_embd.weight of two dimensions among {len(file.tensors)}; "
            f"expected a whole model: {DOWNLOAD}"
        )
    return int(table.shape[1])


def _usual_name(name: str) -> str:
    """The name that a published folder has for a tensor; its own, if that is not known.

    Example: `_usual_name("blk.3.attn_q.weight")` is `model.layers.3.self_attn.q_proj.weight`.
    """
    found = _NAME.fullmatch(name)
    if found is None or found[2] not in _TENSORS:
        return name
    layer = f"model.layers.{found[1]}." if found[1] is not None else ""
    return f"{layer}{_TENSORS[found[2]]}.{found[3]}"


def _halves_apart(values: np.ndarray, heads: int) -> np.ndarray:
    """Puts the rows of a projection, or its bias, back in order: the first numbers of all pairs of a head, then the
    second ones.

    Args:
        values: `[heads * head_dim, ...]`, the two numbers of each pair side by side.
        heads: number of them.
    """
    pairs = values.reshape(heads, -1, 2, *values.shape[1:])
    return np.ascontiguousarray(pairs.swapaxes(1, 2)).reshape(values.shape)
