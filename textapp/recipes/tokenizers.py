"""The tokenizers of a run: those of a resumed run, of a preset, or new ones trained on its training texts."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import compress
from pathlib import Path
from typing import Any

import numpy as np

from textapp.artifact import SETTINGS, TARGET_TOKENIZER, TOKENIZER
from textapp.config import Config
from textapp.errors import plural
from textapp.languages import logographic
from textapp.records.shards import TokenShards
from textapp.text.tokenizer import Tokenizer, load_tokenizers
from textapp.text.training import train_tokenizer

log = logging.getLogger("textapp")
Records = Sequence[dict[str, Any]]
SAMPLE = 200_000  # records; twice as many change hardly a piece, and reading them takes longer than the training
MAX_UNKNOWN = 0.02  # share of the tokens; fewer are names and rare characters


def make_tokenizer(config: Config, train: Records, fields: Sequence[str], language: str, purpose: str) -> Tokenizer:
    """Makes a tokenizer: that of a preset, else one trained on the training texts.

    Args:
        config: resolved, with its files located.
        train: the training records.
        fields: of a record, with the texts.
        language: of the texts, such as `en`.
        purpose: see `train_tokenizer`.
    """
    if config.tokenizer.kind == "preset":
        from textapp.text.preset import preset_tokenizer

        return preset_tokenizer(config.tokenizer.path or config.model.path)
    texts = _Texts(train, fields)
    settings = config.tokenizer
    log.info("tokenizer: training %s on the texts of %s (%s)", settings.kind, plural(len(train), "example"), language)
    return train_tokenizer(
        settings.kind, settings.vocabulary_size, texts, config.cleaning, language, config.seed, purpose
    )


class _Texts:
    """The texts of some fields of records, which may be read from disk anew each time: of `SAMPLE` at most."""

    def __init__(self, records: Records, fields: Sequence[str]) -> None:
        self._records, self._fields = records, fields

    def __iter__(self) -> Iterator[str]:
        return (text for record in _sample(self._records) for field in self._fields if (text := record.get(field)))


def _sample(records: Records) -> Iterable[dict[str, Any]]:
    """Records from all parts of the data, `SAMPLE` at most, always the same ones.

    One from each of as many equal ranges, at random: at equal distances it would be the same line of each group of
    them, such as the first of five descriptions of each picture.
    """
    if len(records) <= SAMPLE:
        return records
    within = np.random.default_rng(SAMPLE).random(SAMPLE)
    chosen = np.zeros(len(records), np.uint8)
    chosen[((np.arange(SAMPLE) + within) * len(records) / SAMPLE).astype(np.int64)] = 1
    return compress(records, chosen.tobytes())


def make_side_tokenizers(
    config: Config, train: Records, fields: Sequence[str], languages: Sequence[str], purpose: str
) -> tuple[Tokenizer, Tokenizer]:
    """Makes the tokenizers of source and target; the same one twice if they share a vocabulary.

    Args:
        config: resolved.
        train: the training records.
        fields: of source and target.
        languages: of source and target.
        purpose: see `train_tokenizer`.
    """
    if config.tokenizer.shared:
        # Take the language with spaces between words, whose tokenizer marks the start of a word.
        spaced = [language for language in languages if not logographic(language)]
        tokenizer = make_tokenizer(config, train, fields, (spaced or languages)[0], purpose)
        return tokenizer, tokenizer
    source, target = (
        make_tokenizer(config, train, [field], language, purpose)
        for field, language in zip(fields, languages, strict=True)
    )
    return source, target


def load_or_make(
    folder: Path, make: Callable[[], tuple[Tokenizer, Tokenizer]], prepared: TokenShards | None = None
) -> tuple[Tokenizer, Tokenizer]:
    """Loads the tokenizers from the folder of a resumed run, else takes those of a prepared folder or makes them.

    Args:
        folder: of the run.
        make: makes the tokenizers of input and output; the same one twice if they are equal.
        prepared: a folder of `textapp prepare`, if the training texts come from one.
    """
    if (folder / TOKENIZER / SETTINGS).is_file():
        return load_tokenizers(folder)
    source, target = make() if prepared is None else load_tokenizers(prepared.folder)
    if target is not source:  # saved first, because the other folder marks both as complete
        target.save(folder / TARGET_TOKENIZER)
    source.save(folder / TOKENIZER)
    return source, target


def warn_of_unknown(texts: Sequence[np.ndarray], tokenizer: Tokenizer, what: str) -> None:
    """Warns if many tokens are unknown: the model would generate `⁇` for them.

    Args:
        texts: the token ids of each text.
        tokenizer: of these ids.
        what: name of the texts in the warning.
    """
    unknown = sum(int((ids == tokenizer.unknown_id).sum()) for ids in texts)
    warn_of_share(unknown / max(1, sum(map(len, texts))), tokenizer, what)


def warn_of_share(share: float, tokenizer: Tokenizer, what: str) -> None:
    """Warns if many tokens are unknown, see `warn_of_unknown`.

    Args:
        share: of the tokens that are.
        tokenizer: of these tokens.
        what: name of the texts in the warning.
    """
    if share > MAX_UNKNOWN:
        preset = tokenizer.kind == "preset"
        log.warning(
            "%.1f %% of the tokens of %s are not in the vocabulary of %s: %s",
            100 * share, what, tokenizer.vocabulary_size,
            "take a preset that knows their language" if preset else "raise tokenizer.vocabulary_size",
        )  # fmt: skip


def known_characters(tokenizer: Tokenizer) -> Callable[[str], bool]:
    """A function that tells whether the vocabulary has a character, other than as bytes."""
    pieces = tokenizer.pieces()
    spelled = {token_id for token_id, piece in enumerate(pieces) if len(piece) == 6 and piece.startswith("<0x")}
    lacking = spelled | {tokenizer.unknown_id}

    def knows(character: str) -> bool:
        return lacking.isdisjoint(tokenizer.ids(character))

    return knows
