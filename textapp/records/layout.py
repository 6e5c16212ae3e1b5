"""How the files of a run look: its columns, its header, its pattern; as a config or a manifest says it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textapp.records.columns import Columns, find_columns, is_default, normalised
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
        columns: field -> number of its column counted from 0, or names that may stand for it; behind the names perhaps
            the number that counts where a file has no header.
        header: does the first line name the columns? `True`, `False` or `auto`.
        pattern: a regular expression with groups text and label, for one line each.
        multiple: may a text have several labels, or none?
        task: whose records these are.
        labels: those that the model has; empty where they are still to be found, or where there are none.
    """

    columns: Columns
    header: str | bool = "auto"
    pattern: str | None = None
    multiple: bool = False
    task: str = "classification"
    labels: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        given = {field: [column] if isinstance(column, str) else column for field, column in self.columns.items()}
        object.__setattr__(self, "columns", {field: column for field, column in given.items() if column is not None})

    @staticmethod
    def of(source: Layout | Config | Mapping[str, Any]) -> Layout:
        """From a config, or from the keys that `to_manifest` wrote."""
        if isinstance(source, Layout):
            return source
        if isinstance(source, Mapping):
            labels = tuple(source["labels"]) if "labels" in source else ()
            layout = (source[name] for name in ("columns", "header", "pattern", "multiple", "task"))
            return Layout(*layout, labels)
        data = source.data
        return Layout(data.fields(source.task), data.header, data.pattern, data.labels == "multiple", source.task)

    def to_manifest(self) -> dict[str, Any]:
        """The keys of a manifest that `of` reads, the task aside."""
        return {
            "columns": dict(self.columns), "header": self.header, "pattern": self.pattern, "multiple": self.multiple
        }  # fmt: skip


def settle_columns(source: Source, layout: Layout | Config | Mapping[str, Any], data_dir: Path) -> Layout:
    """Settles the columns that can only be guessed: default names, two columns, no header or one of other names.

    What the training files show then holds for every other file of the run, however small it is. A file that names its
    columns is still read by their names.

    Returns:
        The layout with a number behind the names of columns that were guessed, else unchanged.

    Example: for a headerless `pos<TAB>good food`, ... the column of the label becomes `["label", "labels", ..., 0]`,
    for one with the header `kind<TAB>dish` it becomes `["label", "labels", ..., "kind", 0]`.
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
    header = rows[0] if placement.has_header else []
    known = {normalised(name) for names in layout.columns.values() for name in names}
    if known.intersection(map(normalised, header)):
        return layout
    found = ", ".join(f"column {index} is taken for the {field}" for field, index in placement.indices.items())
    _logger.info("%s: %s; %s", path, f"the header {' | '.join(header)}" if header else "no header", found)
    settled = {field: [*layout.columns[field], *header[i : i + 1], i] for field, i in placement.indices.items()}
    return replace(layout, columns=settled)
