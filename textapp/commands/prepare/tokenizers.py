"""The tokenizers of a run: those it was begun with, a preset's, or new ones trained on its training texts."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from textapp.artifact import TARGET_TOKENIZER, TOKENIZER
from textapp.config import Config
from textapp.languages import logographic
from textapp.records.loading import Splits
from textapp.text.tokenizer import SETTINGS, Tokenizer, load_tokenizers

log = logging.getLogger("textapp")
FIELDS = {
    "classification": ("text", "text_pair"),
    "translation": ("source", "target"),
    "generation": ("prompt", "text"),
}
PURPOSES = {"classification": "read", "translation": "translate", "generation": "continue"}


def make_tokenizer(config: Config, splits: Splits, language: str) -> Tokenizer:
    """The one tokenizer of a task: a preset's, else one trained on the training texts.

    Args:
        config: resolved, its files located.
        splits: of which train alone is read.
        language: of the texts, `en`.
    """
    if config.tokenizer.kind == "preset":
        from textapp.text.preset import preset_tokenizer

        return preset_tokenizer(config.model.path)
    fields = FIELDS[config.task]
    texts = [text for record in splits.train for field in fields if (text := record.get(field))]
    return _trained(config, texts, language)


def make_tokenizers(config: Config, splits: Splits, languages: Sequence[str]) -> tuple[Tokenizer, Tokenizer]:
    """The tokenizers of source and target of a translation; twice the same where they share a vocabulary.

    Args:
        config: resolved.
        splits: of which train alone is read.
        languages: of source and target.
    """
    if config.tokenizer.shared:
        # A side with blanks between its words wants the mark of a word's start that the other can do without.
        blanks = [language for language in languages if not logographic(language)]
        tokenizer = make_tokenizer(config, splits, (blanks or languages)[0])
        return tokenizer, tokenizer
    source, target = (
        _trained(config, [record[field] for record in splits.train], language)
        for field, language in zip(FIELDS["translation"], languages, strict=True)
    )
    return source, target


def kept_or_made(config: Config, splits: Splits, languages: Sequence[str], folder: Path) -> tuple[Tokenizer, Tokenizer]:
    """The tokenizers of a run that goes on, else new ones, saved in its folder."""
    if (folder / TOKENIZER / SETTINGS).is_file():
        return load_tokenizers(folder)
    if len(languages) > 1:
        source, target = make_tokenizers(config, splits, languages)
    else:
        source = target = make_tokenizer(config, splits, languages[0])
    if target is not source:  # before the other, whose folder says that both are there
        target.save(folder / TARGET_TOKENIZER)
    source.save(folder / TOKENIZER)
    return source, target


def _trained(config: Config, texts: list[str], language: str) -> Tokenizer:
    from textapp.text.training import train_tokenizer

    settings = config.tokenizer
    log.info("tokenizer: training %s on %s texts (%s)", settings.kind, f"{len(texts):,}", language)
    return train_tokenizer(
        settings.kind, settings.vocabulary_size, texts, config.cleaning, language, config.seed, PURPOSES[config.task]
    )
