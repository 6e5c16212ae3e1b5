"""Tiny language models of KerasHub's families with random weights, saved as presets are."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

MERGES = ["r e", "re d", "b l", "Ġ b", "Ġ red", "u e", "bl ue", "Ġ blue"]
VOCABULARY = 300  # more than the tokenizers know, as presets often have
LLAMA = {
    "vocabulary_size": VOCABULARY, "num_layers": 2, "num_query_heads": 4, "num_key_value_heads": 2, "hidden_dim": 16,
    "intermediate_dim": 24,
}  # fmt: skip
GPT2 = {
    "vocabulary_size": VOCABULARY, "num_layers": 2, "num_heads": 2, "hidden_dim": 16, "intermediate_dim": 64,
    "max_sequence_length": 64,
}  # fmt: skip
SMOLLM = {
    "vocabulary_size": VOCABULARY, "num_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
    "hidden_dim": 16, "intermediate_dim": 24, "attention_bias": True, "attention_dropout": 0.0,
    "rope_layer_enabled_list": [True, False], "layer_types": ["attention"] * 2, "mlp_bias": False,
    "layer_norm_epsilon": 1e-5, "max_position_embeddings": 64, "rope_theta": 10000.0, "partial_rotary_factor": 1.0,
}  # fmt: skip
ADJUSTED = {
    "rope_max_wavelength": 100, "rope_frequency_adjustment_factor": 8, "rope_low_freq_factor": 1,
    "rope_high_freq_factor": 4, "rope_pretraining_sequence_length": 64,
}  # fmt: skip
BACKBONES: Mapping[str, tuple[str, dict[str, Any]]] = {
    "gpt2": ("GPT2", GPT2),
    "llama": ("Llama", {**LLAMA, "rope_max_wavelength": 5000}),
    "llama_tied": ("Llama", {**LLAMA, "tie_word_embeddings": True}),
    "llama3": ("Llama3", {**LLAMA, **ADJUSTED}),
    "llama3_tied": ("Llama3", {**LLAMA, "tie_word_embeddings": True}),
    "mistral": ("Mistral", {**LLAMA, "head_dim": 6, "sliding_window": 32, "rope_scaling_factor": 2.0}),
    "qwen": ("Qwen", {**LLAMA, "tie_word_embeddings": True}),
    "qwen3": ("Qwen3", {**LLAMA, "head_dim": 6, "tie_word_embeddings": False, "sliding_window_size": None}),
    "smollm3": ("SmolLM3", SMOLLM),
    "opt": ("OPT", GPT2),
    "gemma": ("Gemma", {**LLAMA, "head_dim": 6}),
}


def causal_lm(name: str) -> Any:
    """KerasHub's language model of a family, its weights stirred."""
    import keras_hub

    prefix, settings = BACKBONES[name]
    backbone = getattr(keras_hub.models, f"{prefix}Backbone")(**settings)
    dice = np.random.default_rng(1)
    for weight in backbone.weights:
        if "inv_freq" not in weight.path:
            weight.assign(np.asarray(weight) * ("scale" in weight.path) + dice.normal(0, 0.3, weight.shape))
    return getattr(keras_hub.models, f"{prefix}CausalLM")(backbone=backbone, preprocessor=None, compile=False)


def save_preset(name: str, folder: Path) -> Path:
    """A folder in KerasHub's layout: the model of `causal_lm` and a tokenizer of bytes and a few merges."""
    causal_lm(name).backbone.save_to_preset(str(folder))
    SPELLERS.get(name, byte_level)(folder, BACKBONES[name][0])
    return folder


def byte_level(folder: Path, prefix: str) -> None:
    """A byte-level BPE tokenizer as `save_to_preset` writes it."""
    from tokenizers import pre_tokenizers

    special = {
        "OPT": ["<s>", "<pad>", "</s>"],
        "Bart": ["<s>", "<pad>", "</s>", "<mask>"],
        "Qwen3": ["<|endoftext|>", "<|im_end|>"],
    }.get(prefix, ["<|endoftext|>"])
    pieces = [*sorted(pre_tokenizers.ByteLevel.alphabet()), *(merge.replace(" ", "") for merge in MERGES), *special]
    ids = {piece: number for number, piece in enumerate(dict.fromkeys(pieces))}
    assets = {"vocabulary.json": json.dumps(ids).encode(), "merges.txt": "\n".join(MERGES).encode()}
    write_tokenizer(folder, f"{prefix}Tokenizer", assets)


def sentence_pieces(folder: Path, prefix: str) -> None:
    """A SentencePiece tokenizer with Llama's special tokens."""
    import io

    import sentencepiece

    written = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(["red blue house dog", "the sea at night"] * 20), model_writer=written, vocab_size=280,
        model_type="bpe", byte_fallback=True, hard_vocab_limit=False, unk_id=0, bos_id=1, eos_id=2, pad_id=-1,
        minloglevel=2, normalization_rule_name="identity", remove_extra_whitespaces=False,
    )  # fmt: skip
    write_tokenizer(folder, f"{prefix}Tokenizer", {"vocabulary.spm": written.getvalue()})


def write_tokenizer(folder: Path, class_name: str, assets: Mapping[str, bytes]) -> None:
    (folder / "assets" / "tokenizer").mkdir(parents=True)
    (folder / "tokenizer.json").write_text(json.dumps({"class_name": class_name, "config": {}}), encoding="utf-8")
    for name, content in assets.items():
        (folder / "assets" / "tokenizer" / name).write_bytes(content)


SPELLERS: Mapping[str, Callable[[Path, str], None]] = {
    "llama": sentence_pieces, "mistral": sentence_pieces, "gemma": sentence_pieces
}  # fmt: skip
