"""What a config leaves open, filled in from the data and the architecture. Defaults are a part of the product.

The recipes were chosen on validation data of SST-2, ChnSentiCorp and TREC (docs/results.md).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from textapp.config import Config, Model, TokenizerConfig

MAX_BUCKETS = 4
MOST_IN_BUCKET = 512  # tokens
MOST_STEPS = 4000  # of a whole training: more data means fewer epochs
WITHOUT_SPACES = ("zh", "ja", "th")  # languages in which a word is a few characters, with nothing between


def resolve(
    config: Config,
    num_examples: int,
    token_counts: Sequence[int] | None = None,
    language: str = "en",
    most_tokens: int = MOST_IN_BUCKET,
) -> Config:
    """Fills every field that depends on the data or on the architecture.

    Args:
        config: as `load_config` gave it.
        num_examples: training examples.
        token_counts: length in tokens of each training text; None before there is a tokenizer: lengths stay open.
        language: of the texts.
        most_tokens: that the longest bucket may have.
    """
    update: dict[str, Any] = {"tokenizer": _tokenizer(config, num_examples, language)}
    if config.cleaning is None:
        update["cleaning"] = [] if config.model.architecture == "preset" else ["nfkc", "lowercase", "whitespace"]
    if config.lengths is None and token_counts is not None:
        update["lengths"] = choose_lengths(token_counts, min(most_tokens, MOST_IN_BUCKET))
    update["model"] = _filled(config.model, _model(config.model.architecture, update["tokenizer"].kind))
    update["training"] = _filled(config.training, _training(config, num_examples))
    return config.model_copy(update=update)


def _filled(part: Model, defaults: Mapping[str, Any]) -> Model:
    return part.model_copy(update={key: value for key, value in defaults.items() if getattr(part, key) is None})


def _tokenizer(config: Config, num_examples: int, language: str) -> TokenizerConfig:
    """Characters where words have no spaces, else byte pairs, whose vocabulary is full of whole words."""
    given = config.tokenizer or TokenizerConfig()
    if given.kind is None:
        trained = "characters" if language in WITHOUT_SPACES else "bpe"
        given = given.model_copy(update={"kind": "preset" if config.model.architecture == "preset" else trained})
    if given.kind == "preset" or given.vocabulary_size is not None:
        return given
    size = 4000 if num_examples < 2000 else 8000 if num_examples < 20000 else 16000
    return given.model_copy(update={"vocabulary_size": size})


def _model(architecture: str, tokenizer: str) -> dict[str, Any]:
    # An n-gram of characters that says as much as one of words is longer.
    characters = tokenizer == "characters"
    return {
        "mlp": {"dropout": 0.0, "embedding_dim": 10, "hidden_dims": [], "ngrams": 3 if characters else 2},
        "cnn": {"dropout": 0.5, "embedding_dim": 128, "filters": 100, "kernel_sizes": [2, 3, 4]},
        "lstm": {
            "dropout": 0.3, "embedding_dim": 128, "units": [128, 64], "bidirectional": True, "dense_units": 0
        },
        "transformer": {"dropout": 0.2, "hidden_dim": 128, "num_layers": 2, "num_heads": 4},
        "preset": {"dropout": 0.1},
    }[architecture]  # fmt: skip


def _training(config: Config, num_examples: int) -> dict[str, Any]:
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
    }


def choose_lengths(token_counts: Sequence[int], most: int = MOST_IN_BUCKET) -> list[int]:
    """Chooses at most four bucket lengths from the lengths of the training texts.

    The longest covers 99.5 % of them, in multiples of 8 and up to `most`; the others halve it, where they would
    spare padding for at least one text in twenty.

    Example: `choose_lengths([5] * 50 + [30] * 50)` is `[8, 32]`: 16 would serve nobody.
    """
    counts = sorted(token_counts)
    longest = counts[min(len(counts) - 1, math.ceil(0.995 * len(counts)))]
    top = min(most, max(8, 8 * math.ceil(longest / 8)))
    lengths, covered = [], 0
    for length in sorted({8 * math.ceil(top / 2**power / 8) for power in range(1, 7)}):
        within = sum(1 for count in counts if count <= length)
        if length < top and within - covered >= len(counts) / 20:
            lengths.append(length)
            covered = within
    return [*lengths[: MAX_BUCKETS - 1], top]
