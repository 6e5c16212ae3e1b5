"""What the recipes of the tasks that write text share: vocabulary sizes, batches in tokens, epochs by tokens."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from textapp.config import Config, Training

STEPS_AN_EPOCH = 150  # small data get smaller batches, so that there are updates enough
BATCH_TOKENS = (1024, 4096)  # the least and the most


def vocabulary_for(num_examples: int) -> int:
    """Tokens that so many sentence pairs can teach: each should be seen many times."""
    return 4000 if num_examples < 5000 else 8000 if num_examples < 100_000 else 16_000


def batch_tokens_for(tokens: int) -> int:
    """The power of two that gives about 150 steps an epoch, from 1024 to 4096 tokens.

    Example: `batch_tokens_for(280_000)` is 2048; 150,000 tokens give 1024.
    """
    least, most = BATCH_TOKENS
    return min(most, max(least, 2 ** round(math.log2(max(2, tokens / STEPS_AN_EPOCH)))))


def steps_an_epoch(training: Training, batch_tokens: int | None, counts: Sequence[int]) -> int:
    """Updates of one epoch, roughly: batches are never quite full."""
    batches = len(counts) / training.batch_size if batch_tokens is None else sum(counts) / batch_tokens
    return max(1, math.ceil(batches / training.gradient_accumulation_steps))


def epochs_for(config: Config, counts: Sequence[int], most_tokens: int, least: int, most: int) -> int:
    """As many epochs as the config says, else as many as make `most_tokens` target tokens, within bounds."""
    return config.training.epochs or max(least, min(most, round(most_tokens / max(1, sum(counts)))))


def heads_for(hidden_dim: int) -> int:
    """Heads of 64 numbers, or wider ones where these do not divide `hidden_dim` evenly: 256 gives 4, 100 gives 1."""
    return next(heads for heads in range(max(1, hidden_dim // 64), 0, -1) if hidden_dim % heads == 0)


def tuning_defaults(config: Config, epochs: int, batch_tokens: int | None, steps: int) -> dict[str, Any]:
    """As presets are tuned (Lewis et al., 2020): a few epochs at a small rate that falls.

    Low-rank additions begin as nothing and take a larger rate.
    """
    return {
        "epochs": epochs,
        "batch_tokens": batch_tokens,
        "learning_rate": 5e-4 if config.model.lora_rank else 5e-5,
        "optimizer": "adamw",
        "schedule": "linear",
        "warmup_steps": min(500, steps // 10),
        "weight_decay": 0.01,
        "patience": 3,
        "clip_norm": 1.0,
        "average_checkpoints": 0,
    }
