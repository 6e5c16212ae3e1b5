"""Rows of a file, errors of a single row, and the lines that rows are read from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from textapp.errors import DataError
from textapp.records.files import Source

MAX_SHOWN = 1000  # characters of a row in its error


class Row(NamedTuple):
    """One example, as it is in a file.

    Attributes:
        line: where it starts, counted from 1.
        values: field -> string; several values (a list in JSON) are joined by newlines. The field `label` may be a
            list of strings (a list in JSON, fastText labels); `answer` and `start` are lists if they come from JSON;
            `messages` is then as it is.
    """

    line: int
    values: dict[str, Any]


class RowError(DataError):
    """One row cannot be read.

    Attributes:
        line: where it starts, counted from 1.
        input: as much of the row as could be read.
    """

    def __init__(self, path: Path, line: int, message: str, found: str = "") -> None:
        super().__init__(f"{path}:{line}: {message}")
        self.line = line
        self.input = found


def raised(rows: Iterable[Row | RowError]) -> Iterator[Row]:
    """The rows, up to the first that cannot be read, whose error is raised.

    Raises:
        RowError: a row cannot be read.
    """
    for row in rows:
        if isinstance(row, RowError):
            raise row
        yield row


def all_lines(path: Path, source: Source, field: str) -> Iterator[Row | RowError]:
    """Every line, including empty ones, as a row with one field; an error for each that is broken.

    Args:
        path: the file, for error messages.
        source: its content.
        field: the field that a line becomes.
    """
    for line, content in enumerate(source.lines(), start=1):
        if line in source.broken:
            yield RowError(path, line, source.broken[line], readable(content))
        else:
            yield Row(line, {field: content.removesuffix("\n").removesuffix("\r")})


def nonempty_lines(path: Path, source: Source) -> Iterator[tuple[int, str] | RowError]:
    """Yields `(number, line)` of the lines that are not blank; an error for each that is broken."""
    for line, content in enumerate(source.lines(), start=1):
        if line in source.broken:
            yield RowError(path, line, source.broken[line], readable(content))
        elif not content.isspace():
            yield line, content.removesuffix("\n").removesuffix("\r")


def readable(text: str) -> str:
    """The beginning of a text, with `?` for each character that UTF-8 cannot encode."""
    return text[:MAX_SHOWN].encode("utf-8", errors="replace").decode("utf-8").strip()
