"""Files of examples -> rows of named fields: .csv .tsv .jsonl .json .txt, each also .gz. Tasks give rows their meaning.

A row that cannot be read is an error of its own (`RowError`), so a caller can continue with the next row. An error of
the whole file (`DataError`: it is empty, a column is missing) ends the reading.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from textapp.errors import DataError
from textapp.records.columns import find_columns
from textapp.records.fasttext import fasttext_rows
from textapp.records.files import UTF_8, Source, broken_byte, kind_of, read_source
from textapp.records.json_rows import json_rows
from textapp.records.layout import Columns, Layout
from textapp.records.rows import Row, RowError, all_lines, nonempty_lines, raised, readable
from textapp.records.tables import Cells, csv_rows, tsv_rows

KINDS = (".csv", ".tsv", ".jsonl", ".json", ".txt")


def read_rows(path: Path, layout: Layout, required: Collection[str] = ()) -> Iterator[Row]:
    """Reads the rows of one file.

    Args:
        path: a file of one of `KINDS`, or any file if the layout has a pattern.
        layout: the columns, the header and the pattern.
        required: the fields that every row must have.

    Raises:
        DataError: the file is empty, a required column is missing, or a row cannot be read (with its line).

    Example: the lines `label,text` and `1,good` give `Row(2, {"text": "good", "label": "1"})`.
    """
    yield from raised(scan_rows(path, layout, required))


def scan_rows(path: Path, layout: Layout, required: Collection[str] = ()) -> Iterator[Row | RowError]:
    """Like `read_rows`, but yields the error of a row instead of raising it, and continues.

    Args:
        path, layout, required: as for `read_rows`.

    Raises:
        DataError: the file is empty, has an unknown extension, or lacks a required column.
    """
    kind, columns, pattern = kind_of(path), layout.columns, layout.pattern
    if pattern is None and kind not in KINDS:
        found = f"the extension {kind!r}" if kind else "a name without an extension"
        raise DataError(f"{path}: found {found}, expected one of {', '.join(KINDS)} (each also .gz){_instead(columns)}")
    source = read_source(path, layout.encoding)
    if pattern is not None:
        rows = _pattern_rows(path, source, pattern, required)
    elif kind == ".txt" and "source" in columns:
        rows = _sentence_rows(path, source, layout, required)
    elif kind == ".txt":
        rows = fasttext_rows(path, source, required)
    elif kind in (".json", ".jsonl"):
        rows = json_rows(path, source, kind, columns, required)
    else:
        rows = _table_rows(path, source, kind, layout, required)
    empty = True
    for row in rows:
        empty = False
        yield row
    if empty:
        raise DataError(f"{path}: has no rows; expected at least one example after the header")


def scan_lines(path: Path, field: str, encoding: str = UTF_8) -> Iterator[Row | RowError]:
    """Every line of any file as one text, including empty ones, so that answers can be aligned with lines.

    Args:
        path: the file.
        field: the field that a line becomes.
        encoding: of the file.
    """
    yield from all_lines(path, read_source(path, encoding), field)


def scan_stream(stream: Iterable[str], name: str, field: str) -> Iterator[Row | RowError]:
    """Every line of a stream as one text.

    Args:
        stream: the lines, such as `sys.stdin` with errors="surrogateescape".
        name: name of the stream in error messages.
        field: the field that a line becomes.
    """
    for line, content in enumerate(stream, start=1):
        content = (content.removeprefix("\ufeff") if line == 1 else content).rstrip("\r\n")
        fault = broken_byte(content)
        yield Row(line, {field: content}) if fault is None else RowError(Path(name), line, fault, readable(content))


def _instead(columns: Columns) -> str:
    """The end of the error about a file's extension: what else the task with these columns accepts."""
    if "source" in columns:
        return (
            ", or one file of sources and one of targets: --data SOURCE --data TARGET, in a config"
            " {source: .., target: ..}"
        )
    return " (of fastText: rename it to .txt), or a pattern for its lines" if "label" in columns else ""


# --- tables --------------------------------------------------------------------------------------------------------


def _table_rows(
    path: Path, source: Source, kind: str, layout: Layout, required: Collection[str]
) -> Iterator[Row | RowError]:
    text = "".join(source.lines())
    rows = list(csv_rows(text) if kind == ".csv" else tsv_rows(text))
    placement = find_columns(path, [row.cells for row in rows], layout, required)
    width = len(rows[0].cells)
    needed = 1 + max((index for field, index in placement.indices.items() if field in required), default=0)
    # Without a header, some rows of a .tsv may have extra cells; in a .csv these come from a text with commas.
    max_cells = width if placement.has_header or kind == ".csv" else None
    fields = list(placement.indices.items())
    for row in rows[1:] if placement.has_header else rows:
        cells = row.cells
        fault = row.fault or (_broken(source, row) if source.broken else None)
        if fault is None and len(cells) < needed:
            separated = " separated by tabs" if kind == ".tsv" else ""
            fault = f"found {len(cells)} cells, expected {width if placement.has_header else needed}{separated}"
        elif fault is None and max_cells is not None and len(cells) > max_cells and any(cells[max_cells:]):
            first = "the header" if placement.has_header else "the first row"
            fault = f"found {len(cells)} cells, but {first} has {max_cells}: quote a text that contains the delimiter"
        if fault is not None:
            yield RowError(path, row.line, fault, readable("\t".join(cells)))
        else:
            yield Row(row.line, {field: cells[index] if index < len(cells) else "" for field, index in fields})


def _broken(source: Source, row: Cells) -> str | None:
    return next((source.broken[line] for line in range(row.line, row.last_line + 1) if line in source.broken), None)


# --- lines ---------------------------------------------------------------------------------------------------------


def _pattern_rows(path: Path, source: Source, pattern: str, required: Collection[str]) -> Iterator[Row | RowError]:
    match = re.compile(pattern).fullmatch
    for item in nonempty_lines(path, source):
        if isinstance(item, RowError):
            yield item
            continue
        line, content = item
        groups = match(content)
        if groups is None and "label" not in required:
            groups = re.match(r"(?P<text>.*)", content)  # a line without a label is a text to classify
        values = {field: value for field, value in groups.groupdict().items() if value is not None} if groups else {}
        if not values or any(field not in values for field in required):
            yield RowError(path, line, f"found {content[:80]!r}, which the pattern {pattern!r} does not match", content)
        else:
            yield Row(line, values)


def _sentence_rows(path: Path, source: Source, layout: Layout, required: Collection[str]) -> Iterator[Row | RowError]:
    """Sentence pairs separated by tabs; if no target is required, one source per line is enough."""
    first = next(line for line in source.head.splitlines() if line.strip())
    if "\t" in first:
        yield from _table_rows(path, source, ".tsv", layout, required)
    elif "target" in required:
        raise DataError(
            f"{path}: found one text per line, expected source and target separated by a tab,"
            f" or two files: {{source: train.zh, target: train.en}}"
        )
    else:
        yield from all_lines(path, source, "source")
