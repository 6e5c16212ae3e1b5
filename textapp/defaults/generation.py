"""Recipes of generation: language models of one to twenty million tokens of text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from textapp.config import Config, TokenizerConfig
from textapp.defaults.lengths import covering
from textapp.defaults.writing import (
    batch_tokens_for,
    epochs_for,
    heads_for,
    steps_an_epoch,
    tuning_defaults,
    vocabulary_for,
)
from textapp.languages import logographic

MOST_TOKENS = 20_000_000  # of a whole training: about an hour on two cores
MOST_TUNED = 2_000_000  # of a preset, which knows its language already
CONTEXT = 256  # tokens
LARGE = 5_000_000  # tokens of training text that can feed a wider model
NEW_TOKENS = 64  # written in one go where a text has no end


def tokenizer_defaults(config: Config, num_examples: int, language: str) -> TokenizerConfig:
    """Characters for Chinese and Japanese, in whose verse each counts; byte pairs elsewhere; a preset has its own."""
    given = config.tokenizer or TokenizerConfig()
    if config.model.architecture == "preset":
        return given.model_copy(update={"kind": "preset"})
    kind = given.kind or ("characters" if logographic(language) else "bpe")
    defaults = {"kind": kind, "vocabulary_size": 8000 if kind == "characters" else vocabulary_for(num_examples)}
    return given.model_copy(update={key: value for key, value in defaults.items() if getattr(given, key) is None})


def context_for(config: Config, token_counts: Sequence[int]) -> int:
    """Tokens that the model sees at once: 256 of running text, else what 99.5 % of the documents need up to that."""
    return CONTEXT if config.running_text else min(CONTEXT, covering(token_counts))


def model_defaults(config: Config, token_counts: Sequence[int]) -> dict[str, Any]:
    """Six layers; wider, and with less dropout, where there is text enough."""
    large = sum(token_counts) >= LARGE
    if config.model.architecture == "preset":
        return {"dropout": 0.0 if config.model.lora_rank else 0.1}
    if config.model.architecture == "lstm":
        return {"dropout": 0.1 if large else 0.3, "embedding_dim": 256, "units": [512, 512], "tie_embeddings": False}
    hidden_dim = config.model.hidden_dim or (384 if large else 256)
    return {
        "dropout": 0.1 if large else 0.2, "hidden_dim": hidden_dim, "num_layers": 6, "num_heads": heads_for(hidden_dim),
        "positions": "rope", "tie_embeddings": True,
    }  # fmt: skip


def training_defaults(config: Config, token_counts: Sequence[int], context: int) -> dict[str, Any]:
    """As small GPTs are trained: AdamW with a strong decay, a short warm-up, a cosine to nothing."""
    training = config.training
    if config.running_text:  # an example is a window of the text
        token_counts = [context] * max(1, sum(token_counts) // context)
    batch_tokens = training.batch_tokens or (None if training.batch_size else batch_tokens_for(sum(token_counts)))
    if config.model.architecture == "preset":
        epochs = epochs_for(config, token_counts, MOST_TUNED, least=1, most=3)
        steps = epochs * steps_an_epoch(training, batch_tokens, token_counts)
        tuning = tuning_defaults(config, epochs, batch_tokens, steps)
        return {**tuning, "label_smoothing": 0.0, "monitor": "perplexity"}
    epochs = epochs_for(config, token_counts, MOST_TOKENS, least=2, most=20)
    steps = epochs * steps_an_epoch(training, batch_tokens, token_counts)
    attention = config.model.architecture == "transformer"
    return {
        "epochs": epochs,
        "batch_tokens": batch_tokens,
        "learning_rate": 1e-3 if attention else 2e-3,
        "optimizer": "adamw",
        "schedule": "cosine",
        "warmup_steps": min(500, steps // 20),
        "weight_decay": 0.1 if attention else 0.01,
        "patience": max(3, epochs // 4),
        "clip_norm": 1.0,
        "label_smoothing": 0.0,
        "monitor": "perplexity",
        "average_checkpoints": 0,
    }
