"""Finds the columns of a table: whether it has a header, and which column holds which field."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from textapp.errors import DataError, did_you_mean, looks_like, plural, visible
from textapp.languages import named_language
from textapp.records.dialects import Expected, normalised
from textapp.records.tables import Tell

if TYPE_CHECKING:
    from textapp.records.layout import Columns, Layout

_COMPARED = 1000  # columns whose names are compared with the one that is missing
_COMPARED_LENGTH = 200  # characters of each


class Placement(NamedTuple):
    """Where the fields are.

    Attributes:
        indices: field -> index of its column.
        has_header: whether the first row is a header.
    """

    indices: dict[str, int]
    has_header: bool


def expected_of(layout: Layout, required: Collection[str]) -> Expected:
    """What a layout says of a table before it is read: the names and the number of its columns, and the labels."""
    names = frozenset(normalised(name) for column in layout.columns.values() for name in names_of(column))
    numbers = [layout.columns[field] for field in required if field in layout.columns]
    last = max((number for number in numbers if isinstance(number, int)), default=0)
    return Expected(names, frozenset(layout.labels), max(len(required), last + 1))


def find_columns(
    path: Path, rows: Sequence[Sequence[str]], layout: Layout, required: Collection[str], tell: Tell = str
) -> Placement:
    """Finds the columns of a table.

    With columns by number the first row is a header only if the layout says so. With names it is one if it has them,
    or if all the labels below it are known ones, or repeat, and it alone has another.

    Args:
        path: the path for error messages.
        rows: the cells of the first rows, including the very first.
        layout: the columns and the header as a config or a caller gives them.
        required: the fields that must be found.
        tell: is called with a sentence for each guess that a user has to know of.

    Raises:
        DataError: a required column is missing, or it cannot be decided which column is which.

    Example: rows `[["label", "text_a"], ["1", "good"]]` with the usual names give
    `Placement({"text": 1, "label": 0}, True)`.
    """
    placement = _placement(path, rows, layout, required, tell)
    if placement.has_header:
        named = {field: at for field, at in placement.indices.items() if not isinstance(layout.columns[field], int)}
        _check_equal_names(path, rows, named, required, tell)
    return placement


def _placement(
    path: Path, rows: Sequence[Sequence[str]], layout: Layout, required: Collection[str], tell: Tell
) -> Placement:
    columns, header = layout.columns, layout.header
    first = rows[0]
    named = {field: names for field, names in columns.items() if not isinstance(names, int)}
    if header is not False and (languages := _language_columns(path, first, layout)) is not None:
        tell(f"the first row ({' | '.join(cell.strip() for cell in first)}) is taken as the header")
        return Placement(languages, True)
    guessable = layout.usual_columns and len(first) <= 2
    # A single column is always the text.
    numbers = None if guessable and len(first) == 1 else _numbers(columns, required)
    if header == "auto" and not named:
        _check_no_header(path, rows, layout, required, tell)
        header = False
    elif header == "auto":
        header = _has_names(rows, layout, required, tell)
        if not header and numbers is None and guessable:
            return _guessed_columns(path, rows, layout, required, tell)
        header = header or numbers is None  # of a header without the given names `_indices` says what is missing
    if not header and numbers is not None:
        columns = numbers
        settled = layout.usual_columns and layout.settled and "label" in numbers and "label" not in required
        if settled and len(first) == 2 and _without_labels(rows, numbers["label"], layout):
            raise _undecided(path)
    elif not header and guessable:
        return _guessed_columns(path, rows, layout, required, str)._replace(has_header=False)
    elif not header:
        field, names = next(iter(named.items()))
        raise DataError(
            f"{path}: has no header, so the column for {field} cannot be found by the name {names[0]!r};"
            f" expected numbers counted from 0, such as columns: {{text: 1, label: 0}}"
        )
    return Placement(_indices(path, first, columns, bool(header), required), bool(header))


def _check_no_header(
    path: Path, rows: Sequence[Sequence[str]], layout: Layout, required: Collection[str], tell: Tell
) -> None:
    """For columns by number: a first row of nothing but usual names is no example, or a very odd one."""
    first = rows[0]
    numbers = {field: column for field, column in layout.columns.items() if isinstance(column, int)}
    cells = [first[column] for column in numbers.values() if column < len(first)]
    found = f"the first row ({' | '.join(cell.strip() for cell in first)})"
    if cells and all(any(_is_usual(layout, field, cell) for field in layout.usual) for cell in cells):
        found += " looks like a header, and the columns are given by number"
        named = {field: _position(first, list(names)) for field, names in layout.usual.items()}
        names = ",".join(f"{field}={first[place].strip()}" for field, place in named.items() if place is not None)
        if set(numbers) <= set(required):
            raise DataError(
                f"{path}: {found}: set header: true to leave it out, or header: false if it is an example"
                f" (of --data: --columns {names})"
            )
        tell(f"{found}: it is taken as an example; if it is a header: header: true, or --columns {names}")
    elif "label" in required and _first_is_no_label(rows, numbers["label"], layout.labels, True):
        tell(f"{found} has a label that no other row has: it is taken as an example; set header: true if it is none")


def _has_names(rows: Sequence[Sequence[str]], layout: Layout, required: Collection[str], tell: Tell) -> bool:
    """Whether the first row is a header because it has names of the columns; tells if that is a guess."""
    first = rows[0]
    places = {
        field: _position(first, names) for field, names in layout.columns.items() if not isinstance(names, int)
    }  # fmt: skip
    found = {field: place for field, place in places.items() if place is not None}
    if not found or any(not layout.has_usual_names(field) for field in found):
        return bool(found)  # nothing is guessed of a name that a user gave
    shown = f"the first row ({' | '.join(cell.strip() for cell in first)})"
    why_example = _why_example(rows, layout, required, found)
    if why_example:
        tell(f"{shown} is taken as an example: {why_example}")
        return False
    named = {*found, *_usually_named(first, layout)}
    missing = {field for field in required if field in places} - named
    if not missing and len(named) == 1 and (len(first) == 1 or not _complete(layout, named)):
        tell(f"{shown} is taken as the header")
    return True


def _why_example(
    rows: Sequence[Sequence[str]], layout: Layout, required: Collection[str], found: Mapping[str, int]
) -> str | None:
    """Why a first row is an example, although it has usual names of columns; None if it is a header."""
    first = rows[0]
    numbered = {field for field, column in layout.columns.items() if isinstance(column, int)}
    labels = {cell.strip() for place, cell in enumerate(first) if place not in found.values()}
    labels |= {first[found["label"]].strip()} if "label" in found else set()
    if labels & set(layout.labels):
        return "it has a label of the model"
    if _recur(rows, [found["label"]] if "label" in found else list(found.values())):
        return "other rows have the same"
    if numbered and numbered >= set(required) and not numbered <= _usually_named(first, layout):
        return "the columns are given by number"
    alone = len(first) == 1 and all(_is_usual(layout, field, first[0]) for field in found)
    if layout.settled and (alone or not (set(required) <= found.keys() or _complete(layout, found))):
        names = ",".join(f"{field}={first[place].strip()}" for field, place in found.items())
        return f"the training files have no such header (if it is one: --columns {names})"
    return None


def _language_columns(path: Path, first: Sequence[str], layout: Layout) -> dict[str, int] | None:
    """The columns of sentence pairs if the first row names their languages, and has no other name of both columns.

    Raises:
        DataError: it names two others than the run has.
    """
    names = {field: names_of(layout.columns.get(field, 0)) for field in ("source", "target")}
    if not all(names.values()) or all(_position(first, list(known)) is not None for known in names.values()):
        return None
    codes = [named_language(cell) for cell in first]
    wanted = {field: code for field, known in names.items() if (code := named_language(known[-1])) is not None}
    pair = len(codes) == 2 == len(set(codes)) and None not in codes
    if not wanted:
        return {"source": 0, "target": 1} if pair else None
    places = {field: codes.index(code) for field, code in wanted.items() if codes.count(code) == 1}
    if len(set(places.values())) == 2:
        return places
    if len(wanted) == 1 and places and pair:
        (place,) = places.values()
        return {field: place if field in places else 1 - place for field in names}
    if pair and all(len(cell.strip()) > 3 for cell in first):
        raise DataError(
            f"{path}: the first row names the languages {codes[0]} and {codes[1]} ({' | '.join(first)}), expected"
            f" {' and '.join(wanted.values())}: correct data.source_language and data.target_language, or set"
            f" header: false if it is a pair"
        )
    return None


def _usually_named(first: Sequence[str], layout: Layout) -> set[str]:
    """The fields with a column by number in which the first row has a usual name of the field."""
    return {
        field
        for field, column in layout.columns.items()
        if isinstance(column, int) and column < len(first) and _is_usual(layout, field, first[column])
    }


def _complete(layout: Layout, found: Collection[str]) -> bool:
    return set(found) >= {field for field in layout.columns if field not in layout.optional}


def _recur(rows: Sequence[Sequence[str]], places: Sequence[int]) -> bool:
    """Whether these cells of the first row occur in their columns again, in a row that is not the same header again."""
    first = rows[0]
    others = [row for row in rows[1:] if not repeats(row, first)]
    return all(any(_cell(row, place) == first[place] for row in others) for place in places)


def repeats(row: Sequence[str], header: Sequence[str]) -> bool:
    """Whether a row is the header again, cell by cell; the mark before it, of a file put behind another, is no text."""
    return (
        len(row) == len(header)
        and row[-1] == header[-1]
        and all(cell.removeprefix("\ufeff") == name for cell, name in zip(row, header, strict=True))
    )


def _is_usual(layout: Layout, field: str, name: str) -> bool:
    return normalised(name) in layout.usual.get(field, ())


def _check_equal_names(
    path: Path, rows: Sequence[Sequence[str]], fields: Mapping[str, int], required: Collection[str], tell: Tell
) -> None:
    """Of two columns with one name the first is taken, but not for a required field if their cells differ."""
    header = [normalised(cell) for cell in rows[0]]
    for field, place in fields.items():
        for other, name in enumerate(header):
            if name != header[place] or other == place:
                continue
            columns = f"the columns {place} and {other} are both named {rows[0][place].strip()!r}"
            differ = any(_cell(row, other) != _cell(row, place) for row in rows)
            if differ and field in required:
                raise DataError(
                    f"{path}: {columns}, and their cells differ: rename one, or set columns: {{{field}: {place}}}"
                    f" and header: true"
                )
            tell(f"{columns}: the first is taken")


def _cell(row: Sequence[str], column: int) -> str:
    return row[column] if column < len(row) else ""


def needs_names(layout: Layout, required: Collection[str]) -> bool:
    """Whether a table cannot be read without its header."""
    return bool(layout.header) and _numbers(layout.columns, required) is None


def names_of(column: int | list[str | int]) -> list[str]:
    """The names that the column of a field may have."""
    return [] if isinstance(column, int) else [name for name in column if isinstance(name, str)]


def _numbers(columns: Columns, required: Collection[str]) -> dict[str, int] | None:
    """The index of each field in a file without a header; None if that is not known for all that are required."""
    indices = {field: column if isinstance(column, int) else column[-1] for field, column in columns.items()}
    known = {field: index for field, index in indices.items() if isinstance(index, int)}
    return known if known and known.keys() >= set(required) else None


def missing_column(
    path: Path,
    field: str,
    names: Sequence[str],
    found: Sequence[str],
    numbers: bool = True,
    taken: Collection[str] = (),
) -> DataError:
    """The error for a field whose column is not found by any name.

    Args:
        path: the file.
        field: the field.
        names: the names that its column may have.
        found: the names of the columns in the file.
        numbers: whether a column may also be given by its number.
        taken: normalised names that other fields have, see `other_names`; none of them is meant.
    """
    free = [name for name in found if normalised(name) not in taken]
    compared = [name[:_COMPARED_LENGTH] for name in free[:_COMPARED]]
    near = next(filter(None, (looks_like(cell, names) for cell in compared)), "") or next(
        filter(None, (did_you_mean(name, compared, normalised) for name in names[:_COMPARED])), ""
    )
    shown = ", ".join(f"'{visible(name.strip()[:40])}'" for name in found[:12]) + (", ..." if len(found) > 12 else "")
    expected = repr(names[0]) if len(names) == 1 else "one of " + ", ".join(names)
    other = ", or numbers counted from 0 if the file has no header" if numbers else ""
    field, _, label = field.partition(":")  # as `column_field` names the column of a label
    what = f"the label '{visible(label)}'" if label else field
    return DataError(
        f"{path}: no column for {what}: found {shown}; expected {expected}{near}"
        f" (set columns: {{{field}: NAME}}, or --columns {field}=NAME{other})"
    )


def other_names(columns: Columns, field: str) -> frozenset[str]:
    """The names, normalised, that the columns of the fields other than `field` may have."""
    return frozenset(
        normalised(name) for other, column in columns.items() if other != field for name in names_of(column)
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
                    f"{path}: no column {column} for {field}: the first line has {plural(len(first), 'cell')};"
                    f" set columns: {{{field}: N}}, N from 0 to {len(first) - 1}"
                )
        else:
            position = _position(first, column)
            if position is None and field in required:
                raise missing_column(path, field, names_of(column), first, taken=other_names(columns, field))
        if position is not None:
            indices[field] = position
    return indices


def _position(first: Sequence[str], column: list[str | int]) -> int | None:
    header = [normalised(cell) for cell in first]
    return next((header.index(normalised(name)) for name in names_of(column) if normalised(name) in header), None)


def _first_is_no_label(rows: Sequence[Sequence[str]], column: int, known: Collection[str], training: bool) -> bool:
    """Whether the first row alone has no label: all others have known ones, or in training data some that repeat."""
    first = _cell(rows[0], column).strip()
    if first in known:
        return False
    # In a small file the first label may well occur only once; in training data that is very unlikely.
    counts = Counter(row[column].strip() for row in rows[1:] if column < len(row))
    repeat = training and first not in counts and min(counts.values(), default=0) > 1
    return bool(counts) and (repeat or counts.keys() <= set(known))


def _guessed_columns(
    path: Path, rows: Sequence[Sequence[str]], layout: Layout, required: Collection[str], tell: Tell
) -> Placement:
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
    labelled = [sum(_has_label(_cell(row, column), layout) for row in rows) for column in (0, 1)]
    if 2 * max(labelled) > len(rows) and labelled[0] != labelled[1]:
        label = labelled.index(max(labelled))
    elif layout.labels and "label" not in required:
        raise _undecided(path)
    elif max(distinct) >= 2 * min(distinct):
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
    labelled_first = _has_label(_cell(rows[0], label), layout)
    has_header = not labelled_first and _first_is_no_label(rows, label, layout.labels, "label" in required)
    if has_header:
        tell(f"the first row ({' | '.join(rows[0])}) is taken as the header")
    return Placement({"text": 1 - label, "label": label}, has_header)


def _undecided(path: Path) -> DataError:
    return DataError(
        f"{path}: cannot decide which column is the text: there is no header, and neither of the two columns has"
        f" labels of the model: give it, as with --columns text=0, or a first line with the names of the columns;"
        f' if each row is one text, put it in quotes (")'
    )


def _without_labels(rows: Sequence[Sequence[str]], column: int, layout: Layout) -> bool:
    """Whether cells of a column that should have labels have other things, and none has a label of the model."""
    cells = [cell for row in rows if (cell := _cell(row, column).strip())]
    return bool(cells and layout.labels) and not any(_has_label(cell, layout) for cell in cells)


def _has_label(cell: str, layout: Layout) -> bool:
    parts = cell.split(layout.label_separator) if layout.multiple and layout.label_separator else [cell]
    return any(part.strip() in layout.labels for part in parts)


def _guessed_in_order(
    path: Path, rows: Sequence[Sequence[str]], layout: Layout, required: Collection[str]
) -> Placement:
    order = sorted(layout.columns, key=lambda field: field not in layout.optional)  # the prompt, then the text
    fields = order[:2] if len(rows[0]) == 2 else [field for field in order if field not in layout.optional][:1]
    if not set(required) <= set(fields):
        missing = next(field for field in order if field in required and field not in fields)
        raise missing_column(path, missing, names_of(layout.columns[missing]), rows[0])
    return Placement({field: index for index, field in enumerate(fields)}, False)
