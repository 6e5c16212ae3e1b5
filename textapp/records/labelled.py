"""Texts with their labels, for classification. Checks each row; the labels may be known or not."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

from textapp.errors import DataError, did_you_mean, looks_like, plural, visible
from textapp.records.files import expand, kind_of
from textapp.records.label_cells import broken_list, divided, divider_of, flag, is_vector, listed
from textapp.records.label_columns import column_field, with_label_columns
from textapp.records.layout import Layout
from textapp.records.readers import read_rows, scan_rows
from textapp.records.rows import Row, RowError
from textapp.records.sources import describe

_logger = logging.getLogger("textapp")
TEXTS = ("text", "text_pair")
MANY_LINES = 10  # fewer may well have a label each
MOSTLY = 0.8  # share of lines with a label of their own that labels do not have
MANY_GLUED = 3  # labels that begin with another; fewer may well be labels
GLUED = 0.02  # share of lines with such a label that labels do not have
_SHOWN_LABELS = 20
_KNOWN_CELLS = 10_000
_MISSING = frozenset(("na", "n/a", "#n/a", "nan", "none", "null", "nil", "<na>", "\\n", "missing"))
_SHOWN_LENGTH = 60  # characters of a label in a message


def label_names(records: Iterable[Mapping[str, Any]]) -> list[str]:
    """All labels of the records, sorted: first numbers by value, then other labels."""
    return sorted_labels({label for record in records for label in _as_list(record["label"])})


def sorted_labels(labels: Iterable[str]) -> list[str]:
    """Labels in the order of a model: first numbers by value, then other labels."""
    return sorted(labels, key=lambda label: (0, int(label), label) if _is_integer(label) else (1, 0, label))


def _is_integer(label: str) -> bool:
    digits = label.removeprefix("-")
    return digits.isascii() and digits.isdigit()


def _as_list(label: str | list[str]) -> list[str]:
    return [label] if isinstance(label, str) else label


def with_text(records: list[dict], source: str | list[str]) -> list[dict]:
    """Drops the records without text, and warns how many these are."""
    filled = [record for record in records if record["text"].strip()]
    if len(filled) < len(records):
        dropped = len(records) - len(filled)
        _logger.warning("%s: dropped %d of %d training examples: their text is empty", source, dropped, len(records))
    return filled


def check_classes(train: list[dict], source: str | list[str], layout: Layout) -> None:
    """Checks that the training examples have enough labels to train on.

    Args:
        train: the training examples.
        source: the files they come from, for the error message.
        layout: whether a text may have several labels.

    Raises:
        DataError: there are fewer than two labels, or no label where a text may have several.
    """
    check_labels(label_names(train), len(train), source, layout)


def check_labels(labels: Sequence[str], examples: int, source: str | list[str], layout: Layout) -> None:
    """As `check_classes`, by the labels alone.

    Args:
        labels: of the training examples.
        examples: number of training examples.
        source: the files they come from, for the error message.
        layout: whether a text may have several labels.

    Raises:
        DataError: there are fewer than two labels, or no label where a text may have several.
    """
    min_labels = 1 if layout.multiple else 2
    if len(labels) < min_labels:
        found = f"only the label '{_shown(labels[0])}'" if labels else "no label"
        raise DataError(
            f"{describe(source)}: found {found} in {examples} training examples; expected at least {min_labels}:"
            f" check data.columns.label, or add examples of another label"
        )
    if empty := [name for name in layout.label_columns if name not in labels]:
        _logger.warning(
            "%s: no training example has a 1 in the column %s: the model never answers it",
            describe(source), ", ".join(f"'{visible(name)}'" for name in empty),
        )  # fmt: skip


def scan_texts(source: str | Path | list[str], layout: Layout, data_dir: Path) -> Iterator[tuple[int, dict | RowError]]:
    """Yields `(line, record)` for each text to classify, in order, while it reads; labels are left out.

    Args:
        source: the files; a `.txt` has one text per line.
        layout: the columns and labels of their rows.
        data_dir: the folder that relative paths start at.
    """
    layout = with_label_columns(layout)
    required = [field for field in layout.columns if field in TEXTS]
    for path in expand(source, Path(data_dir)):
        for row in scan_rows(path, layout, required):
            yield row.line, row if isinstance(row, RowError) else _texts(row)


def load_labelled(source: str | Path | list[str], layout: Layout, data_dir: Path) -> list[dict]:
    """Loads the texts of one source with their labels.

    Args:
        source: the files.
        layout: the columns of their rows, whether a text may have several labels, and which labels may occur.
        data_dir: the folder that relative paths start at.

    Raises:
        DataError: a column is missing, a row cannot be read, or a label is empty or not known.
    """
    return [record for block in labelled_blocks(source, layout, data_dir, None) for record in block]


def labelled_blocks(
    source: str | Path | list[str], layout: Layout, data_dir: Path, size: int | None
) -> Iterator[list[dict]]:
    """The texts of one source with their labels, in blocks; see `load_labelled`.

    What is judged by many rows, such as whether labels are glued to texts, is judged by the first block of a file.

    Args:
        source, layout, data_dir: as for `load_labelled`.
        size: rows of a block; None: each file is a block.

    Raises:
        DataError: as for `load_labelled`.
    """
    known = frozenset(layout.labels)
    for path in expand(source, Path(data_dir)):
        lines = kind_of(path) == ".txt" and layout.pattern is None
        layout_here = replace(layout, label_columns=()) if lines else layout
        read = with_label_columns(layout_here)
        divider, all_rows = layout.label_separator, read_rows(path, read, list(read.columns))
        alone = "text" in read.columns and "text_pair" not in read.columns
        first, seen = True, dict[str, Any]()  # cell -> its label, which most rows have in common with another
        while rows := list(islice(all_rows, size)):
            if first and divider is None and layout.multiple:
                divider = divider_of(label_cells(rows).difference(known)) or ""
            found = []
            for row in rows:
                cell = row.values.get("label")
                label = seen.get(cell) if isinstance(cell, str) else None
                if label is None:
                    label = _label(path, row, layout_here, divider or "", known)
                    if isinstance(cell, str) and isinstance(label, str) and len(seen) < _KNOWN_CELLS:
                        seen[cell] = label
                found.append({"text": row.values["text"], "label": label} if alone else {**_texts(row), "label": label})
            if first and lines:
                _check_lines(path, rows, found, layout)
            elif first and not layout.label_columns:
                _tell_missing(path, rows, found)
            first = False
            yield found


def label_cells(rows: Iterable[Row | RowError]) -> set[str]:
    """The distinct cells with labels; a list of labels, which needs no divider, is not among them."""
    values = (row.values.get("label", "") for row in rows if isinstance(row, Row))
    return {value.strip() for value in values if isinstance(value, str)}


def _texts(row: Row) -> dict[str, Any]:
    return {field: row.values[field] for field in TEXTS if field in row.values}


def _label(path: Path, row: Row, layout: Layout, divider: str, known: frozenset[str]) -> str | list[str]:
    """The label of a row, or its labels if a text may have several."""
    if layout.label_columns:
        labels = _flagged(path, row, layout.label_columns)
    else:
        value = row.values["label"]
        labels = [part.strip() for part in value] if isinstance(value, list) else [value.strip()]
        if isinstance(value, str) and labels[0] not in known:
            labels = _several(path, row, labels[0], divider) if layout.multiple else _of_single(path, row, labels[0])
        labels = list(dict.fromkeys(label for label in _named(path, row, labels) if label))
    if not layout.multiple:
        labels = [_only(path, row, labels)]
    unknown = next((label for label in labels if known and label not in known), None)
    if unknown is not None:
        raise _unknown_label(path, row, unknown, layout.labels)
    return labels if layout.multiple else labels[0]


def _flagged(path: Path, row: Row, names: Sequence[str]) -> list[str]:
    """The names of the columns that hold a 1."""
    labels = []
    for name in names:
        value = row.values[column_field(name)]
        given = flag(value)
        if given is None:
            raise RowError(
                path, row.line, f"found '{visible(value[:40])}' in the column '{visible(name)}', expected 0 or 1: with"
                f" data.labels: multiple each column of data.columns.label says whether a text has this label"
            )  # fmt: skip
        if given:
            labels.append(name)
    return labels


def _several(path: Path, row: Row, cell: str, divider: str) -> list[str]:
    """The labels of a cell."""
    items = listed(cell)
    if items is not None:
        return [item.strip() for item in items]
    parts = [part.strip() for part in divided(cell, divider)]
    if any(map(broken_list, parts)):
        raise RowError(
            path, row.line, f"found the labels {cell[:80]!r}, which look like a list but cannot be read as one;"
            f" expected labels such as [\"a\", \"b\"] or a|b"
        )  # fmt: skip
    return parts


def _of_single(path: Path, row: Row, cell: str) -> list[str]:
    """The labels of a cell that should have one: a cell that is a list, or has several lines, has more."""
    items = listed(cell)
    if items is None:
        return cell.split("\n")
    quoted = broken_list(cell)
    numbers = all(item.lstrip("+-").replace(".", "", 1).isdigit() for item in items)
    # `[other]` may be a name, and `[0, 10]` an interval; quotes make a list.
    return items if not items or quoted or (len(items) > 1 and not numbers) else [cell]


def _named(path: Path, row: Row, labels: list[str]) -> list[str]:
    """The labels, unless they are a 0/1 for each label."""
    if is_vector(labels):
        raise RowError(
            path, row.line, f"found the labels [{', '.join(labels)[:60]}], a 0/1 for each label; expected their names:"
            f" give the names, or a column with 0/1 for each: columns: {{label: [NAME, NAME]}}"
        )  # fmt: skip
    return labels


def _only(path: Path, row: Row, labels: Sequence[str]) -> str:
    if not labels:
        raise RowError(
            path, row.line, f"the label of {row.values['text'][:60]!r} is empty: fill it in, or delete the row"
        )
    if len(labels) > 1:
        raise RowError(
            path, row.line,
            f"found several labels ({visible(', '.join(labels))[:200]}), expected one: set data.labels: multiple",
        )  # fmt: skip
    return labels[0]


def _tell_missing(path: Path, rows: Sequence[Row], records: Sequence[dict]) -> None:
    """Warns of labels such as `nan`, as tools write a cell without a value: it may be one, or a class."""
    found: dict[str, list[int]] = {}
    for row, record in zip(rows, records, strict=True):
        for label in _as_list(record["label"]):
            if label.casefold() in _MISSING:
                found.setdefault(label, []).append(row.line)
    for label, lines in found.items():
        _logger.warning(
            "%s: the label of %s is '%s', the first is line %d: it is read as a class, but tools write a missing"
            " label so: if it is one, fill it in, or delete the row", path,
            plural(len(lines), "row"), visible(label), lines[0],
        )  # fmt: skip


def _check_glued(
    path: Path, rows: Sequence[Row], records: Sequence[dict], counts: Mapping[str, int], multiple: bool
) -> None:
    """Looks for single labels that begin with the label of several lines, as if a text was glued to it.

    Raises:
        RowError: these are many of the lines.
    """
    usual = {label for label, count in counts.items() if count > 1}
    lengths = sorted({len(label) for label in usual})
    begins = {
        label: label[:length]
        for label, count in counts.items()
        for length in lengths  # the longest is the last, and stays
        if count == 1 and label[:length] in usual
    }
    glued = [
        (row.line, label)
        for row, record in zip(rows, records, strict=True)
        for label in _as_list(record["label"])
        if label in begins
    ]
    if not glued:
        return
    line, label = glued[0]
    found = (
        f"found the label '{visible(label[:40])}', which no other line has, and which begins with the label"
        f" '{visible(begins[label])}'"
    )
    mend = f"if a text is glued to the label, put a space between: '__label__{visible(begins[label])} '"
    if len(glued) >= MANY_GLUED and len(glued) > GLUED * len(rows) and not multiple:
        raise RowError(path, line, f"{found}, as on {len(glued) - 1} more lines: {mend}")
    _logger.warning("%s:%d: %s (%s): %s", path, line, found, plural(len(glued), "such line"), mend)


def _check_lines(path: Path, rows: Sequence[Row], records: Sequence[dict], layout: Layout) -> None:
    """Looks for lines in fastText's form without a label, and for labels that are glued to their text."""
    if layout.multiple and (without := [row.line for row in rows if not row.values["label"]]):
        _logger.warning(
            "%s: %d of %d lines have no __label__, such as line %d: they are read as texts without a label",
            path, len(without), len(rows), without[0],
        )  # fmt: skip
    if layout.labels:
        return  # a label with a text in it would not be known
    counts = Counter(label for record in records for label in _as_list(record["label"]))
    read = {label for record in records if record["text"] for label in _as_list(record["label"])}
    once = sum(count == 1 for count in counts.values())
    _check_glued(path, rows, records, counts, layout.multiple)
    mostly_once = once > MOSTLY * len(rows) and len(rows) >= MANY_LINES and not layout.multiple
    for row, record in zip(rows, records, strict=True):
        labels = _as_list(record["label"])
        if labels and not record["text"] and read.isdisjoint(labels):
            found = "no text, and a label that no line with a text has"
        elif mostly_once and counts[labels[0]] == 1:
            found = "a label that no other line has, as on most lines"
        else:
            continue
        raise RowError(
            path, row.line, f"found {found}: '{visible(labels[0][:40])}'; expected '__label__X', a space and a text:"
            f" are label and text glued together?"
        )  # fmt: skip


def _shown(label: str) -> str:
    """A label for a message; of a text that was taken for one only the beginning."""
    return visible(label if len(label) <= _SHOWN_LENGTH else label[:_SHOWN_LENGTH] + "…")


def shown_labels(labels: Collection[str]) -> str:
    """The first labels of a model, for a message."""
    more = ", ..." if len(labels) > _SHOWN_LABELS else ""
    return ", ".join(_shown(label) for label in list(labels)[:_SHOWN_LABELS]) + more


def _unknown_label(path: Path, row: Row, unknown: str, known: Collection[str]) -> RowError:
    return RowError(
        path,
        row.line,
        f"found the label '{_shown(unknown)}', which does not occur in the training data; expected one of"
        f" {shown_labels(known)}"
        f"{looks_like(unknown, known) or did_you_mean(unknown, known)}"
        f" (correct the label, delete the row, or add examples of it to train)",
    )
