"""Texts with their labels, for classification. Checks each row; the labels may be known or not."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from textapp.errors import DataError, did_you_mean
from textapp.records.files import expand
from textapp.records.layout import Layout
from textapp.records.readers import read_rows, scan_rows
from textapp.records.rows import Row, RowError
from textapp.records.sources import describe

_logger = logging.getLogger("textapp")
_SEPARATORS = ("\n", "|", ";", ",")
_SHOWN_LABELS = 20


def label_names(records: Iterable[Mapping[str, Any]]) -> list[str]:
    """All labels of the records, sorted: first numbers by value, then other labels."""
    labels = {label for record in records for label in _as_list(record["label"])}
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
    labels = label_names(train)
    min_labels = 1 if layout.multiple else 2
    if len(labels) < min_labels:
        found = f"only the label {labels[0]!r}" if labels else "no label"
        raise DataError(
            f"{describe(source)}: found {found} in {len(train)} training examples; expected at least {min_labels}:"
            f" check data.columns.label, or add examples of another label"
        )


def scan_texts(source: str | Path | list[str], layout: Layout, data_dir: Path) -> Iterator[tuple[int, dict | RowError]]:
    """Yields `(line, record)` for each text to classify, in order; the label may be missing.

    Args:
        source: the files; a `.txt` has one text per line.
        layout: the columns and labels of their rows.
        data_dir: the folder that relative paths start at.
    """
    required = [field for field in layout.columns if field != "label"]
    for path in expand(source, Path(data_dir)):
        rows = list(scan_rows(path, layout, required))
        separator = _separator(rows, layout.labels) if layout.multiple else None
        for row in rows:
            if isinstance(row, RowError):
                yield row.line, row
            else:
                record = _record(row, separator, layout.labels)
                if not row.values.get("label", "").strip():
                    record.pop("label", None)
                yield row.line, record


def load_labelled(source: str | Path | list[str], layout: Layout, data_dir: Path) -> list[dict]:
    """Loads the texts of one source with their labels.

    Args:
        source: the files.
        layout: the columns of their rows, whether a text may have several labels, and which labels may occur.
        data_dir: the folder that relative paths start at.

    Raises:
        DataError: a column is missing, a row cannot be read, or a label is empty or not known.
    """
    records = []
    known = frozenset(layout.labels)
    for path in expand(source, Path(data_dir)):
        rows = list(read_rows(path, layout, list(layout.columns)))
        separator = _separator(rows, known) if layout.multiple else None
        for row in rows:
            record = _record(row, separator, known)
            if separator is None:
                _check_label(path, row, record["label"])
            if known and not known.issuperset(_as_list(record["label"])):
                raise _unknown_label(path, row, record["label"], layout.labels)
            records.append(record)
    return records


def _record(row: Row, separator: str | None, known_labels: Collection[str] = ()) -> dict[str, Any]:
    record: dict[str, Any] = {"text": row.values["text"]}
    if "text_pair" in row.values:
        record["text_pair"] = row.values["text_pair"]
    label = row.values.get("label", "").strip()
    record["label"] = label if separator is None else _several(label, separator, known_labels)
    return record


def _several(label: str, separator: str, known_labels: Collection[str]) -> list[str]:
    """The distinct labels of a cell, in order. A cell that is itself a known label is not split."""
    if label in known_labels:
        return [label]
    return list(dict.fromkeys(part.strip() for part in label.split(separator) if part.strip()))


def _separator(rows: Iterable[Row | RowError], known_labels: Collection[str]) -> str:
    """The separator of labels in a cell: the first of newline | ; , that occurs in the column."""
    cells = {row.values.get("label", "").strip() for row in rows if isinstance(row, Row)}
    characters = set("".join(cells.difference(known_labels)))
    return next((separator for separator in _SEPARATORS if separator in characters), "\n")


def _check_label(path: Path, row: Row, label: str) -> None:
    if not label:
        raise RowError(
            path, row.line, f"the label of {row.values['text'][:60]!r} is empty: fill it in, or delete the row"
        )
    if "\n" in label:
        labels = ", ".join(label.split("\n"))
        raise RowError(path, row.line, f"found several labels ({labels}), expected one: set data.labels: multiple")


def _unknown_label(path: Path, row: Row, label: str | list[str], known: Collection[str]) -> RowError:
    unknown = next(part for part in _as_list(label) if part not in known)
    shown = ", ".join(list(known)[:_SHOWN_LABELS]) + (", ..." if len(known) > _SHOWN_LABELS else "")
    return RowError(
        path,
        row.line,
        f"found the label {unknown!r}, which does not occur in the training data; expected one of {shown}"
        f"{did_you_mean(unknown, known)} (correct the label, delete the row, or add examples of it to train)",
    )
