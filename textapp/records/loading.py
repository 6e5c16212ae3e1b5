"""Rows -> records of a classification run: checked, with their labels, in the splits that a config asks for."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from textapp.errors import DataError, did_you_mean
from textapp.records.layout import Layout, settle_columns
from textapp.records.readers import Row, RowError, expand, read_rows, scan_rows
from textapp.records.splits import split_share

if TYPE_CHECKING:
    from textapp.config import Config

__all__ = ["Layout", "Splits", "label_names", "load_records", "load_splits", "read_records"]

_logger = logging.getLogger("textapp")
_SEPARATORS = ("\n", "|", ";", ",")
_SHOWN_LABELS = 20


class Splits(NamedTuple):
    """The records of a run. `origin` says for each split in use where it came from: `train.tsv`, `10 % of train`."""

    train: list[dict]
    validation: list[dict]
    test: list[dict]
    origin: dict[str, str]


# --- splits --------------------------------------------------------------------------------------------------------


def load_splits(config: Config, data_dir: Path) -> Splits:
    """Loads the training, validation and test records of a config.

    A share for test is taken from train first, then the share for validation from what is left. Training examples
    without a text are dropped with a warning; elsewhere they stay.

    Args:
        config: as `load_config` gave it.
        data_dir: where relative paths start.

    Raises:
        DataError: a file is at fault, train has one class only, or another split has a label that train never had.
    """
    data = config.data
    layout = settle_columns(data.train, config, data_dir)
    train = _with_text(_labelled(data.train, layout, data_dir), data.train)
    labels = label_names(train)
    _check_classes(train, labels, data.train, layout)
    origin = {"train": _describe(data.train)}
    test: list[dict] = []
    if data.test is not None:
        train, test = _split(train, data.test, layout, data_dir, labels, config.seed, "test", origin)
    train, validation = _split(train, data.validation, layout, data_dir, labels, config.seed, "validation", origin)
    return Splits(train, validation, test, origin)


def _split(
    train: list[dict],
    wanted: float | str | list[str],
    layout: Layout,
    data_dir: Path,
    labels: Sequence[str],
    seed: int,
    name: str,
    origin: dict[str, str],
) -> tuple[list[dict], list[dict]]:
    """The training records that stay, and the records of the split `name`."""
    if isinstance(wanted, float):
        rest, taken = split_share(train, wanted, seed)
        if not taken:
            raise DataError(
                f"data.{name}: {wanted:g} of {len(train)} training examples leaves no example for {name};"
                f" expected a larger share, more examples, or a file"
            )
        origin[name] = f"{100 * wanted:g} % of train"
        return rest, taken
    origin[name] = _describe(wanted)
    return train, load_records(wanted, layout, data_dir, known_labels=labels)


def label_names(records: Iterable[Mapping[str, Any]]) -> list[str]:
    """All labels of the records, in sorted order: numbers by value."""
    found = {label for record in records for label in _as_list(record["label"])}
    return sorted(found, key=lambda label: (0, int(label), label) if _is_integer(label) else (1, 0, label))


def _is_integer(label: str) -> bool:
    digits = label.removeprefix("-")
    return digits.isascii() and digits.isdigit()


def _as_list(label: str | list[str]) -> list[str]:
    return [label] if isinstance(label, str) else label


def _with_text(records: list[dict], source: str | list[str]) -> list[dict]:
    kept = [record for record in records if record["text"].strip()]
    if len(kept) < len(records):
        dropped = len(records) - len(kept)
        _logger.warning("%s: dropped %d of %d training examples: their text is empty", source, dropped, len(records))
    return kept


def _check_classes(train: list[dict], labels: Sequence[str], source: str | list[str], layout: Layout) -> None:
    least = 1 if layout.multiple else 2
    if len(labels) < least:
        found = f"only the label {labels[0]!r}" if labels else "no label"
        raise DataError(
            f"{_describe(source)}: found {found} in {len(train)} training examples; expected at least {least}:"
            f" check data.columns.label, or add examples of another label"
        )


def _describe(source: str | list[str]) -> str:
    names = [source] if isinstance(source, str) else source
    return ", ".join(names) if len(names) <= 3 else f"{names[0]} and {len(names) - 1} more"


# --- records -------------------------------------------------------------------------------------------------------


def load_records(
    source: str | Path | list[str],
    layout: Layout | Config | Mapping[str, Any],
    data_dir: Path = Path(),
    labels_required: bool = True,
    known_labels: Collection[str] | None = None,
) -> list[dict]:
    """Loads the records of one source.

    Args:
        source: a path, a glob, or a list of them.
        layout: how rows become records: of a config, or of a manifest.
        data_dir: where relative paths start.
        labels_required: False where texts are only to be answered: labels may then be missing.
        known_labels: the labels that the model has; None where they are still to be found.

    Returns:
        `{"text": ..., "text_pair": ... (pairs only), "label": a string, or a list of strings}` for each row.

    Raises:
        DataError: the first row at fault, with its file and line, or a file that cannot be read.

    Example: `load_records("test.tsv", config, folder)[0]` is `{"text": "good", "label": "1"}`.
    """
    if not labels_required:
        return [_raised(record) for _, record in read_records(source, layout, data_dir)]
    return _labelled(source, Layout.of(layout), data_dir, known_labels)


def read_records(
    source: str | Path | list[str], layout: Layout | Config | Mapping[str, Any], data_dir: Path = Path()
) -> Iterator[tuple[int, dict | RowError]]:
    """The records of texts to be answered, in order; a row at fault gives its error in its place.

    Labels may be missing, a text may be empty; a `.txt` without labels is one text a line.

    Yields:
        The line, and the record or the `RowError`, whose `input` is what could be read of the row.

    Raises:
        DataError: a whole file is at fault: not there, empty, without the column of the text.
    """
    layout = Layout.of(layout)
    required = [field for field in layout.columns if field != "label"]
    for path in expand(source, Path(data_dir)):
        rows = list(scan_rows(path, layout.columns, layout.header, layout.pattern, required))
        separator = _separator(rows) if layout.multiple else None
        for row in rows:
            if isinstance(row, RowError):
                yield row.line, row
            else:
                record = _record(row, separator)
                if not row.values.get("label", "").strip():
                    record.pop("label", None)
                yield row.line, record


def _raised(record: dict | RowError) -> dict:
    if isinstance(record, RowError):
        raise record
    return record


def _labelled(
    source: str | list[str], layout: Layout, data_dir: Path, known_labels: Collection[str] | None = None
) -> list[dict]:
    records = []
    known = None if known_labels is None else frozenset(known_labels)
    for path in expand(source, Path(data_dir)):
        rows = list(read_rows(path, layout.columns, layout.header, layout.pattern, list(layout.columns)))
        separator = _separator(rows) if layout.multiple else None
        for row in rows:
            record = _record(row, separator)
            if separator is None:
                _check_label(path, row, record["label"])
            if known is not None and not known.issuperset(_as_list(record["label"])):
                raise _unknown_label(path, row, record["label"], known_labels)
            records.append(record)
    return records


def _record(row: Row, separator: str | None) -> dict[str, Any]:
    record: dict[str, Any] = {"text": row.values["text"]}
    if "text_pair" in row.values:
        record["text_pair"] = row.values["text_pair"]
    label = row.values.get("label", "").strip()
    record["label"] = label if separator is None else _several(label, separator)
    return record


def _several(label: str, separator: str) -> list[str]:
    """The labels of a cell, each once, in their order."""
    return list(dict.fromkeys(part.strip() for part in label.split(separator) if part.strip()))


def _separator(rows: Iterable[Row | RowError]) -> str:
    """What divides the labels of a cell: the first of newline | ; , that occurs in the column."""
    found = set("".join(row.values.get("label", "").strip() for row in rows if isinstance(row, Row)))
    return next((separator for separator in _SEPARATORS if separator in found), "\n")


def _check_label(path: Path, row: Row, label: str) -> None:
    if not label:
        raise RowError(path, row.line, f"the label of {row.values['text'][:60]!r} is empty: fill it, or drop the row")
    if "\n" in label:
        labels = ", ".join(label.split("\n"))
        raise RowError(path, row.line, f"found several labels ({labels}), expected one: set data.labels: multiple")


def _unknown_label(path: Path, row: Row, label: str | list[str], known: Collection[str]) -> RowError:
    unknown = next(part for part in _as_list(label) if part not in known)
    shown = ", ".join(list(known)[:_SHOWN_LABELS]) + (", ..." if len(known) > _SHOWN_LABELS else "")
    return RowError(
        path,
        row.line,
        f"found the label {unknown!r}, which the training data never had; expected one of {shown}"
        f"{did_you_mean(unknown, known)} (mend the label, drop the row, or add examples of it to train)",
    )
