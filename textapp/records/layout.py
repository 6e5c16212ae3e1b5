"""How the files of a run look: its columns, its header, its pattern; as a config or a manifest says it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textapp.records.columns import Columns, find_columns, is_default
from textapp.records.files import expand, kind_of, read_source
from textapp.records.sources import Source, parallel_sides
from textapp.records.tables import csv_rows, tsv_rows

if TYPE_CHECKING:
    from textapp.config import Config

_logger = logging.getLogger("textapp")


@dataclass(frozen=True)
class Layout:
    """How the rows of a run become records.

    Attributes:
        columns: field -> number of its column counted from 0, or names that may stand for it.
        header: does the first line name the columns? `True`, `False` or `auto`.
        pattern: a regular expression with groups text and label, for one line each.
        multiple: may a text have several labels, or none?
        task: whose records these are.
    """

    columns: Columns
    header: str | bool = "auto"
    pattern: str | None = None
    multiple: bool = False
    task: str = "classification"

    def __post_init__(self) -> None:
        given = {field: [column] if isinstance(column, str) else column for field, column in self.columns.items()}
        object.__setattr__(self, "columns", {field: column for field, column in given.items() if column is not None})

    @staticmethod
    def of(source: Layout | Config | Mapping[str, Any]) -> Layout:
        """From a config, or from the keys that `to_manifest` wrote."""
        if isinstance(source, Layout):
            return source
        if isinstance(source, Mapping):
            return Layout(source["columns"], source["header"], source["pattern"], source["multiple"], source["task"])
        data = source.data
        return Layout(data.fields(source.task), data.header, data.pattern, data.labels == "multiple", source.task)

    def to_manifest(self) -> dict[str, Any]:
        """The keys of a manifest that `of` reads, the task aside."""
        return {
            "columns": dict(self.columns), "header": self.header, "pattern": self.pattern, "multiple": self.multiple
        }  # fmt: skip


def settle_columns(source: Source, layout: Layout | Config | Mapping[str, Any], data_dir: Path) -> Layout:
    """Settles by number the columns that can only be guessed: default names, no header, two columns.

    What the training files show then holds for every other file of the run, however small it is.

    Returns:
        The layout with numbers for columns where they were guessed, else unchanged.

    Example: for a headerless `pos<TAB>good food`, ... the columns become `{"text": 1, "label": 0}`.
    """
    layout = Layout.of(layout)
    if layout.pattern is not None or parallel_sides(source) is not None or not is_default(layout.columns):
        return layout
    path = expand(source, Path(data_dir))[0]
    if kind_of(path) not in (".csv", ".tsv"):
        return layout
    text = read_source(path).text
    rows = [row.cells for row in (csv_rows(text) if kind_of(path) == ".csv" else tsv_rows(text))]
    required = [field for field in layout.columns if field != "prompt"]
    placement = find_columns(path, rows, layout.columns, layout.header, required)
    if placement.has_header:
        return layout
    found = ", ".join(f"column {index} is taken for the {field}" for field, index in placement.indices.items())
    _logger.info("%s: no header; %s", path, found)
    return replace(layout, columns=placement.indices)
