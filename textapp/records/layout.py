"""The layout of the files of a run, from a config or a manifest: columns, header and pattern."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textapp.errors import DataError
from textapp.records.columns import expected_of, find_columns
from textapp.records.dialects import normalised
from textapp.records.files import UTF_8, expand, kind_of, read_source
from textapp.records.markup import KINDS as MARKUP
from textapp.records.markup import is_memory
from textapp.records.markup_pairs import settled_languages
from textapp.records.quoted import Cells
from textapp.records.sources import Source, parallel_sides
from textapp.records.tables import peek, table_rows
from textapp.untrusted import FLAG, NOTHING, OBJECT, TEXT, either, key, one_of

if TYPE_CHECKING:
    from textapp.config import Config, TaskKeys

# Field -> index of its column; or its possible names, optionally followed by its index in files without a header.
Columns = Mapping[str, "int | list[str | int]"]

_logger = logging.getLogger("textapp")


@dataclass(frozen=True)
class Layout:
    """How the rows of a run become records.

    Attributes:
        columns: field -> index of its column, or its possible names, optionally followed by its index in files
            without a header.
        header: whether the first line names the columns: `True`, `False` or `auto`.
        pattern: a regular expression for a line, with the groups text and label.
        multiple: whether a text may have several labels, or none.
        labels: of the model; empty if there are none, or not known yet.
        usual: field -> default names of its column, see `TaskKeys.columns`.
        optional: fields that training files may lack, see `TaskKeys.optional`.
        encoding: of the files, or `auto`.
        label_columns: the columns with a 0/1 for each label, if these are the labels of a text.
        label_separator: divides the labels of a cell; empty: nothing does; None: not known yet, or not needed.
        strict: whether an answer that is not in its context is an error.
    """

    columns: Columns
    header: str | bool = "auto"
    pattern: str | None = None
    multiple: bool = False
    labels: Sequence[str] = ()
    usual: Mapping[str, Sequence[str]] = field(default_factory=dict)
    optional: frozenset[str] = frozenset()
    encoding: str = UTF_8
    label_columns: Sequence[str] = ()
    label_separator: str | None = None
    strict: bool = False

    def __post_init__(self) -> None:
        listed = {field: [column] if isinstance(column, str) else column for field, column in self.columns.items()}
        object.__setattr__(self, "columns", {field: column for field, column in listed.items() if column is not None})

    @property
    def usual_columns(self) -> bool:
        """Whether the columns have their default names; then a file may also have other names, or no header."""
        # Files without a header that lack an optional field settle the others alone.
        every_field = set(self.columns) <= set(self.usual) <= set(self.columns) | self.optional
        return every_field and all(map(self.has_usual_names, self.columns))

    @property
    def settled(self) -> bool:
        """Whether `settle_columns` found the columns of training files without the default names."""
        return any(not isinstance(names, int) and isinstance(names[-1], int) for names in self.columns.values())

    def has_usual_names(self, field: str) -> bool:
        """Whether the column of a field has its default names."""
        names, usual = self.columns[field], tuple(self.usual.get(field, ()))
        # In a translation the default names are followed by the language.
        return bool(usual) and not isinstance(names, int) and tuple(names[: len(usual)]) == usual

    @classmethod
    def of_config(cls, config: Config, keys: TaskKeys) -> Layout:
        """The layout that a config describes, for a task with these keys."""
        data = config.data
        fields = data.fields(keys.columns)
        multiple = data.labels == "multiple"
        return cls(
            fields, data.header, data.pattern, multiple, (), _named(keys), keys.optional, data.encoding,
            label_separator=data.label_separator, strict=data.misplaced_answers == "error",
        )  # fmt: skip

    @classmethod
    def of_manifest(cls, manifest: Mapping[str, Any], keys: TaskKeys) -> Layout:
        """The layout from the keys that `to_manifest` wrote, with the labels of the model."""
        kinds = {"columns": OBJECT, "header": one_of("auto", True, False), "pattern": either(TEXT, NOTHING)}
        kinds["multiple"] = FLAG
        values = (key(manifest, name, kind) for name, kind in kinds.items())
        labels, columns = (tuple(manifest.get(name, ())) for name in ("labels", "label_columns"))
        encoding, separator = manifest.get("encoding", UTF_8), manifest.get("label_separator")
        return cls(*values, labels, _named(keys), keys.optional, encoding, columns, separator)

    def to_manifest(self) -> dict[str, Any]:
        """The keys of a manifest that `of_manifest` reads."""
        return {
            "columns": dict(self.columns), "header": self.header, "pattern": self.pattern, "multiple": self.multiple,
            "encoding": self.encoding, "label_columns": list(self.label_columns),
            "label_separator": self.label_separator,
        }  # fmt: skip


def _named(keys: TaskKeys) -> dict[str, tuple[str, ...]]:
    return {field: names for field, names in keys.columns.items() if names}


def settle_columns(source: Source, layout: Layout, data_dir: Path) -> Layout:
    """Determines the columns of training files that have no header, or one with other than the default names.

    In a translation memory these are its two languages, if the config does not name them.

    The columns of the training files are then used for all files of the run, even the smallest. A file whose header has
    the default names is still read by these.

    Args:
        source: the training files.
        layout: as the config gives it.
        data_dir: the base folder of relative paths.

    Returns:
        The layout with an index after the names of columns that were guessed, else unchanged.

    Example: for a headerless `pos<TAB>good food`, ... the column of the label becomes `["label", "labels", ..., 0]`,
    for one with the header `kind<TAB>dish` it becomes `["label", "labels", ..., "kind", 0]`.
    """
    if layout.pattern is not None or parallel_sides(source) is not None or not layout.usual_columns:
        return layout
    path = expand(source, Path(data_dir))[0]
    if set(layout.columns) >= {"source", "target"} and kind_of(path) in MARKUP and is_memory(path, layout.encoding):
        return replace(layout, columns=settled_languages(path, layout))
    if kind_of(path) not in (".csv", ".tsv"):
        return layout
    required = [field for field in layout.columns if field not in layout.optional]
    lines = read_source(path, layout.encoding).lines()
    head, _ = peek(table_rows(lines, kind_of(path), expected_of(layout, required)), Cells.size)
    if not head or head[0].fault is not None:
        return layout  # the reading of the file ends with this error
    rows = [row.cells for row in head if row.fault is None]
    try:
        placement = find_columns(path, rows, layout, required)
    except DataError:
        return layout  # as above; there it is also known what the file looks like
    header = rows[0] if placement.has_header else []
    known = {normalised(name) for names in layout.columns.values() for name in names}
    if known.intersection(map(normalised, header)):
        return layout
    found = ", ".join(f"column {index} is taken as the {field}" for field, index in placement.indices.items())
    _logger.info("%s: %s; %s", path, f"the header {' | '.join(header)}" if header else "no header", found)
    settled = {field: [*layout.columns[field], *header[i : i + 1], i] for field, i in placement.indices.items()}
    return replace(layout, columns=settled)
