"""Columns with a 0/1 for each label: each is a field of its own while a file is read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from textapp.records.columns import normalised
from textapp.records.layout import Layout


def column_field(name: str) -> str:
    """The field of the column of a label."""
    return f"label:{name}"


def with_label_columns(layout: Layout, names: Sequence[str] | None = None) -> Layout:
    """The layout by which files are read: with a field for each column of a label in place of `label`.

    Args:
        layout: of the run.
        names: of the columns; None: those of the layout, which stays as it is if it has none.
    """
    names = layout.label_columns if names is None else names
    if not names:
        return layout
    columns: dict[str, Any] = {field: column for field, column in layout.columns.items() if field != "label"}
    return replace(layout, columns={**columns, **{column_field(name): [name] for name in names}})


def distinct_names(names: Sequence[str]) -> list[str]:
    """The names that stand for different columns, in order."""
    by_key = {normalised(name): name.strip() for name in reversed(names)}
    return [name for name in dict.fromkeys(map(str.strip, names)) if by_key[normalised(name)] == name]
