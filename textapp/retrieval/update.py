"""Opens the index of a folder: makes it, or brings it up to date by the files that have changed.

    <index>/index.json       what was indexed, and the checksum of every file of the snapshot
    <index>/snapshot-<name>/ the arrays

An update writes a new snapshot, into which the parts of unchanged files are copied, and then replaces index.json.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

from textapp.artifact import sha256
from textapp.encodings import AUTO
from textapp.errors import DataError, UsageError, plural, require
from textapp.files import write_text
from textapp.records.rows import RowError
from textapp.retrieval import passages as splitting
from textapp.retrieval import terms as folding
from textapp.retrieval.documents import COLUMNS, Listing, list_files, read_documents
from textapp.retrieval.index import FileRecord, Index
from textapp.retrieval.snapshot import Snapshot, SnapshotWriter, build_scores

FORMAT = 1
INDEX, LOCK, SNAPSHOT = "index.json", "lock", "snapshot-"
_HIDDEN = re.compile(r"\..*")
_OWN = re.compile(rf"{LOCK}|{re.escape(INDEX)}|{SNAPSHOT}[0-9a-f]{{12}}|\..*")  # beside a lock, which is made first
_TICK = 2_000_000_000  # nanoseconds in which a file may change twice and keep its time

_logger = logging.getLogger("textapp")


class Settings(NamedTuple):
    """What an index depends on, besides the files."""

    encoding: str = AUTO
    columns: tuple[str | int, ...] = COLUMNS

    def key(self, folder: Path) -> dict[str, Any]:
        """As it is compared with what index.json has."""
        versions = [FORMAT, folding.VERSION, splitting.VERSION]
        return {"folder": str(folder), "encoding": self.encoding, "columns": list(self.columns), "versions": versions}


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
        DataError: no file of the folder can be read, or the index cannot be written.
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
    names = os.listdir(at) if at.exists() else []
    own = _OWN if LOCK in names else _HIDDEN
    foreign = [name for name in names if not own.fullmatch(name)]
    if foreign:
        raise UsageError(f"{at}: holds {min(foreign)}, which is no part of an index: give a new or an empty folder")


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
        return Index([FileRecord(**values) for values in content["documents"]], Snapshot(snapshot), listing.others)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
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
                self._point_to(self.old.snapshot.folder, list(unchanged.values()))
            self._remove_others(self.old.snapshot.folder)
            return self.old
        snapshot = self.at / f"{SNAPSHOT}{os.urandom(6).hex()}"
        snapshot.mkdir()
        try:
            records = self._write(snapshot, unchanged, len(changed))
            self._point_to(snapshot, records)
        except BaseException as error:  # includes Ctrl-C
            shutil.rmtree(snapshot, ignore_errors=True)
            if isinstance(error, OSError):
                raise DataError(
                    f"{self.at}: the index could not be written ({error.strerror or error}): free some space, or give "
                    "another folder with --index; an older index is unchanged"
                ) from error
            raise
        index = Index(records, Snapshot(snapshot), self.listing.others)
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
        with SnapshotWriter(snapshot) as writer, self._advancing(to_read) as advance:
            rows = self.old.rows() if self.old else []
            records = []
            for number, name in enumerate(self.listing.names):
                record = unchanged.get(name)
                if record is not None and self.old is not None:
                    writer.copy(self.old.snapshot, number, *rows[self.known[name]])
                else:
                    record = self._read(writer, number, name)
                    advance()
                records.append(record)
            writer.finish(self._nothing_read(records))
        build_scores(snapshot)
        count = writer.count
        _logger.info(
            "%s: %s read, %s of %s indexed in %.1f s",
            self.folder, plural(to_read, "file"), plural(count, "passage"), plural(len(records), "file"),
            time.monotonic() - begun,
        )  # fmt: skip
        return records

    @contextmanager
    def _advancing(self, count: int) -> Iterator[Callable[[], None]]:
        if self.progress is None or not count:
            yield lambda: None
        else:
            with self.progress(count) as advance:
                yield advance

    def _read(self, writer: SnapshotWriter, number: int, name: str) -> FileRecord:
        """Reads a file into the new snapshot."""
        path = self._path(name)
        first, fault, rows, bad = writer.count, None, 0, 0
        try:
            size, changed_at = self._stat(name)
            record = FileRecord(name, size, self._settled(changed_at), sha256(path))
            # All of them first, so that a file that breaks off leaves nothing.
            documents = list(read_documents(path, self.settings.encoding, self.settings.columns))
        except OSError as error:
            record = FileRecord(name, 0, 0, "")
            fault = f"cannot be read: {error.strerror or error}"
        except DataError as error:  # of the file, not of a row
            fault = str(error).removeprefix(f"{path}: ").removeprefix(f"{path}:")
        else:
            for document in documents:
                rows += 1
                if isinstance(document, RowError):
                    bad += 1
                    fault = fault or str(document).removeprefix(f"{path}:")
                else:
                    writer.add(number, document.line or 0, document.text)
            if bad:
                fault = f"{bad:,} of {rows:,} rows are not read, such as line {fault}"
        record.passages = writer.count - first
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


def index_name(folder: Path) -> str:
    """The name of a folder's index among those of other folders."""
    return hashlib.sha256(os.fsencode(folder.resolve())).hexdigest()[:16]
