"""An index of the passages of a folder on disk: made, kept up to date and searched.

    <index>/index.json         what was indexed, and the checksum of every file of the snapshot
    <index>/snapshot-<name>/ text, term ids and passages of all files, vocabulary, and BM25 scores by `bm25s`

An update writes a new snapshot, in which the parts of unchanged files are copied, and then replaces index.json.
Everything is raw numbers, .npy without pickles, or JSON.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from textapp.artifact import sha256, write_text
from textapp.encodings import AUTO
from textapp.errors import DataError, UsageError, require
from textapp.records.rows import RowError
from textapp.retrieval import passages as splitting
from textapp.retrieval import terms as folding
from textapp.retrieval.documents import COLUMNS, Listing, list_files, read_documents, shown

FORMAT = 1
INDEX, LOCK, SNAPSHOT = "index.json", "lock", "snapshot-"
_TEXT, _TERMS, _PASSAGES, _VOCABULARY = "text.bin", "terms.bin", "passages.npy", "vocabulary.npy"
# Columns of passages.npy, int64: in characters of the document, in bytes of text.bin, in numbers of terms.bin.
_FILE, _LINE, _START, _END, _FIRST_BYTE, _LAST_BYTE, _FIRST_TERM, _LAST_TERM = range(8)
_TICK = 2_000_000_000  # nanoseconds in which a file may change twice and keep its time

_logger = logging.getLogger("textapp")


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


class Settings(NamedTuple):
    """What an index depends on, besides the files."""

    encoding: str = AUTO
    columns: tuple[str | int, ...] = COLUMNS

    def key(self, folder: Path) -> dict[str, Any]:
        """As it is compared with what index.json has."""
        versions = [FORMAT, folding.VERSION, splitting.VERSION]
        return {"folder": str(folder), "encoding": self.encoding, "columns": list(self.columns), "versions": versions}


class Index:
    """An open index. Its files are memory-mapped, so it stays as it is when another process updates the index.

    Args:
        files: the indexed files.
        snapshot: the folder with the arrays.
        others: the files that are left out, each with the reason.
    """

    def __init__(self, files: Sequence[FileRecord], snapshot: Path, others: Mapping[str, str]) -> None:
        self.files = files
        self.others = dict(others)
        self._snapshot = snapshot
        self._passages = np.load(snapshot / _PASSAGES, mmap_mode="r", allow_pickle=False)
        self._text = np.memmap(snapshot / _TEXT, np.uint8, "r")
        self._terms = np.memmap(snapshot / _TERMS, np.uint64, "r")
        self._vocabulary = np.load(snapshot / _VOCABULARY, mmap_mode="r", allow_pickle=False)
        bm25 = require("bm25s", "retrieval").BM25
        self._retriever = bm25.load(snapshot, mmap=True, allow_pickle=False, load_vocab=False, show_progress=False)

    def __len__(self) -> int:
        """The number of passages."""
        return len(self._passages)

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
        places = np.searchsorted(self._vocabulary, ids)
        known = places[places < len(self._vocabulary)]
        known = known[np.isin(self._vocabulary[known], ids)]
        scores = self._retriever.get_scores_from_ids(known) if len(known) else np.zeros(len(self), np.float32)
        candidates = np.arange(len(self)) if len(self) <= count else np.flatnonzero(scores > 0)
        best = candidates[np.argsort(-scores[candidates], kind="stable")[:count]]
        return [self._passage(row, float(scores[row])) for row in best.tolist()]

    def _passage(self, row: int, score: float) -> Passage:
        values = self._passages[row].tolist()
        text = self._text[values[_FIRST_BYTE] : values[_LAST_BYTE]].tobytes().decode("utf-8")
        name = shown(self.files[values[_FILE]].name)
        return Passage(name, values[_LINE] or None, values[_START], values[_END], text, score)

    def rows(self) -> list[tuple[int, int]]:
        """The range of the passages of each file."""
        ends = np.cumsum([file.passages for file in self.files]).tolist()
        return list(zip([0, *ends], ends, strict=False))


def open_index(
    folder: Path,
    at: Path,
    settings: Settings = Settings(),  # noqa: B008
    progress: Callable[[int], Any] | None = None,
) -> Index:
    """Opens the index of a folder of documents; new and changed files are read first, and an index that is damaged is
    built again.

    Args:
        folder: the documents, or one file of them.
        at: the folder of the index, which no other may share.
        settings: how the files are read.
        progress: called with the number of files to look into; it returns a context with a function to call after each.

    Raises:
        DataError: no file of the folder can be read.
        UsageError: bm25s is not installed, or `at` cannot be made or holds something else.

    Example: `open_index(Path("manuals"), Path("manuals.index")).search("Who wrote it?", 10)`
    """
    require("bm25s", "retrieval")
    folder, at = folder.resolve(), at.resolve()
    listing = list_files(folder, skipped=at)
    _check_place(at)
    try:
        at.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"{at}: the index cannot be made here ({error.strerror}): give a folder with --index"
        ) from error
    with _locked(at):
        old = _opened(at, settings.key(folder), listing)
        return _Update(folder, at, settings, listing, old, progress).index()


def _check_place(at: Path) -> None:
    """Raises a UsageError if a folder holds anything but an index."""
    if at.exists() and not at.is_dir():
        raise UsageError(f"{at}: is a file, expected a folder for the index: give another one")
    foreign = [name for name in os.listdir(at) if not _own(name)] if at.exists() else []
    if foreign:
        raise UsageError(f"{at}: holds {min(foreign)}, which is no part of an index: give a new or an empty folder")


def _own(name: str) -> bool:
    return name.startswith((SNAPSHOT, INDEX, ".")) or name == LOCK


@contextmanager
def _locked(at: Path) -> Iterator[None]:
    """Holds a lock that ends with the process. Where there is none, the last of two processes to finish wins."""
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    with (at / LOCK).open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _logger.info("%s: another process updates this index; waiting for it", at)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _opened(at: Path, key: Mapping[str, Any], listing: Listing) -> Index | None:
    """The index as it is on disk; None if there is none, or if it has to be built again."""
    if not (at / INDEX).exists():
        return None
    try:
        content = json.loads((at / INDEX).read_text(encoding="utf-8"))
        if {name: content.get(name) for name in key} != key:
            _logger.warning("%s: is an index of other files or settings, or of another version: it is built again", at)
            return None
        snapshot = at / content["snapshot"]
        damaged = [name for name, digest in content["files"].items() if sha256(snapshot / name) != digest]
        if damaged:
            raise ValueError(f"{damaged[0]} has changed")
        return Index([FileRecord(**values) for values in content["documents"]], snapshot, listing.others)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        _logger.warning("%s: the index is damaged (%s): it is built again", at, error)
        return None


class _Update:
    """One update of an index: compares the files with it, and writes a new snapshot if any has changed."""

    def __init__(
        self,
        folder: Path,
        at: Path,
        settings: Settings,
        listing: Listing,
        old: Index | None,
        progress: Callable[[int], Any] | None,
    ) -> None:
        self.folder, self.at, self.settings, self.listing, self.old = folder, at, settings, listing, old
        self.progress = progress
        self.started = time.time_ns()
        self.known = {file.name: number for number, file in enumerate(old.files)} if old else {}

    def index(self) -> Index:
        changed, unchanged = [], {}
        for name in self.listing.names:
            record = self._unchanged(name)
            if record is None:
                changed.append(name)
            else:
                unchanged[name] = record
        if self.old is not None and not changed and len(unchanged) == len(self.known):
            if list(unchanged.values()) != list(self.old.files):  # some have another time
                self._point_to(self.old._snapshot, list(unchanged.values()))
            self._remove_others(self.old._snapshot)
            return self.old
        snapshot = self.at / f"{SNAPSHOT}{os.urandom(6).hex()}"
        snapshot.mkdir()
        try:
            records = self._write(snapshot, unchanged, len(changed))
            self._point_to(snapshot, records)
        except BaseException:  # includes Ctrl-C
            shutil.rmtree(snapshot, ignore_errors=True)
            raise
        index = Index(records, snapshot, self.listing.others)
        self._remove_others(snapshot)
        return index

    def _path(self, name: str) -> Path:
        return self.folder if self.folder.is_file() else self.folder / name

    def _unchanged(self, name: str) -> FileRecord | None:
        """The record of a file whose content is that of the index."""
        if self.old is None or name not in self.known:
            return None
        record = self.old.files[self.known[name]]
        try:
            size, changed_at = self._stat(name)
            if (size, changed_at) == (record.size, record.time):
                return record
            same = size == record.size and sha256(self._path(name)) == record.digest
        except OSError:
            return record if not record.digest else None  # it could not be read before either
        return FileRecord(**{**asdict(record), "time": self._settled(changed_at)}) if same else None

    def _stat(self, name: str) -> tuple[int, int]:
        status = self._path(name).stat()
        return status.st_size, status.st_mtime_ns

    def _settled(self, changed_at: int) -> int:
        """The time of a file, or 0 if it is so new that another change might not show in it."""
        return changed_at if changed_at < self.started - _TICK else 0

    def _write(self, snapshot: Path, unchanged: Mapping[str, FileRecord], to_read: int) -> list[FileRecord]:
        """Writes the arrays of all files, and returns the records."""
        begun = time.monotonic()
        with _Writer(snapshot) as writer, self._advancing(to_read) as advance:
            rows = self.old.rows() if self.old else []
            records = []
            for number, name in enumerate(self.listing.names):
                record = unchanged.get(name)
                if record is not None and self.old is not None:
                    writer.copy(self.old, number, *rows[self.known[name]])
                else:
                    record = self._read(writer, number, name)
                    advance()
                records.append(record)
            writer.finish(self._nothing_read(records))
        build_scores(snapshot)
        count = len(np.load(snapshot / _PASSAGES, mmap_mode="r"))
        _logger.info(
            "%s: %s files read, %s passages of %s files indexed in %.1f s",
            self.folder, f"{to_read:,}", f"{count:,}", f"{len(records):,}", time.monotonic() - begun,
        )  # fmt: skip
        return records

    @contextmanager
    def _advancing(self, count: int) -> Iterator[Callable[[], None]]:
        if self.progress is None or not count:
            yield lambda: None
        else:
            with self.progress(count) as advance:
                yield advance

    def _read(self, writer: _Writer, number: int, name: str) -> FileRecord:
        """Reads a file into the new snapshot."""
        path = self._path(name)
        mark, fault, rows, bad = writer.mark(), None, 0, 0
        try:
            size, changed_at = self._stat(name)
            record = FileRecord(name, size, self._settled(changed_at), sha256(path))
            for document in read_documents(path, self.settings.encoding, self.settings.columns):
                rows += 1
                if isinstance(document, RowError):
                    bad += 1
                    fault = fault or str(document).removeprefix(f"{path}:")
                else:
                    writer.add(number, document.line or 0, document.text)
        except OSError as error:
            record = FileRecord(name, 0, 0, "")
            fault = f"cannot be read: {error.strerror or error}"
        except DataError as error:  # of the whole file
            writer.back_to(mark)
            fault = str(error).removeprefix(f"{path}: ").removeprefix(f"{path}:")
        else:
            if bad:
                fault = f"{bad:,} of {rows:,} rows are not read, such as line {fault}"
        record.passages = writer.count - mark[0]
        record.fault = fault if fault or record.passages else "has no words"
        return record

    def _nothing_read(self, records: Sequence[FileRecord]) -> DataError:
        first = next((f"{file.name}: {file.fault}" for file in records if file.fault), "no words")
        return DataError(f"{self.folder}: none of its {len(records):,} documents can be read, such as {first}")

    def _point_to(self, snapshot: Path, records: Sequence[FileRecord]) -> None:
        files = {path.name: sha256(path) for path in sorted(snapshot.iterdir())}
        content = {
            **self.settings.key(self.folder), "snapshot": snapshot.name, "files": files,
            "documents": [asdict(record) for record in records],
        }  # fmt: skip
        write_text(self.at / INDEX, json.dumps(content) + "\n")

    def _remove_others(self, snapshot: Path) -> None:
        for path in self.at.glob(f"{SNAPSHOT}*"):
            if path != snapshot:
                shutil.rmtree(path, ignore_errors=True)  # Windows keeps what is open until the next update


class _Writer:
    """Writes texts, term ids and passages to disk as they come."""

    def __init__(self, snapshot: Path) -> None:
        self._text = (snapshot / _TEXT).open("wb")
        self._terms = (snapshot / _TERMS).open("wb")
        self._snapshot = snapshot
        self._blocks: list[np.ndarray] = []
        self._bytes = self._numbers = self.count = 0

    def __enter__(self) -> _Writer:
        return self

    def __exit__(self, *_: object) -> None:
        self._text.close()
        self._terms.close()

    def mark(self) -> tuple[int, int, int, int]:
        """A place to go `back_to`."""
        return self.count, len(self._blocks), self._bytes, self._numbers

    def back_to(self, mark: tuple[int, int, int, int]) -> None:
        """Takes back what was written since."""
        self.count, blocks, self._bytes, self._numbers = mark
        del self._blocks[blocks:]
        for file, end in ((self._text, self._bytes), (self._terms, self._numbers * 8)):
            file.seek(end)
            file.truncate()

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

    def copy(self, old: Index, file: int, first: int, last: int) -> None:
        """Copies the passages of an unchanged file.

        Args:
            old: the index to copy from.
            file: the number of the file now.
            first, last: the range of its passages there.
        """
        if first == last:
            return
        rows = np.array(old._passages[first:last])
        # Documents lie one after the other, so their bytes are a range, and so are the terms.
        bytes_from, bytes_to = rows[:, _FIRST_BYTE].min(), rows[:, _LAST_BYTE].max()
        terms_from, terms_to = rows[0, _FIRST_TERM], rows[-1, _LAST_TERM]
        rows[:, _FILE] = file
        rows[:, [_FIRST_BYTE, _LAST_BYTE]] += self._bytes - bytes_from
        rows[:, [_FIRST_TERM, _LAST_TERM]] += self._numbers - terms_from
        self._bytes += self._text.write(old._text[bytes_from:bytes_to].tobytes())
        self._terms.write(old._terms[terms_from:terms_to].tobytes())
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
        range(len(vocabulary)), _Rows(numbers.astype(np.int32), rows[:, [_FIRST_TERM, _LAST_TERM]]), show_progress=False
    )
    retriever.vocab_dict = {}  # terms are looked up by their hashes
    retriever.save(snapshot, show_progress=False)


def index_name(folder: Path) -> str:
    """The name of a folder's index among those of other folders."""
    return hashlib.sha256(os.fsencode(folder.resolve())).hexdigest()[:16]
