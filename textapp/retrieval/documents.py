"""Finds the files of a folder and reads their documents: a text each, or one for each row of a table."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from textapp.encodings import AUTO
from textapp.errors import DataError
from textapp.records.files import UTF_8, Source, kind_of, read_source
from textapp.records.layout import Layout
from textapp.records.readers import scan_rows
from textapp.records.rows import RowError
from textapp.text.cleaning import clean_text

TEXTS, PAGES, TABLES = (".txt", ".md", ".markdown"), (".html", ".htm"), (".jsonl", ".csv", ".tsv")
KINDS = (*TEXTS, *PAGES, *TABLES)
COLUMNS = ("text", "context", "content", "body")  # of tables; the first that a file has holds the documents


class Document(NamedTuple):
    """A text to look for answers in.

    Attributes:
        text: of an HTML page without its markup.
        line: of a row, where it starts, from 1; None if the file is one document.
    """

    text: str
    line: int | None


class Listing(NamedTuple):
    """The files of a folder.

    Attributes:
        names: the files to read, relative to the folder with `/` between parts, sorted.
        others: the files and folders that are left out, each with the reason.
    """

    names: list[str]
    others: dict[str, str]


def list_files(folder: Path, skipped: Path | None = None) -> Listing:
    """Finds the files of a folder and of the folders in it. Hidden ones are skipped, linked folders not followed.

    Args:
        folder: the folder, or one file.
        skipped: a folder within it to leave out.

    Raises:
        DataError: there is no such folder, or it has no files that can be read.
    """
    if folder.is_file():
        return Listing([folder.name], {})
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; expected a folder of documents ({', '.join(KINDS)}, each also .gz)")
    names: list[tuple[str, ...]] = []
    others: dict[str, str] = {}

    def cannot_list(error: OSError) -> None:
        others[Path(error.filename).relative_to(folder).as_posix()] = f"cannot be read: {error.strerror}"

    for parent, folders, files in os.walk(folder, onerror=cannot_list):
        folders[:] = [name for name in folders if not name.startswith(".") and Path(parent, name) != skipped]
        for name in files:
            path = Path(parent, name)
            relative = path.relative_to(folder)
            if name.startswith("."):
                continue
            if kind_of(path) not in KINDS:
                others[relative.as_posix()] = f"expected one of {', '.join(KINDS)}, each also .gz"
            elif path.exists() and not path.is_file():
                others[relative.as_posix()] = "is no file but a pipe or a device"
            else:
                names.append(relative.parts)
    if not names:
        found = f"{len(others)} of other kinds, such as {min(others)}" if others else "none"
        raise DataError(f"{folder}: has no documents; expected files {', '.join(KINDS)} (each also .gz), found {found}")
    return Listing(["/".join(parts) for parts in sorted(names)], others)


def read_documents(
    path: Path, encoding: str = AUTO, columns: Sequence[str | int] = COLUMNS
) -> Iterator[Document | RowError]:
    """Yields the documents of a file, and an error for each row of a table that cannot be read.

    Args:
        path: a file of one of `KINDS`, or of another kind, which is read as text.
        encoding: of the file; `auto`: UTF-8, else the likely one.
        columns: names that the column of the texts may have, or its number, for tables.

    Raises:
        DataError: the file cannot be read, is empty or no text, or lacks the column.
    """
    source = _opened(path, encoding)
    kind = kind_of(path)
    if kind in TABLES:
        column = columns[0] if isinstance(columns[0], int) else list(columns)
        layout = Layout({"text": column}, encoding=source.encoding)
        for row in scan_rows(path, layout, ("text",)):
            yield row if isinstance(row, RowError) else Document(row.values["text"], row.line)
        return
    text = "".join(source.pieces())
    yield Document(clean_text(text, ("html",)) if kind in PAGES else text, None)


def shown(name: str) -> str:
    """The name of a file with escapes for bytes that are not UTF-8, so that it can be printed."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def _opened(path: Path, encoding: str) -> Source:
    if encoding == AUTO:
        try:  # first, as it is not logged for every file
            return read_source(path, UTF_8)
        except DataError:
            pass
    return read_source(path, encoding)
