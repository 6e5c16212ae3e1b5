"""Defaults of generation: language models of one to twenty million tokens of text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from textapp.config import Config, TokenizerConfig
from textapp.languages import logographic
from textapp.recipes.generative_defaults import (
    batch_tokens_for,
    epochs_for,
    steps_an_epoch,
    tuning_defaults,
    vocabulary_for,
)
from textapp.recipes.lengths import covering

MAX_TOKENS = 20_000_000  # of a whole training: about an hour on two cores
MAX_TUNED = 2_000_000  # of a preset, which knows its language already
CONTEXT = 256  # tokens
NEW_TOKENS = 64  # generated in one go where a text has no end


def tokenizer_defaults(config: Config, num_examples: int, language: str) -> TokenizerConfig:
    """Characters for Chinese and Japanese, in whose verse each counts; byte pairs elsewhere; a preset has its own."""
    given = config.tokenizer or TokenizerConfig()
    if config.model.pretrained:
        return given.model_copy(update={"kind": "preset"})
    kind = given.kind or ("characters" if logographic(language) else "bpe")
    defaults = {"kind": kind, "vocabulary_size": 8000 if kind == "characters" else vocabulary_for(num_examples)}
    return given.model_copy(update={key: value for key, value in defaults.items() if getattr(given, key) is None})


def running_text(config: Config) -> bool:
    """Whether the training text is one stream, in which a file is one document; `.txt` files say so."""
    names = [config.data.train] if isinstance(config.data.train, str) else config.data.train
    return all(name.lower().removesuffix(".gz").endswith(".txt") for name in names)


def context_for(config: Config, token_counts: Sequence[int]) -> int:
    """The context: 256 tokens of running text, else what 99.5 % of the documents need, up to that."""
    return CONTEXT if running_text(config) else min(CONTEXT, covering(token_counts))


def training_defaults(config: Config, token_counts: Sequence[int], context: int) -> dict[str, Any]:
    """As small GPTs are trained: AdamW with a strong decay, a short warm-up, a cosine to nothing."""
    training = config.training
    if running_text(config):  # an example is a window of the text
        token_counts = [context] * max(1, sum(token_counts) // context)
    batch_tokens = training.batch_tokens or (None if training.batch_size else batch_tokens_for(sum(token_counts)))
    if config.model.pretrained:
        epochs = epochs_for(config, token_counts, MAX_TUNED, min_epochs=1, max_epochs=3)
        steps = epochs * steps_an_epoch(training, batch_tokens, token_counts)
        tuning = tuning_defaults(config, "decoder", epochs, batch_tokens, steps)
        return {**tuning, "label_smoothing": 0.0, "monitor": "perplexity"}
    epochs = epochs_for(config, token_counts, MAX_TOKENS, min_epochs=2, max_epochs=20)
    steps = epochs * steps_an_epoch(training, batch_tokens, token_counts)
    attention = config.model.attention
    return {
        "epochs": epochs,
        "batch_tokens": batch_tokens,
        "learning_rate": config.model.learning_rate("decoder"),
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
