"""Which models of published folders in Hugging Face's layout are served, and by which file.

Their config.json and tensors are read without another framework: each value that changes what the model computes is
either built in, or refused. What they compute was compared with the package transformers, see
tests/models/test_preset_published.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from textapp.errors import ConfigError
from textapp.models.preset_folder import Folder, published
from textapp.models.preset_gguf import gguf_folder
from textapp.models.preset_published_decoder import LANGUAGE_MODELS, head_dim_of, rope_rates
from textapp.models.preset_published_encoder import ENCODERS
from textapp.models.preset_published_translator import TRANSLATORS

# Read by KerasHub, with its own layers; fields that its reader ignores, and their only value that is served.
ELSEWHERE: Mapping[str, Mapping[str, Any]] = {
    "gemma": {
        "attention_bias": False, "hidden_activation": "gelu_pytorch_tanh", "rms_norm_eps": 1e-6,
        "tie_word_embeddings": True, "quantization_config": (),
    }
}  # fmt: skip
KINDS: Mapping[str, Mapping[str, Any]] = {
    "text encoder": ENCODERS, "language model": LANGUAGE_MODELS, "encoder-decoder": TRANSLATORS
}  # fmt: skip


def _check_gemma(folder: Folder) -> None:
    """KerasHub rotates in the usual way, and reads `architectures`."""
    rates, dim = rope_rates(folder), head_dim_of(folder)
    if not np.allclose(rates, 10_000.0 ** (-np.arange(0, dim, 2) / dim)):
        raise folder.fault("rope_parameters", "rope_type default with rope_theta 10000")
    if not folder.config.get("architectures"):
        raise folder.fault("architectures", '["GemmaForCausalLM"]')


_A = {"encoder-decoder": "an"}


def served(path: str, role: str) -> Folder | None:
    """Opens a published folder or GGUF file of a role that this module builds; None: KerasHub builds it.

    Args:
        path: a folder, a GGUF file, or the name of a preset.
        role: a key of `KINDS`.

    Raises:
        ConfigError: a folder of another kind of model, or of one that is not served.
    """
    folder = gguf_folder(path) or published(path)
    if folder is None or folder.kind in KINDS[role]:
        return folder
    if role == "language model" and folder.kind in ELSEWHERE:
        folder.require(**ELSEWHERE[folder.kind])
        folder.begin("embed_tokens.weight", "model.")
        _check_gemma(folder)
        return None
    what = next((name for name, kinds in KINDS.items() if folder.kind in kinds), None)
    found = f"{folder.kind}, a {what}" if what else folder.kind
    kinds = ", ".join((*KINDS[role], *(ELSEWHERE if role == "language model" else ())))
    raise ConfigError(
        f"model.path: {folder.where}: found the model_type {found}; expected "
        f"{_A.get(role, 'a')} {role} of the type {kinds}: take such a model, or the name of a KerasHub preset"
    )
