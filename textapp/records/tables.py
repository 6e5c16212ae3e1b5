"""Reads the lines of `.csv` and `.tsv` files as rows of cells, each with the line where it starts, in flat memory."""

from __future__ import annotations

import itertools
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from textapp.records.dialects import ANY, Expected, Guess, guess_dialect, sep_line
from textapp.records.quoted import ONE_COLUMN, Cells, parse_csv

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
    guess = guess_dialect(head[before:], expected, delimiter, whole)
    if before:
        next(lines)
    return _told(parse_csv(lines, guess.dialect, before), guess, tell)


def _told(rows: Iterator[Cells], guess: Guess, tell: Tell) -> Iterator[Cells]:
    if guess.note:
        tell(guess.note)
    if guess.dialect.delimiter != ONE_COLUMN:
        yield from rows
        return
    blank, first, last_line = 0, 0, 0
    for row in rows:
        if last_line and row.line > last_line + 1:
            blank += row.line - last_line - 1
            first = first or last_line + 1
        last_line = row.last_line
        yield row if len(row.cells) == 1 else row._replace(cells=[ONE_COLUMN.join(row.cells)])
    if blank:
        tell(f'blank lines are no rows: left out {blank}, the first is line {first}; an empty text is written as ""')


def tsv_rows(lines: Iterable[str], expected: Expected = ANY, tell: Tell = str) -> Iterator[Cells]:
    r"""Rows of a `.tsv`, in which quotes are ordinary characters.

    A cell is unquoted only if it must come from a csv writer: it is quoted as a whole, every inner quote is doubled,
    and it contains a doubled quote, a tab or a newline, or nothing at all.

    Args:
        lines, expected, tell: as for `table_rows`.

    Example: the cell `"a" is good` keeps its quotes; `"the ""best"" one"` becomes `the "best" one`.
    """
    lines = iter(lines)
    first = next(lines, "")
    delimiter = sep_line(first)
    if delimiter is None:
        return _tsv(itertools.chain([first], lines), 0)
    if delimiter != "\t":
        return csv_rows(itertools.chain([first], lines), expected, tell)
    return _tsv(lines, 1)


def _tsv(lines: Iterator[str], before: int) -> Iterator[Cells]:
    ahead = _Ahead(lines)
    width = 0
    for line in ahead:
        start, before = before, before + 1
        line = line.removesuffix("\n").removesuffix("\r")
        width = width or line.count("\t") + 1
        if '"' not in line:
            cells = line.split("\t")
        else:
            cells, joined = _quoted_cells(line, ahead, width)
            before += joined
        if line:
            yield Cells(start + 1, before, cells)


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


def _quoted_cells(line: str, ahead: _Ahead, width: int) -> tuple[list[str], int]:
    """Parses a row with quotes, which may continue on further lines; these are taken.

    Args:
        line: the row's first line.
        ahead: the lines after it.
        width: the number of cells of the first row.

    Returns:
        The cells, and the number of further lines.
    """
    raw = line.split("\t")
    if len(raw) > width:  # a tab inside quotes?
        cells = _parse_tsv(line)
        if cells is not None and len(cells) == width:
            return cells, 0
    if len(raw) <= width and raw[-1].startswith('"') and not _is_quoted(raw[-1]):  # a newline inside quotes?
        for joined in range(1, ahead.last_closing() + 1):
            following = ahead.lines[joined - 1].removesuffix("\n").removesuffix("\r")
            if len(raw) == width and following.count("\t") + 1 >= width:  # two complete rows: an ordinary quote
                break
            line += "\n" + following
            cells = _parse_tsv(line) if _CLOSING_QUOTE.search(following) else None
            if cells is not None and len(cells) == width:
                for _ in range(joined):
                    ahead.take()
                return cells, joined
    return [_unquoted(cell) for cell in raw], 0


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
    if not _is_quoted(cell) or (cell != '""' and not any(mark in cell[1:-1] for mark in ('""', "\t", "\n", "\r"))):
        return cell
    return cell[1:-1].replace('""', '"')
