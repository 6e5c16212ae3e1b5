"""Defaults of question answering."""

from __future__ import annotations

from typing import Any

from textapp.config import Config, TokenizerConfig
from textapp.languages import logographic
from textapp.recipes.encoder_defaults import encoder_tokenizer, encoder_training

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
    return encoder_tokenizer(config, num_examples, logographic(language))


def training_defaults(config: Config, num_examples: int) -> dict[str, Any]:
    """Hyperparameters of a reader.

    Args:
        config: with its architecture.
        num_examples: number of training questions.
    """
    batch_size = config.training.batch_size or (16 if num_examples < 20000 else 32)
    max_epochs = 3 if config.model.pretrained else 15
    return encoder_training(
        config, "reader", "f1", num_examples, batch_size, max_steps=MAX_STEPS, min_epochs=2, max_epochs=max_epochs
    )
