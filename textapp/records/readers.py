"""Files of examples -> rows of named fields: .csv .tsv .jsonl .json .txt, each also .gz. Tasks give rows their meaning.

A row that cannot be read is an error of its own (`RowError`), so a caller can continue with the next row. An error of
the whole file (`DataError`: it is empty, a column is missing) ends the reading.
"""

from __future__ import annotations

import io
import itertools
import logging
import re
import sys
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from textapp.errors import DataError, plural
from textapp.records.columns import Placement, expected_of, find_columns, names_of, needs_names, repeats
from textapp.records.dialects import normalised
from textapp.records.fasttext import PREFIX, fasttext_rows
from textapp.records.files import UTF_8, Source, broken_byte, ends_with_return, kind_of, read_source
from textapp.records.json_rows import json_rows
from textapp.records.layout import Columns, Layout
from textapp.records.markup import refuse_markup
from textapp.records.misnamed import looks_like, misnamed
from textapp.records.quoted import Cells
from textapp.records.rows import Row, RowError, all_lines, nonempty_lines, raised, readable
from textapp.records.tables import Tell, peek, table_rows

_logger = logging.getLogger("textapp")

_SHOWN_LINES = 3
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


def scan_rows(
    path: Path, layout: Layout, required: Collection[str] = (), tell: Tell | None = None
) -> Iterator[Row | RowError]:
    """Like `read_rows`, but yields the error of a row instead of raising it, and continues.

    Args:
        path, layout, required: as for `read_rows`.
        tell: is called with each sentence about how a table is read, in place of a warning in the log.

    Raises:
        DataError: the file is empty, has an unknown extension, or lacks a required column.
    """
    kind, columns, pattern = kind_of(path), layout.columns, layout.pattern
    if pattern is None and kind not in KINDS:
        read_source(path, layout.encoding)  # it may be known by its content
        found = f"the extension {kind!r}" if kind else "a name without an extension"
        raise DataError(f"{path}: found {found}, expected one of {', '.join(KINDS)} (each also .gz){_instead(columns)}")
    source = read_source(path, layout.encoding)
    names = {field: frozenset(map(normalised, names_of(column))) for field, column in columns.items()}
    if pattern is None and (found := misnamed(source.head, kind, names)) is not None:
        raise DataError(f"{path}: {found}")
    if pattern is not None:
        rows = _pattern_rows(path, source, pattern, required)
    elif kind == ".txt" and "source" in columns:
        rows = _sentence_rows(path, source, layout, required)
    elif kind == ".txt" and "text" in columns:
        rows = _fasttext_rows(path, source, required, names)
    elif kind == ".txt":
        rows = _tabbed_rows(path, source, layout, required, tell)
    elif kind in (".json", ".jsonl"):
        rows = json_rows(path, source, kind, columns, required)
    else:
        rows = _table_rows(path, source, kind, layout, required, tell)
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


def scan_stdin(field: str, encoding: str = UTF_8) -> Iterator[Row | RowError]:
    r"""Every line of standard input as one text, as soon as it is there.

    Lines end as in a file: with `\n` or `\r\n`, and with `\r` where what can be read at first has no others.

    Args:
        field: the field that a line becomes.
        encoding: of the lines.
    """
    if isinstance(stream := sys.stdin, io.TextIOWrapper):
        head = stream.buffer.peek() if isinstance(stream.buffer, io.BufferedReader) else b""
        end = "\r" if ends_with_return(head.decode(encoding, "ignore")) else "\n"
        stream.reconfigure(encoding=encoding, errors="surrogateescape", newline=end)
    for line, content in enumerate(stream, start=1):
        content = (content.removeprefix("\ufeff") if line == 1 else content).rstrip("\r\n")
        fault = broken_byte(content, encoding)
        yield Row(line, {field: content}) if fault is None else RowError(Path("stdin"), line, fault, readable(content))


def _instead(columns: Columns) -> str:
    """The end of the error about a file's extension: what else the task with these columns accepts."""
    if "source" in columns:
        return (
            ", .sgm, .xml or .tmx, or one file of sources and one of targets: --data SOURCE --data TARGET, in a config"
            " {source: .., target: ..}"
        )
    return " (of fastText: rename it to .txt), or a pattern for its lines" if "label" in columns else ""


# --- tables --------------------------------------------------------------------------------------------------------


def _table_rows(
    path: Path, source: Source, kind: str, layout: Layout, required: Collection[str], tell: Tell | None = None
) -> Iterator[Row | RowError]:
    tell = tell or partial(_logger.warning, "%s: %s", path)
    head, rows = peek(table_rows(source.lines(), kind, expected_of(layout, required), tell), Cells.size)
    if not head:
        return
    if head[0].fault is not None and needs_names(layout, required):
        raise RowError(path, head[0].line, head[0].fault, readable(head[0].cells[0]))
    cells_of_head = [row.cells for row in head if row.fault is None]
    placement = _found_columns(path, source, kind, cells_of_head, layout, required, tell)
    width = _width(cells_of_head, placement)
    usual = _most(cells_of_head[1:])
    needed = 1 + max((index for field, index in placement.indices.items() if field in required), default=0)
    # Without a header, some sentence pairs of a .tsv may have extra cells; elsewhere these come from a text.
    max_cells = width if placement.has_header or kind == ".csv" or "source" not in placement.indices else None
    # A row of nothing but empty cells, as spreadsheets add them, is no example; but to predict, each row is one.
    skips_empty = set(placement.indices) <= set(required) and width > 1
    fields = list(placement.indices.items())
    header = head[0].cells if placement.has_header and len(head[0].cells) > 1 else None
    repeated: list[int] = []
    for row in itertools.islice(rows, 1, None) if placement.has_header else rows:
        cells = row.cells
        if header and cells[-1] == header[-1] and repeats(cells, header):
            repeated.append(row.line)
            continue
        fault = (_broken(source, row) if source.broken else None) or row.fault
        if fault is None and skips_empty and not any(cells):
            continue
        if fault is None and len(cells) < needed:
            separated = " separated by tabs" if kind == ".tsv" else ""
            found = f"found {plural(len(cells), 'cell')}"
            fault = (
                f"{found}, expected {width if placement.has_header else needed}{separated}: add the others, delete the"
                f' line, or put a cell with a line break in quotes (")'
            )
        elif fault is None and max_cells is not None and len(cells) > max_cells and any(cells[max_cells:]):
            others = "the header has" if placement.has_header else "most rows have"
            fault = f"found {plural(len(cells), 'cell')}, but {others} {max_cells}: {_extra(cells, usual, max_cells)}"
        if fault is not None:
            yield RowError(path, row.line, fault, readable("\t".join(cells)))
        else:
            yield Row(row.line, {field: cells[index] if index < len(cells) else "" for field, index in fields})
    if repeated:
        lines = ", ".join(map(str, repeated[:_SHOWN_LINES])) + (", ..." if len(repeated) > _SHOWN_LINES else "")
        tell(f"the header occurs again, and is left out there: line {lines} ({len(repeated)} in all)")


def _found_columns(
    path: Path,
    source: Source,
    kind: str,
    rows: Sequence[list[str]],
    layout: Layout,
    required: Collection[str],
    tell: Tell,
) -> Placement:
    """The columns of a table; if they are not found, the error says what the file looks like, if that is known."""
    if not rows:
        return Placement({}, False)
    try:
        return find_columns(path, rows, layout, required, tell)
    except DataError as error:
        names = {field: frozenset(map(normalised, names_of(column))) for field, column in layout.columns.items()}
        if (found := looks_like(source.head, kind, names)) is None:
            raise
        raise DataError(f"{path}: {found}") from error


def _most(head: Sequence[list[str]]) -> int:
    """The number of cells of most rows."""
    return Counter(map(len, head)).most_common(1)[0][0] if head else 0


def _width(head: Sequence[list[str]], placement: Placement) -> int:
    """The number of cells of the header, or of most rows."""
    return len(head[0]) if placement.has_header else _most(head)


def _extra(cells: Sequence[str], usual: int, max_cells: int) -> str:
    """How to mend a row with more cells than the header or most rows have."""
    if len(cells) == usual == max_cells + 1 and cells[0].strip('"').isdecimal():
        return "give the first column a name, too (R writes row names so: row.names = FALSE)"
    return 'put a text with the delimiter in quotes (")'


def _broken(source: Source, row: Cells) -> str | None:
    return next((source.broken[line] for line in range(row.line, row.last_line + 1) if line in source.broken), None)


# --- lines ---------------------------------------------------------------------------------------------------------


def _fasttext_rows(
    path: Path, source: Source, required: Collection[str], names: Mapping[str, Collection[str]]
) -> Iterator[Row | RowError]:
    """Rows of fastText's lines; a file without labels that is a table is an error of its own."""
    if "label" in required and PREFIX not in source.head:
        found = looks_like(source.head, ".txt", names)
        if found is not None:
            raise DataError(f"{path}: has no {PREFIX}, and {found}")
    yield from fasttext_rows(path, source, required)


def _tabbed_rows(
    path: Path, source: Source, layout: Layout, required: Collection[str], tell: Tell | None
) -> Iterator[Row | RowError]:
    """Rows of a table that a spreadsheet saved as text with tabs.

    Raises:
        DataError: its first line has no tab.
    """
    first = next((line for line in source.head.splitlines() if line.strip()), "")
    if "\t" not in first:
        raise DataError(
            f"{path}: found text without columns, expected a table with {', '.join(required)}:"
            " save it as .tsv, .csv, .jsonl or .json"
        )
    return _table_rows(path, source, ".tsv", layout, required, tell)


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
    refuse_markup(source)
    filled = [item for item in enumerate(re.split(r"\r\n?|\n", source.head), start=1) if item[1].strip()]
    with_tab = [number for number, line in filled if "\t" in line]
    if with_tab and ("target" in required or 2 * len(with_tab) > len(filled)):
        yield from _table_rows(path, source, ".tsv", layout, required)
    elif "target" in required:
        raise DataError(
            f"{path}: found one text per line, expected source and target separated by a tab,"
            f" or two files: {{source: train.zh, target: train.en}}"
        )
    else:
        if with_tab:
            _logger.warning("%s: line %d has a tab, most have none: each line is one text", path, with_tab[0])
        yield from all_lines(path, source, "source")
