"""Defaults of classification, chosen on validation data of SST-2, ChnSentiCorp and TREC (docs/experiments.md)."""

from __future__ import annotations

import math
from typing import Any

from textapp.config import Config, TokenizerConfig
from textapp.languages import without_spaces

MAX_STEPS = 4000  # maximum for a training: more data means fewer epochs


def tokenizer_defaults(config: Config, num_examples: int, language: str) -> TokenizerConfig:
    """Fills in the tokenizer: bpe; characters if words have no spaces and the model has no subword vectors.

    Args:
        config: as `load_config` returned it.
        num_examples: number of training texts.
        language: of the texts.
    """
    tokenizer = config.tokenizer or TokenizerConfig()
    if tokenizer.kind is None:
        trained = "characters" if without_spaces(language) and not config.model.subword_vectors else "bpe"
        tokenizer = tokenizer.model_copy(update={"kind": "preset" if config.model.pretrained else trained})
    if tokenizer.kind == "preset" or tokenizer.vocabulary_size is not None:
        return tokenizer
    size = 4000 if num_examples < 2000 else 8000 if num_examples < 20000 else 16000
    return tokenizer.model_copy(update={"vocabulary_size": size})


def training_defaults(config: Config, num_examples: int) -> dict[str, Any]:
    """Hyperparameters of a classifier: small data get small batches and more epochs."""
    model = config.model
    batch_size = config.training.batch_size or (32 if num_examples < 20000 else 64)
    steps = max(1, math.ceil(num_examples / batch_size))
    max_epochs = 4 if model.pretrained else 20
    epochs = config.training.epochs or max(3, min(max_epochs, round(MAX_STEPS / steps)))
    return {
        "epochs": epochs,
        "batch_size": batch_size,
        "learning_rate": model.learning_rate("encoder"),
        "optimizer": "adamw" if model.attention else "adam",
        "schedule": "linear",
        "warmup_steps": min(1000, steps * epochs // 10) if model.attention else 0,
        "weight_decay": 0.01 if model.attention else 0.0,
        "patience": max(3, epochs // 4),
        "clip_norm": 1.0,
        "label_smoothing": 0.0,
        "monitor": "accuracy",
        "average_checkpoints": 0,
    }
