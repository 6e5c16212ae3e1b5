"""An open index of the passages of a folder, and the search in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from textapp.retrieval import terms as folding
from textapp.retrieval.documents import shown
from textapp.retrieval.snapshot import END, FILE, FIRST_BYTE, LAST_BYTE, LINE, START, Snapshot


class Passage(NamedTuple):
    """A part of a document.

    Attributes:
        file: relative to the folder.
        line: of the row, if the file is a table.
        start, end: in the document, in characters.
        text: the part.
        score: BM25 for the question; None if it was not looked up.
    """

    file: str
    line: int | None
    start: int
    end: int
    text: str
    score: float | None = None


@dataclass
class FileRecord:
    """What is known of an indexed file.

    Attributes:
        name: relative to the folder.
        size, time: in bytes and nanoseconds; a time of 0 means that the content is compared at the next update.
        digest: its SHA-256.
        passages: how many it has.
        fault: why it, or a part of it, was not read.
    """

    name: str
    size: int
    time: int
    digest: str
    passages: int = 0
    fault: str | None = None


class Index:
    """An open index. Its files are memory-mapped, so it stays as it is when another process updates the index.

    Args:
        files: the indexed files.
        snapshot: its arrays.
        others: the files that are left out, each with the reason.
    """

    def __init__(self, files: Sequence[FileRecord], snapshot: Snapshot, others: Mapping[str, str]) -> None:
        self.files = files
        self.others = dict(others)
        self.snapshot = snapshot

    def __len__(self) -> int:
        """The number of passages."""
        return len(self.snapshot.passages)

    @property
    def faults(self) -> dict[str, str]:
        """The files that were not read, or not as a whole, each with the reason."""
        faults = {**{file.name: file.fault for file in self.files if file.fault}, **self.others}
        return {shown(name): fault for name, fault in faults.items()}

    def search(self, question: str, count: int) -> list[Passage]:
        """The passages with terms of a question, the best first; all passages if there are no more than `count`.

        Args:
            question: any text.
            count: the most passages to return.
        """
        ids = np.unique(folding.term_ids(folding.terms(question)))
        vocabulary = self.snapshot.vocabulary
        places = np.searchsorted(vocabulary, ids)
        known = places[places < len(vocabulary)]
        known = known[np.isin(vocabulary[known], ids)]
        scores = self.snapshot.scores.get_scores_from_ids(known) if len(known) else np.zeros(len(self), np.float32)
        candidates = np.arange(len(self)) if len(self) <= count else np.flatnonzero(scores > 0)
        best = candidates[np.argsort(-scores[candidates], kind="stable")[:count]]
        return [self._passage(row, float(scores[row])) for row in best.tolist()]

    def _passage(self, row: int, score: float) -> Passage:
        values = self.snapshot.passages[row].tolist()
        text = self.snapshot.text[values[FIRST_BYTE] : values[LAST_BYTE]].tobytes().decode("utf-8")
        name = shown(self.files[values[FILE]].name)
        return Passage(name, values[LINE] or None, values[START], values[END], text, score)

    def rows(self) -> list[tuple[int, int]]:
        """The range of the passages of each file."""
        ends = np.cumsum([file.passages for file in self.files]).tolist()
        return list(zip([0, *ends], ends, strict=False))
