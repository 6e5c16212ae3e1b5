"""Defaults of classification, chosen on validation data of SST-2, ChnSentiCorp and TREC (docs/experiments.md)."""

from __future__ import annotations

from typing import Any

from textapp.config import Config, TokenizerConfig
from textapp.languages import without_spaces
from textapp.recipes.encoder_defaults import encoder_tokenizer, encoder_training

MAX_STEPS = 4000  # maximum for a training: more data means fewer epochs


def tokenizer_defaults(config: Config, num_examples: int, language: str) -> TokenizerConfig:
    """Fills in the tokenizer: bpe; characters if words have no spaces and the model has no subword vectors.

    Args:
        config: as `load_config` returned it.
        num_examples: number of training texts.
        language: of the texts.
    """
    return encoder_tokenizer(config, num_examples, without_spaces(language) and not config.model.subword_vectors)


def training_defaults(config: Config, num_examples: int) -> dict[str, Any]:
    """Hyperparameters of a classifier: small data get small batches and more epochs."""
    batch_size = config.training.batch_size or (32 if num_examples < 20000 else 64)
    max_epochs = 4 if config.model.pretrained else 20
    return encoder_training(
        config, "encoder", "accuracy", num_examples, batch_size, max_steps=MAX_STEPS, min_epochs=3,
        max_epochs=max_epochs,
    )  # fmt: skip
