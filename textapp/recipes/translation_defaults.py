"""Defaults of translation, for corpora of ten thousand to a million sentence pairs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from textapp.config import Config, TokenizerConfig
from textapp.languages import script_of
from textapp.recipes.generative_defaults import (
    batch_tokens_for,
    epochs_for,
    steps_an_epoch,
    tuning_defaults,
    vocabulary_for,
)

MAX_TARGET_TOKENS = 10_000_000  # of a whole training: about an hour on two cores
MAX_TUNED = 1_000_000  # the same of a preset, which is many times as large and knows most of it already


def tokenizer_defaults(config: Config, num_examples: int, source: str, target: str) -> TokenizerConfig:
    """The unigram model, which cuts Chinese into words as well as English into parts of words.

    One vocabulary serves both sides where they share a script: names and numbers then are the same tokens on both,
    and one table is input and output. Otherwise each side has its own, and the output layer no row for the other.
    """
    given = config.tokenizer or TokenizerConfig()
    if config.model.pretrained:
        return given.model_copy(update={"kind": "preset", "shared": True})
    defaults = {
        "kind": "sentencepiece",
        "vocabulary_size": vocabulary_for(num_examples),
        "shared": script_of(source) == script_of(target),
    }
    return given.model_copy(update={key: value for key, value in defaults.items() if getattr(given, key) is None})


def training_defaults(config: Config, target_counts: Sequence[int]) -> dict[str, Any]:
    """Vaswani et al. (2017), with a higher rate and a shorter warm-up, as a pre-norm model allows."""
    training = config.training
    batch_tokens = training.batch_tokens or (None if training.batch_size else batch_tokens_for(sum(target_counts)))
    if config.model.pretrained:
        epochs = epochs_for(config, target_counts, MAX_TUNED, min_epochs=3, max_epochs=10)
        steps = epochs * steps_an_epoch(training, batch_tokens, target_counts)
        tuning = tuning_defaults(config, "encoder-decoder", epochs, batch_tokens, steps)
        return {**tuning, "label_smoothing": 0.1, "monitor": "bleu"}
    epochs = epochs_for(config, target_counts, MAX_TARGET_TOKENS, min_epochs=5, max_epochs=40)
    steps = epochs * steps_an_epoch(training, batch_tokens, target_counts)
    attention = config.model.attention
    return {
        "epochs": epochs,
        "batch_tokens": batch_tokens,
        "learning_rate": config.model.learning_rate("encoder-decoder"),
        "optimizer": "adamw" if attention else "adam",
        "schedule": "inverse_sqrt" if attention else "linear",
        "warmup_steps": min(2000, max(50, steps // 8)) if attention else min(200, steps // 10),
        "weight_decay": 0.01 if attention else 0.0,
        "patience": max(3, epochs // 4),
        "clip_norm": 1.0,
        "label_smoothing": 0.1,
        "monitor": "bleu",
        "average_checkpoints": min(5, epochs // 3),
    }
