"""Defaults of translation and generation: vocabulary sizes, batches in tokens, epochs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from textapp.config import Config, Role, Training

STEPS_PER_EPOCH = 150  # small data get small batches, so that there are enough updates
BATCH_TOKENS = (1024, 4096)  # minimum and maximum


def vocabulary_for(num_examples: int) -> int:
    """The vocabulary size by number of examples: each token should occur many times."""
    return 4000 if num_examples < 5000 else 8000 if num_examples < 100_000 else 16_000


def batch_tokens_for(tokens: int) -> int:
    """The power of two, from 1024 to 4096 tokens, that gives about 150 steps per epoch.

    Example: `batch_tokens_for(280_000)` is 2048; 150,000 tokens give 1024.
    """
    minimum, maximum = BATCH_TOKENS
    return min(maximum, max(minimum, 2 ** round(math.log2(max(2, tokens / STEPS_PER_EPOCH)))))


def steps_per_epoch(training: Training, batch_tokens: int | None, counts: Sequence[int]) -> int:
    """The approximate number of updates per epoch; batches are not quite full.

    Args:
        training: the training part of a config.
        batch_tokens: tokens per batch; None: `batch_size` examples.
        counts: target tokens of each example.
    """
    batches = len(counts) / training.batch_size if batch_tokens is None else sum(counts) / batch_tokens
    return max(1, math.ceil(batches / training.gradient_accumulation_steps))


def epochs_for(config: Config, counts: Sequence[int], max_tokens: int, min_epochs: int, max_epochs: int) -> int:
    """The epochs of the config, else as many as make `max_tokens` target tokens, within bounds.

    Args:
        config: as `load_config` returned it.
        counts: target tokens of each example.
        max_tokens: target tokens of the whole training.
        min_epochs, max_epochs: the bounds.
    """
    if config.training.epochs is not None:
        return config.training.epochs
    return max(min_epochs, min(max_epochs, round(max_tokens / max(1, sum(counts)))))


def tuning_defaults(config: Config, role: Role, epochs: int, batch_tokens: int | None, steps: int) -> dict[str, Any]:
    """Hyperparameters for fine-tuning a preset (Lewis et al., 2020): few epochs, a small learning rate that decays.

    Args:
        config: of the run.
        role: of the model.
        epochs: passes over the training data.
        batch_tokens: target tokens per batch; None: batches of examples.
        steps: total number of updates.
    """
    return {
        "epochs": epochs,
        "batch_tokens": batch_tokens,
        "learning_rate": config.model.learning_rate(role),
        "optimizer": "adamw",
        "schedule": "linear",
        "warmup_steps": min(500, steps // 10),
        "weight_decay": 0.01,
        "patience": 3,
        "clip_norm": 1.0,
        "average_checkpoints": 0,
    }
