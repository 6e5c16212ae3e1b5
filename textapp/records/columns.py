"""Finds the columns of a table: whether it has a header, and which column holds which field."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from textapp.errors import DataError, did_you_mean, looks_like, visible

if TYPE_CHECKING:
    from textapp.records.layout import Columns, Layout

_COMPARED = 1000  # columns whose names are compared with the one that is missing


class Placement(NamedTuple):
    """Where the fields are.

    Attributes:
        indices: field -> index of its column.
        has_header: whether the first row is a header.
    """

    indices: dict[str, int]
    has_header: bool


def normalised(name: str) -> str:
    """The form in which column names are compared."""
    return name.strip().casefold()


def find_columns(path: Path, rows: Sequence[Sequence[str]], layout: Layout, required: Collection[str]) -> Placement:
    """Finds the columns of a table.

    Args:
        path: the path for error messages.
        rows: the cells of all rows, including the first.
        layout: the columns and the header as a config or a caller gives them.
        required: the fields that must be found.

    Raises:
        DataError: a required column is missing, or it cannot be decided which column is which.

    Example: rows `[["label", "text_a"], ["1", "good"]]` with the usual names give
    `Placement({"text": 1, "label": 0}, True)`.
    """
    columns, header = layout.columns, layout.header
    first = rows[0]
    named = {field: names for field, names in columns.items() if not isinstance(names, int)}
    guessable = layout.usual_columns and len(first) <= 2
    numbers = None if guessable and len(first) == 1 else _numbers(columns)  # a single column is always the text
    if header == "auto" and any(_position(first, names) is not None for names in named.values()):
        header = True
    elif header == "auto" and numbers is not None:
        header = not named and _looks_like_header(rows, layout)
    elif header == "auto" and guessable:
        return _guessed_columns(path, rows, layout, required)
    elif header == "auto":
        header = True  # no given name is found, so the first row counts as a header, and `_indices` raises an error
    if not header and numbers is not None:
        columns = numbers
    elif not header and guessable:
        return Placement(_guessed_columns(path, rows, layout, required).indices, False)
    elif not header:
        field, names = next(iter(named.items()))
        raise DataError(
            f"{path}: has no header, so the column for {field} cannot be found by the name {names[0]!r};"
            f" expected numbers counted from 0, such as columns: {{text: 1, label: 0}}"
        )
    return Placement(_indices(path, first, columns, bool(header), required), bool(header))


def names_of(column: int | list[str | int]) -> list[str]:
    """The names that the column of a field may have."""
    return [] if isinstance(column, int) else [name for name in column if isinstance(name, str)]


def _numbers(columns: Columns) -> dict[str, int] | None:
    """The index of each field in a file without a header; None if that is not known for all of them."""
    indices = {field: column if isinstance(column, int) else column[-1] for field, column in columns.items()}
    return indices if all(isinstance(index, int) for index in indices.values()) else None


def missing_column(path: Path, field: str, names: Sequence[str], found: Sequence[str]) -> DataError:
    """The error for a field whose column is not found by any name.

    Args:
        path: the file.
        field: the field.
        names: the names that its column may have.
        found: the names of the columns in the file.
    """
    near = next(filter(None, (looks_like(cell, names) for cell in list(found)[:_COMPARED])), "") or next(
        filter(None, (did_you_mean(normalised(name), map(normalised, found)) for name in names)), ""
    )
    shown = ", ".join(f"'{visible(name.strip()[:40])}'" for name in list(found)[:12])
    expected = repr(names[0]) if len(names) == 1 else "one of " + ", ".join(names)
    return DataError(
        f"{path}: no column for {field}: found {shown}; expected {expected}{near}"
        f" (set columns: {{{field.partition(':')[0]}: NAME}}, or numbers counted from 0 if the file has no header)"
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
                    f"{path}: no column {column} for {field}: the first line has {len(first)} cells;"
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
    header = [normalised(cell) for cell in first]
    return next((header.index(normalised(name)) for name in names_of(column) if normalised(name) in header), None)


def _looks_like_header(rows: Sequence[Sequence[str]], layout: Layout) -> bool:
    """For columns by number: a cell is a usual name of its column, or a label is unique while all others repeat."""
    first, columns = rows[0], layout.columns
    for field, names in layout.usual.items() if set(layout.usual) <= set(columns) else ():
        column = columns.get(field)
        if isinstance(column, int) and column < len(first) and normalised(first[column]) in names:
            return True
    column = columns.get("label")
    return isinstance(column, int) and column < len(first) and _first_is_unique(rows, column, layout.labels)


def _first_is_unique(rows: Sequence[Sequence[str]], column: int, known_labels: Collection[str]) -> bool:
    # In a small file the first label may well occur only once; in training data that is very unlikely.
    if rows[0][column].strip() in known_labels:
        return False
    counts: dict[str, int] = {}
    for row in rows[1:]:
        if column < len(row):
            counts[row[column]] = counts.get(row[column], 0) + 1
    return bool(counts) and rows[0][column] not in counts and min(counts.values()) > 1


def _guessed_columns(path: Path, rows: Sequence[Sequence[str]], layout: Layout, required: Collection[str]) -> Placement:
    """Takes a single column as the text; of two, the one with far fewer distinct values as the label.

    Two columns are source and target for translation, prompt and text for generation, in this order.
    """
    if "label" not in layout.columns:
        return _guessed_in_order(path, rows, layout, required)
    if len(rows[0]) == 1:
        if "label" in required:
            raise missing_column(path, "label", ["label"], rows[0])
        return Placement({"text": 0}, False)
    distinct = [len({row[column] for row in rows if len(row) > column}) for column in (0, 1)]
    if max(distinct) >= 2 * min(distinct):
        label = distinct.index(min(distinct))
    elif "label" in required:
        raise DataError(
            f"{path}: cannot decide which column is the label: there is no header, and the two columns have"
            f" {distinct[0]} and {distinct[1]} distinct values; expected far fewer labels than texts:"
            f" set columns: {{text: 1, label: 0}}"
        )
    else:
        characters = [sum(len(row[column]) for row in rows if len(row) > column) for column in (0, 1)]
        label = characters.index(min(characters))
    return Placement({"text": 1 - label, "label": label}, _first_is_unique(rows, label, layout.labels))


def _guessed_in_order(
    path: Path, rows: Sequence[Sequence[str]], layout: Layout, required: Collection[str]
) -> Placement:
    order = sorted(layout.columns, key=lambda field: field not in layout.optional)  # the prompt, then the text
    fields = order[:2] if len(rows[0]) == 2 else [field for field in order if field not in layout.optional][:1]
    if not set(required) <= set(fields):
        missing = next(field for field in order if field in required and field not in fields)
        raise missing_column(path, missing, names_of(layout.columns[missing]), rows[0])
    return Placement({field: index for index, field in enumerate(fields)}, False)
