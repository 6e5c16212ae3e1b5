"""Token ids of a run's records, kept on disk, in the forms that batches are made of."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from textapp.arrays import IGNORED
from textapp.records.cache import Ragged, TokenCache, folder_key, lengths_of, taken
from textapp.records.shards import ManyLabels

CACHE = "cache"


class IdsOnDisk:
    """The ids of the texts of a run, kept in its folder.

    Args:
        folder: of the run.
        ids_of: a text to ids.
        tokenizer_folder: where the tokenizer is saved, to tell it from others.
    """

    def __init__(self, folder: Path, ids_of: Callable[[str], list[int]], tokenizer_folder: Path) -> None:
        self._cache, self._key, self._ids_of = TokenCache(folder / CACHE), folder_key(tokenizer_folder), ids_of

    def __call__(self, texts: Sequence[str]) -> Ragged:
        """The ids of each text, int32."""
        return self._cache.ids(texts, self._key, self._ids_of)


@dataclass(frozen=True)
class Labelled:
    """Examples of a classifier.

    Attributes:
        features: input name -> int32 arrays `[tokens]`, one an example, not padded.
        targets: `[examples]` int32, with several labels a text `[examples, labels]` float32, on disk `ManyLabels`.
    """

    features: Mapping[str, Sequence[np.ndarray]]
    targets: np.ndarray | ManyLabels

    def label_counts(self, labels: int) -> np.ndarray:
        """The number of examples of each label, `[labels]`."""
        if isinstance(self.targets, ManyLabels):
            return np.array(self.targets.column.shards.label_counts)
        if self.targets.ndim == 2:
            return self.targets.sum(axis=0)
        return np.bincount(self.targets, minlength=labels)


@dataclass(frozen=True)
class Sides:
    """Sentence pairs, each side with its special tokens. Lists of int32 arrays `[tokens]`."""

    sources: Sequence[np.ndarray]
    targets: Sequence[np.ndarray]

    def within(self, max_source: int, max_target: int) -> Sides:
        """The pairs whose sides are at most so long, in tokens."""
        fitting = (lengths_of(self.sources) <= max_source) & (lengths_of(self.targets) <= max_target)
        rows = np.flatnonzero(fitting)
        return Sides(taken(self.sources, rows), taken(self.targets, rows))

    def truncated(self, max_source: int, max_target: int) -> Sides:
        """All pairs, what is too long truncated; a source keeps its end id."""
        sources = [
            row if len(row) <= max_source else np.append(row[: max_source - 1], row[-1:]) for row in self.sources
        ]
        return Sides(sources, [row[:max_target] for row in self.targets])


@dataclass(frozen=True)
class Document:
    """One text of a language model: int32 `[tokens]`, its inputs and the targets after each, `IGNORED` or an id."""

    inputs: np.ndarray
    targets: np.ndarray


def one_stream(ids: np.ndarray) -> Document:
    """Running text as one document: the target of each token is the next."""
    return Document(ids, np.append(ids[1:], np.int32(IGNORED)))


def pieces(documents: Sequence[Document], context: int) -> Iterator[Document]:
    """Documents of at most `context` tokens; longer ones are divided, and pieces without a target are left out."""
    for document in documents:
        for start in range(0, len(document.inputs), context):
            targets = document.targets[start : start + context]
            if (targets != IGNORED).any():
                yield Document(document.inputs[start : start + context], targets)
