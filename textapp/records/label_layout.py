"""What is decided once about the labels of a run, from its training files: their columns, and what divides a cell."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

from textapp.errors import DataError, plural, visible
from textapp.records.columns import names_of
from textapp.records.files import expand
from textapp.records.label_cells import (
    all_vectors,
    divided,
    divider_of,
    flag,
    is_vector,
    listed,
    named,
    other_dividers,
    possible_dividers,
)
from textapp.records.label_columns import column_field, distinct_names, with_label_columns
from textapp.records.layout import Layout
from textapp.records.readers import scan_rows
from textapp.records.rows import Row
from textapp.records.sources import Source, parallel_sides

PEEKED = 1000  # rows, in which every column is found
_logger = logging.getLogger("textapp")


def settle_labels(source: Source, layout: Layout, data_dir: Path) -> Layout:
    """Determines the columns of the labels, and the divider of labels in a cell; all files of the run are read by them.

    Args:
        source: the training files.
        layout: with the columns of the run.
        data_dir: the base folder of relative paths.

    Returns:
        The layout with `label_columns`, if the config names several columns of the training files, and with
        `label_separator`, if a text may have several labels and a divider occurs; else unchanged.

    Raises:
        DataError: a column of a label is missing, one label is expected and there are several columns with 0/1, or the
            cells hold a 0/1 for each label without their names.

    Example: of `columns: {label: [toxic, insult]}` and the header `text,toxic,insult` both are columns of labels.
    """
    if "label" not in layout.columns or parallel_sides(source) is not None:
        return layout
    paths = expand(source, Path(data_dir))  # type: ignore[arg-type]
    columns = _label_columns(paths[0], layout)
    if columns:
        return replace(layout, label_columns=tuple(columns))
    if not layout.multiple or layout.label_separator is not None:
        return layout
    cells: set[str] = set()
    lists: set[tuple[str, ...]] = set()
    for path in paths:
        for row in scan_rows(path, layout, list(layout.columns), str):
            value = row.values.get("label", "") if isinstance(row, Row) else ""
            if isinstance(value, str):
                cells.add(value.strip())
            else:
                lists.add(tuple(part.strip() for part in value))
    if not lists and (name := _label_of_flags(layout, cells)) is not None:
        _logger.info("%s: the column '%s' is read as a label, 0 or 1", paths[0], visible(name))
        return replace(layout, label_columns=(name,))
    divider = divider_of(cells)
    lists |= {tuple(_items(cell, divider)) for cell in cells if cell}
    if all_vectors(lists) and not any(map(is_vector, lists)):  # one that repeats is an error of its row
        raise DataError(
            f"{paths[0]}: found labels such as [{', '.join(min(lists))}] in every row, a 0/1 for each label; expected"
            f" their names: give the names, or a column with 0/1 for each: columns: {{label: [NAME, NAME]}}"
        )
    if divider is None:
        if len(cells) == 2 and any(map(flag, cells)) and all(flag(cell) is not None for cell in cells):
            _logger.warning(
                "%s: the labels are %s: if they say whether a text has a label, call the column by its name and set"
                " columns: {label: NAME}",
                paths[0], _listed(sorted(cells)),
            )  # fmt: skip
        if all(len(items) < 2 for items in lists):
            _warn_of_possible_dividers(cells)
        return layout
    _logger.info("labels are divided by %s", named(divider))
    for other, parts in other_dividers(cells, divider).items():
        _logger.warning(
            "%s also occurs in %s, such as '%s', and does not divide them: data.label_separator decides",
            named(other), plural(len(parts), "label"), visible(parts[0][:60]),
        )  # fmt: skip
    return replace(layout, label_separator=divider)


def _items(cell: str, divider: str | None) -> list[str]:
    items = listed(cell)
    return [part.strip() for part in divided(cell, divider or "")] if items is None else items


def _label_of_flags(layout: Layout, cells: Collection[str]) -> str | None:
    """The name of the column of the labels, if a config names one and it has nothing but 0/1; else None."""
    names = distinct_names(names_of(layout.columns["label"]))
    named = len(names) == 1 and not layout.has_usual_names("label") and layout.pattern is None
    flags = any(cells) and all(flag(cell) is not None for cell in cells)
    return names[0] if named and layout.header is not False and flags else None


def _warn_of_possible_dividers(cells: Collection[str]) -> None:
    for divider, having in possible_dividers(cells).items():
        _logger.warning(
            "no text has several labels, but %s occurs in %s, such as '%s': data.label_separator: '%s' sets it"
            " as the divider",
            named(divider), plural(len(having), "label"), visible(having[0][:60]), divider,
        )  # fmt: skip


def _label_columns(path: Path, layout: Layout) -> list[str]:
    """The names of the columns with a 0/1 for each label; empty if the labels are in one column."""
    names = distinct_names(names_of(layout.columns["label"]))
    if len(names) < 2 or layout.pattern is not None or layout.header is False:
        return []
    usual = tuple(names_of(layout.columns["label"])) == tuple(layout.usual.get("label", ()))
    # What there is to know of the file is told when its examples are read.
    rows = list(islice(scan_rows(path, with_label_columns(layout, names), tell=str), PEEKED))
    values = [row.values for row in rows if isinstance(row, Row)]
    found = [name for name in names if any(column_field(name) in row for row in values)]
    if len(found) < 2:
        return []
    if layout.multiple and not usual:
        _check_all_found(path, names, found)
        _logger.info("%s: the columns %s are read as labels, each 0 or 1", path, ", ".join(map(visible, found)))
        return found
    flags = all(flag(str(row.get(column_field(name), ""))) is not None for name in found for row in values)
    if flags and not usual:
        raise DataError(
            f"{path}: found {len(found)} columns with 0/1 for label ({_listed(found)}), expected one: for texts with"
            f" several labels set data.labels: multiple, else name one column: columns: {{label: {visible(found[0])}}}"
        )
    _logger.log(
        logging.INFO if usual else logging.WARNING,
        "%s: the label is read from the column %s, and not from %s (data.columns.label names another)",
        path, _listed(found[:1]), _listed(found[1:]),
    )  # fmt: skip
    return []


def _check_all_found(path: Path, names: Sequence[str], found: Collection[str]) -> None:
    missing = [name for name in names if name not in found]
    if missing:
        raise DataError(
            f"{path}: no column for the label {_listed(missing)}: found {_listed(found)}, expected every name of"
            f" data.columns.label: correct it, or leave it out"
        )


def _listed(names: Collection[str]) -> str:
    return ", ".join(f"'{visible(name)}'" for name in names)
