"""Tiny encoder-decoders of KerasHub's families with random weights, saved as presets are."""

from __future__ import annotations

import functools
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from language_presets import byte_level, write_tokenizer

VOCABULARY = 300  # more than the tokenizers know, as presets often have
SIZES = {
    "vocabulary_size": VOCABULARY, "num_layers": 2, "num_heads": 2, "hidden_dim": 16, "intermediate_dim": 24,
    "max_sequence_length": 32,
}  # fmt: skip
T5 = {
    "vocabulary_size": VOCABULARY, "num_layers": 2, "num_heads": 3, "hidden_dim": 16, "intermediate_dim": 24,
    "key_value_dim": 6,
}  # fmt: skip
BACKBONES: Mapping[str, tuple[str, dict[str, Any]]] = {
    "bart": ("Bart", SIZES),
    "t5": ("T5", {**T5, "activation": "relu", "use_gated_activation": False}),
    "t5_gated": ("T5", {**T5, "activation": "gelu", "tie_embedding_weights": False}),
}


@functools.cache
def translator(name: str) -> Any:
    """KerasHub's model of a family, its weights stirred."""
    import keras_hub

    prefix, settings = BACKBONES[name]
    backbone = getattr(keras_hub.models, f"{prefix}Backbone")(**settings)
    dice = np.random.default_rng(1)
    for weight in backbone.weights:
        # Tables count most and shifts little, so that the answers differ from text to text and from token to token;
        # scales of either sign, as a tied table would repeat what was read last for ever.
        large = weight.name in ("gamma", "weight", "embeddings") or "position" in weight.path
        small = weight.name in ("bias", "beta")
        weight.assign(dice.normal(0, 1.0 if large else 0.05 if small else 0.3, weight.shape))
    return getattr(keras_hub.models, f"{prefix}Seq2SeqLM")(backbone=backbone, preprocessor=None)


def save_backbone(name: str, folder: Path) -> Path:
    """A folder in KerasHub's layout: the model of `translator` without a tokenizer."""
    translator(name).backbone.save_to_preset(str(folder))
    return folder


def save_preset(name: str, folder: Path) -> Path:
    """The same with a tokenizer: bytes and a few merges, or a SentencePiece model with T5's special tokens."""
    save_backbone(name, folder)
    if BACKBONES[name][0] == "T5":
        write_tokenizer(folder, "T5Tokenizer", {"vocabulary.spm": sentence_pieces()})
    else:
        byte_level(folder, BACKBONES[name][0])
    return folder


@functools.cache
def sentence_pieces() -> bytes:
    import sentencepiece

    written = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(["red blue house dog", "the sea at night"] * 20), model_writer=written, vocab_size=40,
        model_type="unigram", hard_vocab_limit=False, pad_id=0, eos_id=1, unk_id=2, bos_id=-1, minloglevel=2,
    )  # fmt: skip
    return written.getvalue()
