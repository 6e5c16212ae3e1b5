"""Where the fields of a record stand in a table: is there a header, which column is which."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from textapp.errors import DataError, did_you_mean

# A number counted from 0; or names that may stand for a field, and behind them the number where a file has no header.
Columns = Mapping[str, int | list[str | int]]


class Placement(NamedTuple):
    """Field -> index of its cell, and whether the first row is a header."""

    indices: dict[str, int]
    has_header: bool


def normalised(name: str) -> str:
    """The form in which names of columns are compared."""
    return name.strip().casefold()


def find_columns(
    path: Path,
    rows: Sequence[Sequence[str]],
    columns: Columns,
    header: str | bool,
    required: Collection[str],
    known_labels: Collection[str] = (),
) -> Placement:
    """Finds the columns of a table.

    Args:
        path: named in errors.
        rows: all cells of the file, the first row too.
        columns: field -> number counted from 0, or names that may stand for it; behind the names perhaps the number
            that counts where the file has no header.
        header: `True`, `False`, or `auto`: told from the rows.
        required: the fields that must be there.
        known_labels: a first row with one of these is no header; empty where they are still to be found.

    Raises:
        DataError: a required column is missing, or nothing tells which column is which.

    Example: rows `[["label", "text_a"], ["1", "good"]]` with the default names give
    `Placement({"text": 1, "label": 0}, True)`.
    """
    first = rows[0]
    named = {field: names for field, names in columns.items() if not isinstance(names, int)}
    guessable = is_default(columns) and len(first) <= 2
    numbers = None if guessable and len(first) == 1 else _numbers(columns)  # one column is the text, not the second
    if header == "auto" and any(_position(first, names) is not None for names in named.values()):
        header = True
    elif header == "auto" and numbers is not None:
        header = not named and _looks_like_header(rows, columns, known_labels)
    elif header == "auto" and guessable:
        return _guessed_columns(path, rows, columns, required, known_labels)
    elif header == "auto":
        header = True  # names were given and none is there: the first row is taken for the header, and that is an error
    if not header and numbers is not None:
        columns = numbers
    elif not header and guessable:
        return Placement(_guessed_columns(path, rows, columns, required, known_labels).indices, False)
    elif not header:
        field, names = next(iter(named.items()))
        raise DataError(
            f"{path}: has no header, so the column {field} cannot be found by the name {names[0]!r};"
            f" expected numbers counted from 0, such as columns: {{text: 1, label: 0}}"
        )
    return Placement(_indices(path, first, columns, bool(header), required), bool(header))


def names_of(column: int | list[str | int]) -> list[str]:
    """The names that may stand for a field."""
    return [] if isinstance(column, int) else [name for name in column if isinstance(name, str)]


def _numbers(columns: Columns) -> dict[str, int] | None:
    """Where each field stands in a file without a header; None where that is not known of all of them."""
    lasts = {field: column if isinstance(column, int) else column[-1] for field, column in columns.items()}
    return lasts if all(isinstance(last, int) for last in lasts.values()) else None


def is_default(columns: Columns) -> bool:
    """Are these the names that a config has by itself?"""
    from textapp.config import NAMES  # here: reading by given columns does without the config

    known = next((names for names in NAMES.values() if set(names) == set(columns)), {})
    # What follows the names of a side of a translation is its language.
    return bool(known) and all(
        not isinstance(names, int) and tuple(names[: len(known[field])]) == known[field]
        for field, names in columns.items()
    )


def missing_column(path: Path, field: str, names: Sequence[str], found: Sequence[str]) -> DataError:
    """The error for a column that no name finds."""
    near = next(filter(None, (did_you_mean(normalised(name), map(normalised, found)) for name in names)), "")
    shown = ", ".join(repr(name.strip()[:40]) for name in list(found)[:12])
    expected = repr(names[0]) if len(names) == 1 else "one of " + ", ".join(names)
    return DataError(
        f"{path}: no column for {field}: found {shown}; expected {expected}{near}"
        f" (set columns: {{{field}: NAME}}, or numbers counted from 0 where the file has no header)"
    )


def _indices(
    path: Path, first: Sequence[str], columns: Columns, has_header: bool, required: Collection[str]
) -> dict[str, int]:
    indices = {}
    for field, column in columns.items():
        if isinstance(column, int):
            position = column if column < len(first) else None
            if position is None and field in required:
                raise DataError(
                    f"{path}: no column {column} for {field}: the first line has {len(first)} cells, counted from 0:"
                    f" set columns: {{{field}: N}}, N from 0 to {len(first) - 1}"
                )
        else:
            position = _position(first, column)
            if position is None and field in required:
                raise missing_column(path, field, names_of(column), first)
        if position is not None:
            indices[field] = position
    return indices


def _position(first: Sequence[str], column: list[str | int]) -> int | None:
    found = [normalised(cell) for cell in first]
    return next((found.index(normalised(name)) for name in names_of(column) if normalised(name) in found), None)


def _looks_like_header(rows: Sequence[Sequence[str]], columns: Columns, known_labels: Collection[str]) -> bool:
    """For columns by number: a first label that is a well-known name, or that stands alone while all others repeat."""
    from textapp.config import NAMES

    first = rows[0]
    for field, known in next((names for names in NAMES.values() if set(names) <= set(columns)), {}).items():
        column = columns.get(field)
        if isinstance(column, int) and column < len(first) and normalised(first[column]) in known:
            return True
    column = columns.get("label")
    return isinstance(column, int) and column < len(first) and _stands_alone(rows, column, known_labels)


def _stands_alone(rows: Sequence[Sequence[str]], column: int, known_labels: Collection[str]) -> bool:
    # In a small file the first label may well stand alone; in training data, where labels are found, hardly ever.
    if rows[0][column].strip() in known_labels:
        return False
    counts: dict[str, int] = {}
    for row in rows[1:]:
        if column < len(row):
            counts[row[column]] = counts.get(row[column], 0) + 1
    return bool(counts) and rows[0][column] not in counts and min(counts.values()) > 1


def _guessed_columns(
    path: Path,
    rows: Sequence[Sequence[str]],
    columns: Columns,
    required: Collection[str],
    known_labels: Collection[str],
) -> Placement:
    """One column is the text; of two, the label is the one with far fewer distinct values.

    Two columns of a translation are source and target, of generation prompt and text, in this order.
    """
    if "label" not in columns:
        return _guessed_in_order(path, rows, columns, required)
    if len(rows[0]) == 1:
        if "label" in required:
            raise missing_column(path, "label", ["label"], rows[0])
        return Placement({"text": 0}, False)
    distinct = [len({row[column] for row in rows if len(row) > column}) for column in (0, 1)]
    if max(distinct) >= 2 * min(distinct):
        label = distinct.index(min(distinct))
    elif "label" in required:
        raise DataError(
            f"{path}: cannot tell the label from the text: no header, and the two columns have {distinct[0]} and"
            f" {distinct[1]} distinct values; expected far fewer labels: set columns: {{text: 1, label: 0}}"
        )
    else:
        length = [sum(len(row[column]) for row in rows if len(row) > column) for column in (0, 1)]
        label = length.index(min(length))
    return Placement({"text": 1 - label, "label": label}, _stands_alone(rows, label, known_labels))


def _guessed_in_order(
    path: Path, rows: Sequence[Sequence[str]], columns: Columns, required: Collection[str]
) -> Placement:
    order = ["source", "target"] if "source" in columns else ["prompt", "text"]
    fields = order if len(rows[0]) == 2 else [field for field in order if field in ("source", "text")]
    if not set(required) <= set(fields):
        missing = next(field for field in order if field in required and field not in fields)
        raise missing_column(path, missing, columns[missing], rows[0])
    return Placement({field: index for index, field in enumerate(fields)}, False)
