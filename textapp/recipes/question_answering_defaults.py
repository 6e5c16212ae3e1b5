"""Defaults of question answering."""

from __future__ import annotations

import math
from typing import Any

from textapp.config import Config, TokenizerConfig
from textapp.languages import logographic

MAX_LENGTH = 384  # tokens of question and context in one window (Devlin et al., 2019)
STRIDE = 128
MAX_WINDOWS = 64
MAX_STEPS = 20_000  # maximum for a training


def tokenizer_defaults(config: Config, num_examples: int, language: str) -> TokenizerConfig:
    """Fills in the tokenizer: bpe, whose pieces rarely end inside an answer; characters for Chinese and Japanese.

    Args:
        config: as `load_config` returned it.
        num_examples: number of training questions.
        language: of the texts.
    """
    tokenizer = config.tokenizer or TokenizerConfig()
    if tokenizer.kind is None:
        trained = "characters" if logographic(language) else "bpe"
        tokenizer = tokenizer.model_copy(update={"kind": "preset" if config.model.pretrained else trained})
    if tokenizer.kind == "preset" or tokenizer.vocabulary_size is not None:
        return tokenizer
    size = 4000 if num_examples < 2000 else 8000 if num_examples < 20000 else 16000
    return tokenizer.model_copy(update={"vocabulary_size": size})


def training_defaults(config: Config, num_examples: int) -> dict[str, Any]:
    """Hyperparameters of a reader.

    Args:
        config: with its architecture.
        num_examples: number of training questions.
    """
    model = config.model
    batch_size = config.training.batch_size or (16 if num_examples < 20000 else 32)
    steps = max(1, math.ceil(num_examples / batch_size))
    max_epochs = 3 if model.pretrained else 15
    epochs = config.training.epochs or max(2, min(max_epochs, round(MAX_STEPS / steps)))
    return {
        "epochs": epochs,
        "batch_size": batch_size,
        "learning_rate": model.learning_rate("reader"),
        "optimizer": "adamw" if model.attention else "adam",
        "schedule": "linear",
        "warmup_steps": min(1000, steps * epochs // 10) if model.attention else 0,
        "weight_decay": 0.01 if model.attention else 0.0,
        "patience": max(3, epochs // 4),
        "clip_norm": 1.0,
        "label_smoothing": 0.0,
        "monitor": "f1",
        "average_checkpoints": 0,
    }
