"""The tokenizers of a run: those it was started with, a preset's, or new ones trained on its training texts."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from textapp.artifact import TARGET_TOKENIZER, TOKENIZER
from textapp.config import Config
from textapp.languages import logographic
from textapp.text.tokenizer import SETTINGS, Tokenizer, load_tokenizers
from textapp.text.training import train_tokenizer

log = logging.getLogger("textapp")
Records = Sequence[dict[str, Any]]
MAX_UNKNOWN = 0.02  # of the tokens; fewer are names, and rare characters


def make_tokenizer(config: Config, train: Records, fields: Sequence[str], language: str, purpose: str) -> Tokenizer:
    """The one tokenizer of a task: a preset's, else one trained on the training texts.

    Args:
        config: resolved, its files located.
        train: the training records.
        fields: of a record, that are read.
        language: of the texts, `en`.
        purpose: what the ids are for, see `train_tokenizer`.
    """
    if config.tokenizer.kind == "preset":
        from textapp.text.preset import preset_tokenizer

        return preset_tokenizer(config.model.path)
    texts = [text for record in train for field in fields if (text := record.get(field))]
    settings = config.tokenizer
    log.info("tokenizer: training %s on %s texts (%s)", settings.kind, f"{len(texts):,}", language)
    return train_tokenizer(
        settings.kind, settings.vocabulary_size, texts, config.cleaning, language, config.seed, purpose
    )


def make_side_tokenizers(
    config: Config, train: Records, fields: Sequence[str], languages: Sequence[str], purpose: str
) -> tuple[Tokenizer, Tokenizer]:
    """The tokenizers of source and target; twice the same where they share a vocabulary.

    Args:
        config: resolved.
        train: the training records.
        fields: of source and target.
        languages: of source and target.
        purpose: what the ids are for, see `train_tokenizer`.
    """
    if config.tokenizer.shared:
        # A side with spaces between its words wants the mark of a word's start that the other can do without.
        spaced = [language for language in languages if not logographic(language)]
        tokenizer = make_tokenizer(config, train, fields, (spaced or languages)[0], purpose)
        return tokenizer, tokenizer
    source, target = (
        make_tokenizer(config, train, [field], language, purpose)
        for field, language in zip(fields, languages, strict=True)
    )
    return source, target


def kept_or_made(folder: Path, make: Callable[[], tuple[Tokenizer, Tokenizer]]) -> tuple[Tokenizer, Tokenizer]:
    """The tokenizers that a resumed run has in its folder, else new ones, saved there.

    Args:
        folder: of the run.
        make: gives new ones, of what is read and of what is generated; twice the same where there is one.
    """
    if (folder / TOKENIZER / SETTINGS).is_file():
        return load_tokenizers(folder)
    source, target = make()
    if target is not source:  # before the other, whose folder says that both are there
        target.save(folder / TARGET_TOKENIZER)
    source.save(folder / TOKENIZER)
    return source, target


def warn_of_unknown(texts: Sequence[np.ndarray], tokenizer: Tokenizer, what: str) -> None:
    """Warns where the vocabulary lacks much of what is learned: the model would generate `⁇` for it.

    Args:
        texts: the token ids of each text.
        tokenizer: whose ids these are.
        what: the texts in words, for the warning.
    """
    unknown = sum(int((ids == tokenizer.unknown_id).sum()) for ids in texts)
    share = unknown / max(1, sum(map(len, texts)))
    if share > MAX_UNKNOWN:
        log.warning(
            "%.1f %% of the tokens of %s are not in the vocabulary of %s: raise tokenizer.vocabulary_size",
            100 * share, what, tokenizer.vocabulary_size,
        )  # fmt: skip


def known_characters(tokenizer: Tokenizer) -> Callable[[str], bool]:
    """Whether the vocabulary has a character: not what it spells in bytes, or not at all."""
    pieces = tokenizer.pieces()
    spelled = {token_id for token_id, piece in enumerate(pieces) if len(piece) == 6 and piece.startswith("<0x")}
    lacking = spelled | {tokenizer.unknown_id}

    def knows(character: str) -> bool:
        return lacking.isdisjoint(tokenizer.ids(character))

    return knows
