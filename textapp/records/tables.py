"""Reads the lines of `.csv` and `.tsv` files as rows of cells, each with the line where it starts, in flat memory."""

from __future__ import annotations

import itertools
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from textapp.records.dialects import ANY, Expected, guess_dialect, normalised, sep_line
from textapp.records.quoted import ONE_COLUMN, Cells, parse_csv
from textapp.records.swallowed import Swallowed

PEEKED_ROWS = 20_000
PEEKED_CHARACTERS = 2**24
_MAX_JOINED_LINES = 1000
_CLOSING_QUOTE = re.compile(r'"(?=\t|\r?\n?$)')
_TSV_CELL = re.compile(r'(?:"(?:[^"]|"")*"|[^\t]*)(?:\t|\Z)')

Item = TypeVar("Item")
Tell = Callable[[str], None]  # takes what a user has to know of how a file is read


def peek(items: Iterable[Item], size: Callable[[Item], int]) -> tuple[list[Item], Iterator[Item]]:
    """The first items, at most `PEEKED_ROWS` of about `PEEKED_CHARACTERS`, and all items, including these.

    Args:
        items: lines or rows.
        size: the number of characters of one.
    """
    items = iter(items)
    head: list[Item] = []
    left = PEEKED_CHARACTERS
    while left > 0 and len(head) < PEEKED_ROWS:
        item = next(items, None)
        if item is None:
            break
        head.append(item)
        left -= size(item)
    return head, itertools.chain(head, items)


def table_rows(lines: Iterable[str], kind: str, expected: Expected = ANY, tell: Tell = str) -> Iterator[Cells]:
    """Rows of a table.

    Args:
        lines: with their line ends, `\\n` or `\\r\\n`.
        kind: `.csv` or `.tsv`.
        expected: what is known of the table.
        tell: is called with a sentence for each thing that a user has to know of how the file is read.
    """
    return csv_rows(lines, expected, tell) if kind == ".csv" else tsv_rows(lines, expected, tell)


def csv_rows(lines: Iterable[str], expected: Expected = ANY, tell: Tell = str) -> Iterator[Cells]:
    """Rows of a `.csv`, whose dialect is that of a first line such as `sep=;`, or guessed by `guess_dialect`.

    Blank lines are no rows; a line `""` is one with an empty cell. A row at fault has the first line as its cell.

    Args:
        lines, expected, tell: as for `table_rows`.
    """
    head, lines = peek(lines, len)
    delimiter = sep_line(head[0]) if head else None
    before = int(delimiter is not None)
    whole = len(head) < PEEKED_ROWS and sum(map(len, head)) < PEEKED_CHARACTERS
    dialect, note, seen = guess_dialect(head[before:], expected, delimiter, whole)
    if before:
        next(lines)
    if dialect.delimiter == ONE_COLUMN:
        rows = (
            row if len(row.cells) == 1 else row._replace(cells=[ONE_COLUMN.join(row.cells)])
            for row in parse_csv(lines, dialect, before)
        )
    else:
        rows = parse_csv(lines, dialect, before, check=Swallowed(seen, dialect.delimiter, tell))
    return _told(rows, note, before, tell)


def _told(rows: Iterator[Cells], note: str | None, before: int, tell: Tell) -> Iterator[Cells]:
    """The rows; tells the note, and how many blank lines are left out if the rows have one cell."""
    if note:
        tell(note)
    row = next(rows, None)
    if row is None:
        return
    yield row
    if len(row.cells) > 1:
        yield from rows
        return
    blank, first, last_line = row.line - before - 1, before + 1, row.last_line
    for row in rows:
        if row.line > last_line + 1:
            first = first if blank else last_line + 1
            blank += row.line - last_line - 1
        last_line = row.last_line
        yield row
    if blank:
        tell(f'blank lines are no rows: left out {blank}, the first is line {first}; an empty text is written as ""')


def tsv_rows(lines: Iterable[str], expected: Expected = ANY, tell: Tell = str) -> Iterator[Cells]:
    r"""Rows of a `.tsv`, in which quotes are ordinary characters.

    A cell is unquoted only if it must come from a csv writer: it is quoted as a whole, every inner quote is doubled,
    and it contains a doubled quote, a tab or a newline, or nothing at all; or if every cell of its column is quoted,
    as R writes them. In a file of one column blank lines are no rows.

    Args:
        lines, expected, tell: as for `table_rows`.

    Example: the cell `"a" is good` keeps its quotes; `"the ""best"" one"` becomes `the "best" one`.
    """
    head, lines = peek(lines, len)
    delimiter = sep_line(head[0]) if head else None
    if delimiter not in (None, "\t"):
        return csv_rows(lines, expected, tell)
    before = int(delimiter is not None)
    if before:
        next(lines)
    header, quoted = _all_quoted(head[before:], expected)
    note = None
    if quoted:
        columns = ", ".join(map(str, sorted(quoted)))
        note = f"every cell of column {columns} is quoted: the quotes are left out"
    return _told(_tsv(lines, before, header, quoted), note, before, tell)


def _tsv(lines: Iterator[str], before: int, header: frozenset[int], quoted: frozenset[int]) -> Iterator[Cells]:
    """The rows.

    Args:
        lines: of the file.
        before: the number of lines before these.
        header: the columns with quotes to leave out in the first row.
        quoted: those in the other rows.
    """
    ahead = _Ahead(lines)
    width = 0
    for line in ahead:
        start, before = before, before + 1
        line = line.removesuffix("\n").removesuffix("\r")
        if not line:
            continue
        if '"' not in line:
            cells = line.split("\t")
            width = width or len(cells)
        else:
            cells, joined = _quoted_cells(line, ahead, width or line.count("\t") + 1, quoted if width else header)
            width = width or line.count("\t") + 1
            before += joined
        yield Cells(start + 1, before, cells)


def _all_quoted(lines: Sequence[str], expected: Expected) -> tuple[frozenset[int], frozenset[int]]:
    """The columns whose cells are all quoted: in the first row, and in the others.

    A single row below the first is not enough, unless the first is quoted as a whole.
    """
    filled = (line.removesuffix("\n").removesuffix("\r") for line in lines)
    rows = (line.split("\t") for line in filled if line)
    first = next(rows, [""])
    columns, count = set(range(len(first))), 0
    for row in rows:
        # Of a cell over several lines, or with a tab, there is only a part.
        if len(row) != len(first) or any(cell == '"' or (cell[:1] == '"') != (cell[-1:] == '"') for cell in row):
            continue
        columns = {column for column in columns if _is_wrapped(row[column])}
        count += 1
        if not columns:
            break
    whole = all(map(_is_wrapped, first))
    quoted = frozenset(columns) if count > 1 or (count and whole) else frozenset()
    named = any(normalised(cell[1:-1]) in expected.names for cell in first)
    return frozenset(range(len(first))) if whole and (quoted or named) else quoted, quoted


class _Ahead:
    """Lines of which the next `_MAX_JOINED_LINES` can be seen before they are taken.

    Attributes:
        lines: those that were seen and not taken.
    """

    def __init__(self, lines: Iterator[str]) -> None:
        self.lines: deque[str] = deque()
        self._source = lines
        self._characters = 0
        self._taken = 0
        self._closing: deque[int] = deque()  # numbers of seen lines with a closing quote

    def __iter__(self) -> Iterator[str]:
        while True:
            if self.lines:
                yield self.take()
            else:
                line = next(self._source, None)
                if line is None:
                    return
                self._taken += 1
                yield line

    def take(self) -> str:
        """Takes a line that was seen."""
        line = self.lines.popleft()
        self._taken += 1
        self._characters -= len(line)
        return line

    def last_closing(self) -> int:
        """How many lines ahead is the last with a closing quote.

        Without this limit a file full of stray quotes would take minutes.
        """
        while len(self.lines) < _MAX_JOINED_LINES and self._characters < PEEKED_CHARACTERS:
            line = next(self._source, None)
            if line is None:
                break
            self.lines.append(line)
            self._characters += len(line)
            if _CLOSING_QUOTE.search(line):
                self._closing.append(self._taken + len(self.lines))
        return max(0, self._closing[-1] - self._taken) if self._closing else 0


def _quoted_cells(line: str, ahead: _Ahead, width: int, quoted: frozenset[int]) -> tuple[list[str], int]:
    """Parses a row with quotes, which may continue on further lines; these are taken.

    Args:
        line: the row's first line.
        ahead: the lines after it.
        width: the number of cells of the first row.
        quoted: the columns whose every cell is quoted.

    Returns:
        The cells, and the number of further lines.
    """
    raw = line.split("\t")
    if len(raw) > width:  # a tab inside quotes?
        cells = _parse_tsv(line, quoted)
        if cells is not None and len(cells) == width:
            return cells, 0
    if len(raw) <= width and raw[-1].startswith('"') and not _is_quoted(raw[-1]):  # a newline inside quotes?
        for joined in range(1, ahead.last_closing() + 1):
            following = ahead.lines[joined - 1].removesuffix("\n").removesuffix("\r")
            if len(raw) == width and following.count("\t") + 1 >= width:  # two complete rows: an ordinary quote
                break
            line += "\n" + following
            cells = _parse_tsv(line, quoted) if _CLOSING_QUOTE.search(following) else None
            if cells is not None and len(cells) == width:
                for _ in range(joined):
                    ahead.take()
                return cells, joined
    return [_unquoted(cell, column in quoted) for column, cell in enumerate(raw)], 0


def _parse_tsv(line: str, quoted: frozenset[int]) -> list[str] | None:
    """The cells of a row whose quoted cells may contain tabs and newlines; None for a newline outside quotes."""
    cells, position = [], 0
    while True:
        match = _TSV_CELL.match(line, position)
        cell = match.group().removesuffix("\t")
        if "\n" in cell and not _is_quoted(cell):
            return None
        cells.append(_unquoted(cell, len(cells) in quoted))
        if not match.group().endswith("\t"):
            return cells
        position = match.end()


def _is_quoted(cell: str) -> bool:
    inner = cell[1:-1]
    return len(cell) > 1 and cell[0] == cell[-1] == '"' and '"' not in inner.replace('""', "")


def _is_wrapped(cell: str) -> bool:
    r"""Whether a cell is quoted as a whole, its inner quotes being doubled, or escaped as R escapes them: `\"`."""
    return len(cell) > 1 and cell[0] == cell[-1] == '"' and '"' not in re.sub(r'""|\\"', "", cell[1:-1])


def _unquoted(cell: str, always: bool) -> str:
    if always and _is_wrapped(cell):
        return re.sub(r'""|\\"', '"', cell[1:-1])
    if not _is_quoted(cell) or (cell != '""' and not any(mark in cell[1:-1] for mark in ('""', "\t", "\n", "\r"))):
        return cell
    return cell[1:-1].replace('""', '"')
