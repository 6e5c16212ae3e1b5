"""The arrays of an index on disk: texts, term ids, passages, vocabulary and BM25 scores.

Everything is raw numbers, .npy without pickles, or JSON.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from textapp.errors import DataError, require
from textapp.retrieval import passages as splitting
from textapp.retrieval import terms as folding

_TEXT, _TERMS, _PASSAGES, _VOCABULARY = "text.bin", "terms.bin", "passages.npy", "vocabulary.npy"
# Columns of passages.npy, int64: in characters of the document, in bytes of text.bin, in numbers of terms.bin.
FILE, LINE, START, END, FIRST_BYTE, LAST_BYTE, FIRST_TERM, LAST_TERM = range(8)


class Snapshot:
    """The arrays of a folder, memory-mapped, so they stay as they are when the folder is replaced.

    Args:
        folder: the folder.

    Attributes:
        folder: the folder.
        passages: `[passages, 8]` int64, see the names of the columns.
        text: all documents in UTF-8, one after the other, `[bytes]` uint8.
        terms: the term ids of all passages, one after the other, `[terms]` uint64.
        vocabulary: every term id once, ascending, uint64; its place is the number of the term for `scores`.
        scores: the `bm25s.BM25` of the passages.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.passages = np.load(folder / _PASSAGES, mmap_mode="r", allow_pickle=False)
        self.text = np.memmap(folder / _TEXT, np.uint8, "r")
        self.terms = np.memmap(folder / _TERMS, np.uint64, "r")
        self.vocabulary = np.load(folder / _VOCABULARY, mmap_mode="r", allow_pickle=False)
        bm25 = require("bm25s", "retrieval").BM25
        self.scores = bm25.load(folder, mmap=True, allow_pickle=False, load_vocab=False, show_progress=False)


class SnapshotWriter:
    """Writes texts, term ids and passages to disk as they come."""

    def __init__(self, snapshot: Path) -> None:
        self._text = (snapshot / _TEXT).open("wb")
        self._terms = (snapshot / _TERMS).open("wb")
        self._snapshot = snapshot
        self._blocks: list[np.ndarray] = []
        self._bytes = self._numbers = self.count = 0

    def __enter__(self) -> SnapshotWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self._text.close()
        self._terms.close()

    def add(self, file: int, line: int, text: str) -> None:
        """Adds a document.

        Args:
            file: number of its file.
            line: of its row, 0 if it has none.
            text: its text.
        """
        rows, start_byte, done = [], self._bytes, 0
        for start, end in splitting.passages(text):
            ids = folding.term_ids(folding.terms(text[start:end]))
            if start > done:  # bytes between, and of the part that two passages have in common
                start_byte += len(text[done:start].encode())
            done = start
            if not len(ids):
                continue
            last_byte = start_byte + len(text[start:end].encode())
            rows.append([file, line, start, end, start_byte, last_byte, self._numbers, self._numbers + len(ids)])
            self._terms.write(ids.tobytes())
            self._numbers += len(ids)
        if rows:
            self._bytes += self._text.write(text.encode())
            self._append(np.array(rows, np.int64))

    def copy(self, old: Snapshot, file: int, first: int, last: int) -> None:
        """Copies the passages of an unchanged file.

        Args:
            old: the snapshot to copy from.
            file: the number of the file now.
            first, last: the range of its passages there.
        """
        if first == last:
            return
        rows = np.array(old.passages[first:last])
        # Documents lie one after the other, so their bytes are a range, and so are the terms.
        bytes_from, bytes_to = rows[:, FIRST_BYTE].min(), rows[:, LAST_BYTE].max()
        terms_from, terms_to = rows[0, FIRST_TERM], rows[-1, LAST_TERM]
        rows[:, FILE] = file
        rows[:, [FIRST_BYTE, LAST_BYTE]] += self._bytes - bytes_from
        rows[:, [FIRST_TERM, LAST_TERM]] += self._numbers - terms_from
        self._bytes += self._text.write(old.text[bytes_from:bytes_to].tobytes())
        self._terms.write(old.terms[terms_from:terms_to].tobytes())
        self._numbers += int(terms_to - terms_from)
        self._append(rows)

    def _append(self, rows: np.ndarray) -> None:
        self._blocks.append(rows)
        self.count += len(rows)

    def finish(self, nothing: DataError) -> None:
        """Writes the passages.

        Raises:
            DataError: `nothing`, if there are none.
        """
        if not self.count:
            raise nothing
        np.save(self._snapshot / _PASSAGES, np.concatenate(self._blocks), allow_pickle=False)


class _Rows(Sequence[list[int]]):
    """The term numbers of each passage, made into lists one at a time."""

    def __init__(self, numbers: np.ndarray, ranges: np.ndarray) -> None:
        self._numbers, self._ranges = numbers, ranges.tolist()

    def __len__(self) -> int:
        return len(self._ranges)

    def __getitem__(self, index: Any) -> Any:
        start, end = self._ranges[index]
        return self._numbers[start:end].tolist()


def build_scores(snapshot: Path) -> None:
    """Computes the BM25 scores of a snapshot from its term ids and passages.

    Args:
        snapshot: the folder, which gets the vocabulary and the scores.
    """
    library = require("bm25s", "retrieval")
    ids = np.memmap(snapshot / _TERMS, np.uint64, "r")
    rows = np.load(snapshot / _PASSAGES, allow_pickle=False)
    vocabulary, numbers = np.unique(ids, return_inverse=True)
    np.save(snapshot / _VOCABULARY, vocabulary, allow_pickle=False)
    retriever = library.BM25()
    retriever.scores = retriever.build_index_from_ids(
        range(len(vocabulary)), _Rows(numbers.astype(np.int32), rows[:, [FIRST_TERM, LAST_TERM]]), show_progress=False
    )
    retriever.vocab_dict = {}  # terms are looked up by their hashes
    retriever.save(snapshot, show_progress=False)
