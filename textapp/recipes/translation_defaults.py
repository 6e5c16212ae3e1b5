"""Defaults of translation, for corpora of ten thousand to a million sentence pairs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from textapp.config import Config, TokenizerConfig
from textapp.languages import script_of
from textapp.recipes.generative_defaults import (
    batch_tokens_for,
    epochs_for,
    steps_per_epoch,
    tuning_defaults,
    vocabulary_for,
)
from textapp.recipes.resolving import filled

MAX_TARGET_TOKENS = 10_000_000  # for a training: about an hour on two cores
MAX_TUNED = 1_000_000  # for a preset, which is pretrained, and many times as large


def tokenizer_defaults(config: Config, num_examples: int, source: str, target: str) -> TokenizerConfig:
    """Fills in the tokenizer: the unigram model, which suits Chinese as well as English.

    Both sides share a vocabulary if they have the same script: names and numbers are then equal tokens, and one table
    is embedding and output layer. Else each side has its own, and the output layer has no rows for the source.

    Args:
        config: as `load_config` returned it.
        num_examples: number of training pairs.
        source, target: the languages.
    """
    tokenizer = config.tokenizer or TokenizerConfig()
    if config.model.pretrained or tokenizer.kind == "preset":
        return tokenizer.model_copy(update={"kind": "preset", "shared": True})
    defaults = {
        "kind": "sentencepiece",
        "vocabulary_size": vocabulary_for(num_examples),
        "shared": script_of(source) == script_of(target),
    }
    return filled(tokenizer, defaults)


def training_defaults(config: Config, target_counts: Sequence[int]) -> dict[str, Any]:
    """Hyperparameters as in Vaswani et al. (2017), with a higher rate and a shorter warm-up, as pre-norm allows."""
    training = config.training
    batch_tokens = training.batch_tokens or (None if training.batch_size else batch_tokens_for(sum(target_counts)))
    if config.model.pretrained:
        epochs = epochs_for(config, target_counts, MAX_TUNED, min_epochs=3, max_epochs=10)
        steps = epochs * steps_per_epoch(training, batch_tokens, target_counts)
        tuning = tuning_defaults(config, "encoder-decoder", epochs, batch_tokens, steps)
        return {**tuning, "label_smoothing": 0.1, "monitor": "bleu"}
    epochs = epochs_for(config, target_counts, MAX_TARGET_TOKENS, min_epochs=5, max_epochs=40)
    steps = epochs * steps_per_epoch(training, batch_tokens, target_counts)
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
