"""Guesses the dialect of a `.csv` from its first lines: the delimiter, the quotes, and how quotes are escaped."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from textapp.records.quoted import ONE_COLUMN, Cells, Dialect, parse_csv

DELIMITERS = (",", ";", "\t")
_MARK = "\ufdd2"  # put behind an opening quote, to see which cells are quoted
_LONG_ROW = 1000  # lines; a quote that is open for longer is taken as one that is never closed
_SEP_LINE = re.compile(r"""\ufeff?"?sep=(\\t|[^\w"'\r\n\\])"?[,;\t]*\s*""", re.IGNORECASE)
_AFTER_SPACES = re.compile(' +"')
_EVEN = 0.98  # the share of equally wide rows that shows a delimiter where nothing else does


class Expected(NamedTuple):
    """What is known of a table before it is read.

    Attributes:
        names: names that its columns may have, normalised.
        labels: of the model.
        columns: the least number of columns that are needed.
    """

    names: frozenset[str] = frozenset()
    labels: frozenset[str] = frozenset()
    columns: int = 1


ANY = Expected()


class Guess(NamedTuple):
    """What a file is taken for.

    Attributes:
        dialect: of the file.
        note: what a user has to know of the choice; None if there was none.
        cells: of the first rows without a fault.
    """

    dialect: Dialect
    note: str | None
    cells: Sequence[list[str]]


def normalised(name: str) -> str:
    """The form in which column names are compared."""
    return name.strip().casefold()


def sep_line(line: str) -> str | None:
    """The delimiter that a first line such as `sep=;` sets, as Excel reads it; None if the line is another one."""
    match = _SEP_LINE.fullmatch(line)
    return match and match.group(1).replace("\\t", "\t")


def guess_dialect(
    lines: Sequence[str], expected: Expected = ANY, delimiter: str | None = None, whole: bool = True
) -> Guess:
    r"""Guesses the dialect of a file.

    A delimiter is one of `,` `;` tab. If one column may be enough, it must split the rows evenly, and not only at the
    commas of prose, unless the first row has names of columns or the labels are known; else the file is one column.

    Args:
        lines: the first lines of the file, with their line ends.
        expected: what is known of the table.
        delimiter: if it is known.
        whole: whether these are all lines.

    Example: `a;b\n1;good, cheap\n` has the delimiter `;`, which splits both rows in two.
    """
    readings = [_best_quoting(lines, one, whole) for one in ([delimiter] if delimiter else _candidates(lines))]
    readings = [reading for reading in readings if reading.width > 1]
    if delimiter and readings:
        return Guess(readings[0].dialect, _quoting_note(readings[0].dialect), readings[0].cells)
    sure = [reading for reading in readings if _is_certain(reading, expected)]
    even = [reading for reading in readings if _is_even(reading)]
    if best := max(sure or even, key=_Reading.order, default=None):
        note = None if sure else f"rows are split at {best.dialect.delimiter!r}; if they are texts, quote them"
        return Guess(best.dialect, _quoting_note(best.dialect) or note, best.cells)
    one = _best_quoting(lines, ONE_COLUMN, whole)
    note = _quoting_note(one.dialect) or (_why_one_column(readings[0]) if readings else None)
    return Guess(one.dialect, note, one.cells)


class _Reading:
    """The first rows in one dialect."""

    def __init__(self, lines: Sequence[str], dialect: Dialect, whole: bool) -> None:
        self.dialect = dialect
        self.rows = list(parse_csv(lines, dialect, cut=not whole))
        if not whole and len(lines) - (self.rows[-1].last_line if self.rows else 0) > _LONG_ROW:
            self.rows = list(parse_csv(lines, dialect))
        good = [row for row in self.rows if row.fault is None]
        self.cells = [row.cells for row in good]
        self.widths = Counter(map(len, self.cells))
        self.width = len(self.cells[0]) if good else 0
        self.even = self.widths[self.width] / len(good) if good else 0.0
        self.swallowed = sum(map(self._swallows, good))

    def _swallows(self, row: Cells) -> bool:
        r"""Whether a row seems to go on after `\"` because the quote was taken for half of a doubled one."""
        if row.line == row.last_line or self.dialect.escapes:
            return False
        ending = re.compile(rf'\\"(\r?\n[^"]*)?{re.escape(self.dialect.delimiter)}')
        return any(map(ending.search, row.cells))

    def order(self) -> tuple[float, int]:
        """The larger, the more evenly are the rows split."""
        return self.even, self.width

    def ill(self) -> tuple[int, int, int]:
        """The larger, the less likely is the quoting."""
        usual = max(self.widths.values(), default=0)
        return len(self.rows) - len(self.cells), len(self.cells) - usual, self.swallowed


def _candidates(lines: Sequence[str]) -> list[str]:
    first = next((line for line in lines if not line.isspace()), "")
    return [one for one in DELIMITERS if one in first or first.count('"') % 2 or first.count("'") % 2]


def _best_quoting(lines: Sequence[str], delimiter: str, whole: bool) -> _Reading:
    """The reading in the dialect whose quoting fits best; the standard one unless another fits better."""
    best = _Reading(lines, Dialect(delimiter), whole)
    if any('\\"' in line for line in lines):
        escaped = _Reading(lines, Dialect(delimiter, '"', True, _backslashes_are_escaped(lines, '"')), whole)
        best = min(best, escaped, key=_Reading.ill)
    spaced_quote = re.compile(rf'{re.escape(delimiter)} +"')
    if any(map(spaced_quote.search, lines)):
        spaced = _Reading(lines, best.dialect._replace(spaces=True), whole)
        data = best.cells[1:] or best.cells  # a header may be without quotes
        quoted = [all(len(row) > at and _AFTER_SPACES.match(row[at]) for row in data) for at in range(1, best.width)]
        best = min(best, spaced, key=_Reading.ill) if not any(quoted) or any(spaced.ill()[:2]) else spaced
    opening = re.compile(rf"(^|{re.escape(delimiter)})'", re.MULTILINE)
    if any(map(opening.search, lines)):
        for escapes in (False, any("\\'" in line for line in lines)):
            single = Dialect(delimiter, "'", escapes, _backslashes_are_escaped(lines, "'"))
            if _quotes_a_column(lines, single, opening, best, whole):
                return _Reading(lines, single, whole)
    return best


def _backslashes_are_escaped(lines: Sequence[str], quote: str) -> bool:
    """Whether every backslash before anything but a quote is one of a pair."""
    lone = re.compile(rf"(?<!\\)(?:\\\\)*\\(?![\\{quote}\r\n])")
    return not any("\\" in line and lone.search(line) for line in lines)


def _quotes_a_column(
    lines: Sequence[str], dialect: Dialect, opening: re.Pattern[str], usual: _Reading, whole: bool
) -> bool:
    """Whether single quotes are quotes here, and not apostrophes.

    Without a fault they enclose all cells of a column (of a single row all its cells), or they alone split the rows
    evenly.
    """
    marked = _Reading([opening.sub(rf"\1'{_MARK}", line) for line in lines], dialect, whole)
    if any(marked.ill()[:2]) or not marked.cells:
        return False
    data = marked.cells[1:] or marked.cells
    quoted = [all(row[column].startswith(_MARK) for row in data) for column in range(marked.width)]
    if marked.width > 1 and (all(quoted) or any(usual.ill()[:2])):
        return True
    return any(quoted) and len(data) > 1


def _is_certain(reading: _Reading, expected: Expected) -> bool:
    """Whether a delimiter is one for other reasons than that it splits the rows evenly."""
    if expected.columns > 1:
        return True
    names = sum(normalised(cell) in expected.names for cell in reading.cells[0])
    if names > 1 or (names and reading.even >= 0.5):
        return True
    labels = Counter(
        column for row in reading.cells for column, cell in enumerate(row) if cell.strip() in expected.labels
    )
    return 2 * max(labels.values(), default=0) >= len(reading.cells)


def _is_even(reading: _Reading) -> bool:
    return len(reading.rows) > 1 and reading.even >= _EVEN and reading.widths[1] == 0 and not _is_prose(reading)


def _is_prose(reading: _Reading) -> bool:
    """Whether every delimiter is followed by a space, or inside a number, as in a text, and nothing is quoted."""
    delimiter = reading.dialect.delimiter
    inside = reading.dialect.spaces or all(
        right[:1] == " " or (left[-1:].isdigit() and right[:3].isdigit())
        for row in reading.cells
        for left, right in itertools.pairwise(row)
    )
    quoted = any(delimiter in cell or "\n" in cell for row in reading.cells for cell in row)
    return delimiter != "\t" and inside and not quoted


def _why_one_column(reading: _Reading) -> str:
    delimiter = reading.dialect.delimiter
    odd = next((row for row in reading.rows if len(row.cells) != reading.width), None)
    why = (
        "it may be that of a text"
        if odd is None
        else f"line {reading.rows[0].line} has {reading.width} cells, line {odd.line} {len(odd.cells)}"
    )
    return (
        f"read as one column, not split at {delimiter!r} ({why}): name the columns in the first line if it has several"
    )


def _quoting_note(dialect: Dialect) -> str | None:
    if dialect.quote == "'":
        return "cells are quoted by '"
    if dialect.spaces:
        return 'quotes after a delimiter and a space (, ") are those of a cell: they are left out, with the space'
    return 'quotes inside a cell are escaped by a backslash (\\")' if dialect.escapes else None
