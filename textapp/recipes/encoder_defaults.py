"""Defaults of classification and question answering: vocabulary sizes, and how their encoders are trained."""

from __future__ import annotations

import math
from typing import Any

from textapp.config import Config, Role, TokenizerConfig


def encoder_tokenizer(config: Config, num_examples: int, by_character: bool) -> TokenizerConfig:
    """Fills in the tokenizer: that of a preset, characters, or bpe.

    Args:
        config: as `load_config` returned it.
        num_examples: number of training examples.
        by_character: whether the texts are read character by character.
    """
    tokenizer = config.tokenizer or TokenizerConfig()
    if tokenizer.kind is None:
        trained = "characters" if by_character else "bpe"
        tokenizer = tokenizer.model_copy(update={"kind": "preset" if config.model.pretrained else trained})
    if tokenizer.kind == "preset" or tokenizer.vocabulary_size is not None:
        return tokenizer
    size = 4000 if num_examples < 2000 else 8000 if num_examples < 20000 else 16000
    return tokenizer.model_copy(update={"vocabulary_size": size})


def encoder_training(
    config: Config, role: Role, monitor: str, num_examples: int, batch_size: int, max_steps: int, min_epochs: int,
    max_epochs: int,
) -> dict[str, Any]:  # fmt: skip
    """Hyperparameters; more data means fewer epochs.

    Args:
        config: with its architecture.
        role: of the model.
        monitor: the figure that selects the best epoch.
        num_examples: number of training examples.
        batch_size: examples per batch.
        max_steps: updates of the whole training, within the bounds of its epochs.
        min_epochs, max_epochs: these bounds.
    """
    model = config.model
    steps = max(1, math.ceil(num_examples / batch_size))
    epochs = config.training.epochs or max(min_epochs, min(max_epochs, round(max_steps / steps)))
    return {
        "epochs": epochs,
        "batch_size": batch_size,
        "learning_rate": model.learning_rate(role),
        "optimizer": "adamw" if model.attention else "adam",
        "schedule": "linear",
        "warmup_steps": min(1000, steps * epochs // 10) if model.attention else 0,
        "weight_decay": 0.01 if model.attention else 0.0,
        "patience": max(3, epochs // 4),
        "clip_norm": 1.0,
        "label_smoothing": 0.0,
        "monitor": monitor,
        "average_checkpoints": 0,
    }
