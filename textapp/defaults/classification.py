"""Recipes of classification, chosen on validation data of SST-2, ChnSentiCorp and TREC (docs/results.md)."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import Any

from textapp.config import Config, TokenizerConfig
from textapp.languages import without_spaces

LONG = 32  # tokens of half of the texts: of so long ones an mlp begins as naive Bayes
MOST_STEPS = 4000  # of a whole training: more data means fewer epochs


def tokenizer_defaults(config: Config, num_examples: int, language: str) -> TokenizerConfig:
    """Byte pairs, full of whole words; characters where words have no spaces, but for an mlp, which knows subwords."""
    given = config.tokenizer or TokenizerConfig()
    if given.kind is None:
        architecture = config.model.architecture
        trained = "characters" if without_spaces(language) and architecture != "mlp" else "bpe"
        given = given.model_copy(update={"kind": "preset" if architecture == "preset" else trained})
    if given.kind == "preset" or given.vocabulary_size is not None:
        return given
    size = 4000 if num_examples < 2000 else 8000 if num_examples < 20000 else 16000
    return given.model_copy(update={"vocabulary_size": size})


def model_defaults(
    config: Config, tokenizer: str, language: str, token_counts: Sequence[int] | None = None
) -> dict[str, Any]:
    """The size of a classifier, by its architecture, its kind of tokenizer and its language.

    `naive_bayes` stays open before there are token counts.
    """
    architecture = config.model.architecture
    # An n-gram of characters that says as much as one of words is longer.
    characters = tokenizer == "characters"
    subwords = [1, 3] if without_spaces(language) else [3, 5]
    if characters or getattr(config.model, "vectors", None):  # vectors from elsewhere are kept as they are
        subwords = []
    naive_bayes = None
    if token_counts is not None and architecture == "mlp":
        naive_bayes = statistics.median(token_counts) >= LONG and not config.model.between_bag_and_logits
    return {
        "mlp": {
            "dropout": 0.0, "embedding_dim": 10, "hidden_dims": [], "ngrams": 3 if characters else 2,
            "subwords": subwords, "naive_bayes": naive_bayes,
        },
        "cnn": {"dropout": 0.5, "embedding_dim": 128, "filters": 100, "kernel_sizes": [2, 3, 4]},
        "lstm": {
            "dropout": 0.3, "embedding_dim": 128, "units": [128, 64], "bidirectional": True, "dense_units": 0
        },
        "transformer": {
            "dropout": 0.2, "hidden_dim": 128, "num_layers": 2, "num_heads": 4, "positions": "learned"
        },
        "preset": {"dropout": 0.1},
    }[architecture]  # fmt: skip


def training_defaults(config: Config, num_examples: int) -> dict[str, Any]:
    """How a classifier is trained: smaller data get smaller batches and more epochs."""
    architecture = config.model.architecture
    batch_size = config.training.batch_size or (32 if num_examples < 20000 else 64)
    steps = max(1, math.ceil(num_examples / batch_size))
    most = 4 if architecture == "preset" else 20
    epochs = config.training.epochs or max(3, min(most, round(MOST_STEPS / steps)))
    attention = architecture in ("transformer", "preset")
    learning_rate = {"mlp": 1e-3, "cnn": 1e-3, "lstm": 1e-3, "transformer": 5e-4, "preset": 1e-4}[architecture]
    return {
        "epochs": epochs,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "optimizer": "adamw" if attention else "adam",
        "schedule": "linear",
        "warmup_steps": min(1000, steps * epochs // 10) if attention else 0,
        "weight_decay": 0.01 if attention else 0.0,
        "patience": max(3, epochs // 4),
        "clip_norm": 1.0,
        "label_smoothing": 0.0,
        "monitor": "accuracy",
        "average_checkpoints": 0,
    }
