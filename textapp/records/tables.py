"""Parses `.csv` and `.tsv` text into rows of cells, each with the line where it starts."""

from __future__ import annotations

import csv
import io
import itertools
import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

DELIMITERS = (",", ";", "\t")
_NO_DELIMITER = "\x1f"  # for a file of one column, whose texts must not be split
_SAMPLE_ROWS = 50
_MAX_JOINED_LINES = 1000
_END = "\x00end of file\x00"
_CLOSING_QUOTE = re.compile(r'"(?=\t|\r?$)')
_TSV_CELL = re.compile(r'(?:"(?:[^"]|"")*"|[^\t]*)(?:\t|\Z)')


class Cells(NamedTuple):
    """One row.

    Attributes:
        line, last_line: the lines that it covers, counted from 1.
        cells: its cells.
        fault: what is wrong with it, if anything.
    """

    line: int
    last_line: int
    cells: list[str]
    fault: str | None = None


def csv_rows(text: str) -> Iterator[Cells]:
    """Rows of a `.csv`, whose delimiter is guessed by `sniff_delimiter`."""
    return _parse_csv(text, sniff_delimiter(text))


def _parse_csv(text: str, delimiter: str) -> Iterator[Cells]:
    csv.field_size_limit(2**31 - 1)
    # Without the added last line, an unclosed quote would silently swallow the rest of the file.
    reader = csv.reader(itertools.chain(io.StringIO(text, newline=""), [_END]), delimiter=delimiter)
    before = 0
    for cells in reader:
        line, before = before + 1, reader.line_num
        if cells == [_END]:
            return
        if cells and cells[-1].endswith(_END):
            cells[-1] = cells[-1].removesuffix(_END)
            fault = "a quote in this row is never closed: double every quote inside a quoted cell"
            yield Cells(line, reader.line_num - 1, cells, fault)
        elif any(cells):
            yield Cells(line, reader.line_num, cells)


def sniff_delimiter(text: str) -> str:
    """The delimiter of a `.csv`: the one of `,` `;` tab that splits its first rows most evenly.

    Example: `sniff_delimiter("a;b\\n1;good, cheap\\n")` is `;`: it splits both rows in two.
    """
    head = "".join(itertools.islice(io.StringIO(text, newline=""), 4 * _SAMPLE_ROWS))
    best, best_score = _NO_DELIMITER, (0.0, 0)
    for delimiter in DELIMITERS:
        rows = list(itertools.islice(_parse_csv(head, delimiter), _SAMPLE_ROWS))
        widths = Counter(len(row.cells) for row in rows)
        if not rows or len(rows[0].cells) < 2:
            continue
        even = widths[len(rows[0].cells)] / len(rows)
        if (even, len(rows[0].cells)) > best_score:
            best, best_score = delimiter, (even, len(rows[0].cells))
    return best


def tsv_rows(text: str) -> Iterator[Cells]:
    r"""Rows of a `.tsv`, in which quotes are ordinary characters.

    A cell is unquoted only if it must come from a csv writer: it is quoted as a whole, every inner quote is doubled,
    and it contains a doubled quote, a tab or a newline.

    Example: the cell `"a" is good` keeps its quotes; `"the ""best"" one"` becomes `the "best" one`.
    """
    lines = text.split("\n")
    width = lines[0].count("\t") + 1
    closing = [index for index, line in enumerate(lines) if _CLOSING_QUOTE.search(line)]
    index = 0
    while index < len(lines):
        line = lines[index].removesuffix("\r")
        start, index = index, index + 1
        if '"' not in line:
            cells = line.split("\t")
        else:
            cells, joined = _quoted_cells(lines, start, width, closing)
            index += joined
        if any(cells):
            yield Cells(start + 1, index, cells)


def _quoted_cells(lines: list[str], start: int, width: int, closing: list[int]) -> tuple[list[str], int]:
    """Parses a row with quotes, which may continue on further lines.

    Args:
        lines: all lines of the file.
        start: the index of the row's first line.
        width: the number of cells of the first row.
        closing: the indices of lines that contain a closing quote.

    Returns:
        The cells, and the number of further lines.
    """
    line = lines[start].removesuffix("\r")
    raw = line.split("\t")
    if len(raw) > width:  # a tab inside quotes?
        cells = _parse_tsv(line)
        if cells is not None and len(cells) == width:
            return cells, 0
    if len(raw) <= width and raw[-1].startswith('"') and not _is_quoted(raw[-1]):  # a newline inside quotes?
        for joined in range(1, _last_joined(closing, start) + 1):
            following = lines[start + joined]
            if len(raw) == width and following.count("\t") + 1 >= width:  # two complete rows: an ordinary quote
                break
            line += "\n" + following.removesuffix("\r")
            cells = _parse_tsv(line) if _CLOSING_QUOTE.search(following) else None
            if cells is not None and len(cells) == width:
                return cells, joined
    return [_unquoted(cell) for cell in raw], 0


def _last_joined(closing: list[int], start: int) -> int:
    """How many lines after `start` to search for the end of a quote: up to the last line with a closing one.

    Without this limit a file full of stray quotes would take minutes.
    """
    position = bisect_right(closing, start + _MAX_JOINED_LINES)
    return max(0, closing[position - 1] - start) if position else 0


def _parse_tsv(line: str) -> list[str] | None:
    """The cells of a row whose quoted cells may contain tabs and newlines; None for a newline outside quotes."""
    cells, position = [], 0
    while True:
        match = _TSV_CELL.match(line, position)
        cell = match.group().removesuffix("\t")
        if "\n" in cell and not _is_quoted(cell):
            return None
        cells.append(_unquoted(cell))
        if not match.group().endswith("\t"):
            return cells
        position = match.end()


def _is_quoted(cell: str) -> bool:
    inner = cell[1:-1]
    return len(cell) > 1 and cell[0] == cell[-1] == '"' and '"' not in inner.replace('""', "")


def _unquoted(cell: str) -> str:
    if not _is_quoted(cell) or not any(mark in cell[1:-1] for mark in ('""', "\t", "\n", "\r")):
        return cell
    return cell[1:-1].replace('""', '"')
