"""Finds rows of a `.csv` that a stray quote has swallowed: they are lines of a cell, and look like rows themselves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from textapp.records.quoted import Cells

_FEW = 0.5  # the most distinct values, as a share of the rows, of a column that is like one of labels
_MOST = 0.8  # share of the lines of a cell that look like rows
_MANY = 3  # lines; fewer may well look like rows
_MEND = "remove the quote that opens in this line, or double it inside a quoted cell"


class Swallowed:
    """Says of a row over several lines whether it has swallowed others.

    That is certain if its lines have values of a column whose values repeat, such as labels, in their places, and
    likely if they are split as rows are: then it is told once.

    Args:
        rows: the cells of the first rows.
        delimiter: of the file.
        tell: is called with the sentence about the first row for which it is likely.
    """

    def __init__(self, rows: Sequence[list[str]], delimiter: str, tell: Callable[[str], object]) -> None:
        self._delimiter, self._tell = delimiter, tell
        self._width = Counter(map(len, rows)).most_common(1)[0][0] if rows else 0
        whole = [row for row in rows if len(row) == self._width]
        self._repeated = [_repeated([row[column] for row in whole]) for column in range(self._width)]
        self._told = False

    def __call__(self, row: Cells) -> str | None:
        """The fault of a row over several lines; None if it may be one row."""
        at = next((column for column, cell in enumerate(row.cells) if "\n" in cell), None)
        if at is None or self._width < 2:
            return None
        first, *lines = row.cells[at].replace("\r\n", "\n").split("\n")
        if at < len(row.cells) - 1:
            lines.pop()  # goes on behind the quote
        beginning = first.split(self._delimiter)
        split = [line.split(self._delimiter) for line in lines]
        rows = [cells for cells in split if len(cells) == self._width]
        if at + len(beginning) != self._width or len(rows) < _MOST * len(split):
            return None
        seems = f"the cell that begins here goes on to line {row.last_line}, and its lines look like rows: {_MEND}"
        columns = {column: [cells[column] for cells in rows] for column in range(self._width) if column != at}
        for column in range(at + 1, self._width):
            columns[column].append(beginning[column - at])
        if any(values and self._repeated[column].issuperset(values) for column, values in columns.items()):
            return seems
        spaced = any(cell.startswith(" ") or not cell for cells in rows for cell in cells)
        if len(rows) >= _MANY and not spaced and not self._told:
            self._told = True
            self._tell(f"line {row.line}: {seems}")
        return None


def _repeated(values: Sequence[str]) -> frozenset[str]:
    """The values that occur several times in a column of few distinct ones."""
    counts = Counter(values)
    if len(counts) > _FEW * len(values):
        return frozenset()
    return frozenset(value for value, count in counts.items() if count > 1 and value.strip())
