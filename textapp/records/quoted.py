"""Parses the lines of a `.csv` in one given dialect, and goes on after a row whose quoting is wrong."""

from __future__ import annotations

import csv
import itertools
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from textapp.errors import plural

ONE_COLUMN = "\ufdd0"  # the delimiter of a file of one column; a code point that no text contains
MAX_CELL = 2**25  # characters; after an unclosed quote no more than this is held in memory
_ESCAPED_QUOTE = "\ufdd1"  # stands for \" while csv.reader runs, which would drop other backslashes as well
_RUN = {quote: re.compile(rf"(\\+)({quote}|\r?\n)?") for quote in ('"', "'")}


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

    def size(self) -> int:
        """The number of characters."""
        return sum(map(len, self.cells))


Check = Callable[[Cells], "str | None"]


class Dialect(NamedTuple):
    """How the cells of a `.csv` are separated and quoted.

    Attributes:
        delimiter: between two cells.
        quote: around a cell; inside it two quotes stand for one.
        escapes: whether a backslash before a quote escapes it, as Spark and MySQL write it.
        escapes_itself: whether two backslashes stand for one, also where no quote follows.
        spaces: whether spaces after a delimiter belong to it, as in `"good", "pos"`.
    """

    delimiter: str = ","
    quote: str = '"'
    escapes: bool = False
    escapes_itself: bool = True
    spaces: bool = False


def parse_csv(
    lines: Iterable[str], dialect: Dialect, before: int = 0, cut: bool = False, check: Check | None = None
) -> Iterator[Cells]:
    """The rows of a `.csv`; blank lines are skipped.

    A row whose quoting is wrong is a row with a fault and one cell, its first line; the next row starts on the line
    after it, so that one stray quote does not swallow the rest of the file.

    Args:
        lines: with their line ends.
        dialect: of the file.
        before: the number of lines before these.
        cut: the lines may end within a row, which is then left out.
        check: says what is wrong with a row over several lines, if anything.

    Example: `a,"b ""c"" d"` has the cells `a` and `b "c" d`.
    """
    if not dialect.escapes:
        return _parse(iter(lines), dialect, before, cut, check)
    pattern, replace = _RUN[dialect.quote], _Unescape(dialect)
    unescaped = (pattern.sub(replace, line) if "\\" in line else line for line in lines)
    rows = _parse(unescaped, dialect, before, cut, check)
    return (row._replace(cells=[cell.replace(_ESCAPED_QUOTE, dialect.quote) for cell in row.cells]) for row in rows)


def _parse(lines: Iterator[str], dialect: Dialect, before: int, cut: bool, check: Check | None) -> Iterator[Cells]:
    csv.field_size_limit(MAX_CELL)
    again: deque[str] = deque()  # lines of a row at fault, but for its first
    while True:
        ahead, behind = itertools.tee(_chained(again, lines) if again else lines)
        reader = csv.reader(
            ahead,
            delimiter=dialect.delimiter,
            quotechar=dialect.quote,
            skipinitialspace=dialect.spaces,
            strict=True,
        )
        base = before
        try:
            for cells in reader:
                line, before = before + 1, base + reader.line_num
                first = next(behind)
                if line != before:
                    rest = list(itertools.islice(behind, before - line))
                    fault = check(Cells(line, before, cells)) if check else None
                    if fault is not None:
                        yield Cells(line, line, [first.rstrip("\r\n")], fault)
                        again.extendleft(reversed(rest))
                        before = line
                        break
                if cells:
                    yield Cells(line, before, cells)
            else:
                return
        except csv.Error as error:
            first, *rest = itertools.islice(behind, base + reader.line_num - before)
            if cut and "unexpected end" in str(error):
                return
            before += 1
            yield Cells(before, before, [first.rstrip("\r\n")], _fault(str(error), [first, *rest], dialect))
            again.extendleft(reversed(rest))


def _chained(again: deque[str], lines: Iterator[str]) -> Iterator[str]:
    # Not itertools.chain: after many faults one chain would hold the next, thousands deep.
    while again:
        yield again.popleft()
    yield from lines


def _fault(error: str, lines: list[str], dialect: Dialect) -> str:
    quote = "quote" if dialect.quote == '"' else "quote (')"
    if "unexpected end" in error:
        fault = f"a {quote} in this row is never closed: double every quote inside a quoted cell"
    elif "expected after" in error and len(lines) > 1:
        fault = (
            f"a {quote} in this row is closed {plural(len(lines) - 1, 'line')} below, where text follows it:"
            f" double every quote inside a quoted cell"
        )
    elif "expected after" in error and re.search(rf"{dialect.quote}[ \t]+({re.escape(dialect.delimiter)}|$)", lines[0]):
        fault = f"spaces follow a closing {quote}: remove them"
    elif "expected after" in error:
        fault = f"text follows a closing {quote}: double every quote inside a quoted cell"
    elif "field limit" in error:
        fault = f"a cell has more than {MAX_CELL:,} characters: is a quote in this row never closed?"
    else:
        fault = "a carriage return is inside a cell without quotes: put the cell in quotes, or remove it"
    return fault + (' (as "", not as \\")' if '\\"' in lines[0] and not dialect.escapes else "")


class _Unescape:
    """Replaces the backslashes of a match of `_RUN` by what they mean."""

    def __init__(self, dialect: Dialect) -> None:
        self.dialect = dialect

    def __call__(self, match: re.Match[str]) -> str:
        run, following = match.group(1), match.group(2) or ""
        pairs, single = divmod(len(run), 2)
        if following == self.dialect.quote:
            return "\\" * pairs + (_ESCAPED_QUOTE if single else following)
        if not self.dialect.escapes_itself:
            return run + following
        # MySQL writes a newline inside a cell as a backslash and the newline.
        return "\\" * (pairs + (single if not following else 0)) + following
