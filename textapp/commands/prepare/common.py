"""What every task prepares."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from textapp.config import Config
from textapp.records.cache import Ragged, TokenCache, folder_key
from textapp.records.loading import Splits

if TYPE_CHECKING:
    import keras

    from textapp.batches.pipeline import BatchSource
    from textapp.text.tokenizer import Tokenizer

Record = Mapping[str, Any]
log = logging.getLogger("textapp")
CACHE = "cache"
MOST_UNKNOWN = 0.02  # of the tokens; fewer are names, and rare characters


@dataclass(frozen=True)
class Prepared:
    """All that a training needs, and what its task alone knows. A base: each task fills in the methods.

    Attributes:
        config: completed.
        splits: its records.
        task: with its lengths.
        languages: of the texts, for a translation of the source and of the target.
        lengths_given: whether the config named the buckets; else they were chosen from the data.
    """

    config: Config
    splits: Splits
    task: Any
    languages: list[str]
    lengths_given: bool

    def build(self) -> keras.Model:
        """A new model, under the dtype policy of this moment."""
        raise NotImplementedError

    def build_plain(self) -> keras.Model:
        """The same without what serves training alone: the form that is kept, which `plain_weights` fills."""
        return self.build()

    def batches(self) -> BatchSource:
        """What the model learns from."""
        raise NotImplementedError

    def loss(self) -> Callable[[dict[str, Any], Any], Any]:
        """A batch and the model's outputs to a loss a row."""
        raise NotImplementedError

    def validation(self, model: keras.Model) -> Callable[[], dict[str, float]]:
        """Measures the model after an epoch; where it has `samples`, these show what the model answers."""
        raise NotImplementedError

    def figures(self, model: keras.Model, records: Sequence[Record]) -> dict[str, Any]:
        """The quality of a finished model on records of a split."""
        raise NotImplementedError

    def manifest(self) -> dict[str, Any]:
        """What the manifest of the run says of this task."""
        raise NotImplementedError


class IdsOnDisk:
    """The ids of the texts of a run, kept in its folder.

    Args:
        folder: of the run.
        tokenizer: text to ids.
        tokenizer_folder: where it is saved, for telling it from others.
    """

    def __init__(self, folder: Path, tokenizer: Tokenizer, tokenizer_folder: Path) -> None:
        self._cache, self._key, self._tokenizer = TokenCache(folder / CACHE), folder_key(tokenizer_folder), tokenizer

    def __call__(self, texts: Sequence[str]) -> Ragged:
        """The ids of each text, int32."""
        return self._cache.ids(texts, self._key, self._tokenizer.ids)


def warn_of_unknown(texts: Sequence[np.ndarray], tokenizer: Tokenizer, what: str) -> None:
    """Tells where the vocabulary lacks much of what is learned: the model would write `⁇` for it.

    Args:
        texts: the token ids of each text.
        tokenizer: whose ids these are.
        what: the texts in words, for the warning.
    """
    unknown = sum(int((ids == tokenizer.unknown_id).sum()) for ids in texts)
    share = unknown / max(1, sum(map(len, texts)))
    if share > MOST_UNKNOWN:
        log.warning(
            "%.1f %% of the tokens of %s are not in the vocabulary of %s: raise tokenizer.vocabulary_size",
            100 * share, what, tokenizer.vocabulary_size,
        )  # fmt: skip


def named_splits(splits: Splits) -> dict[str, list[dict]]:
    """The records of each split by its name."""
    return {name: records for name, records in splits._asdict().items() if name != "origin"}


def log_sizes(splits: Splits, languages: Sequence[str]) -> None:
    """One line: how many examples, in which language."""
    log.info(
        "data: %s training, %s validation, %s test examples (%s)",
        len(splits.train), len(splits.validation), len(splits.test), " to ".join(languages),
    )  # fmt: skip
