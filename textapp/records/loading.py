"""Files -> records of a run, in the splits that its config asks for. What a record is, its task says.

classification: labelled.py, translation: pairs.py, generation: documents.py.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from textapp.errors import DataError
from textapp.records import documents, labelled, pairs
from textapp.records.labelled import label_names
from textapp.records.layout import Layout, settle_columns
from textapp.records.readers import RowError
from textapp.records.sources import Source, describe
from textapp.records.splits import split_connected, split_share

if TYPE_CHECKING:
    from textapp.config import Config

__all__ = ["Layout", "Splits", "label_names", "load_records", "load_splits", "read_records"]

Parts = tuple[list[dict], list[dict]]


class Splits(NamedTuple):
    """The records of a run. `origin` says for each split in use where it came from: `train.tsv`, `10 % of train`."""

    train: list[dict]
    validation: list[dict]
    test: list[dict]
    origin: dict[str, str]


def load_splits(config: Config, data_dir: Path) -> Splits:
    """Loads the training, validation and test records of a config.

    A share for test is taken from train first, then the share for validation from what is left: balanced by label for
    classification, without a sentence on both sides for translation, the end of running text. Training examples
    without a text are dropped with a warning; elsewhere they stay.

    Args:
        config: as `load_config` gave it.
        data_dir: where relative paths start.

    Raises:
        DataError: a file is at fault, a share leaves no example, or for classification train has one class only, or
            another split has a label that train never had.
    """
    data = config.data
    layout = settle_columns(data.train, config, data_dir)
    train = _training_records(data.train, layout, data_dir)
    labels = label_names(train) if config.task == "classification" else None
    splits: dict[str, list[dict]] = {"test": [], "validation": []}
    origin = {"train": describe(data.train)}
    for name, wanted in (("test", data.test), ("validation", data.validation)):
        if isinstance(wanted, float):
            train, splits[name] = _set_aside(train, wanted, name, _cutter(config))
            origin[name] = f"{100 * wanted:g} % of train"
        elif wanted is not None:
            splits[name] = load_records(wanted, layout, data_dir, labels)
            origin[name] = describe(wanted)
    return Splits(train, splits["validation"], splits["test"], origin)


def load_records(
    source: Source,
    layout: Layout | Config | Mapping[str, Any],
    data_dir: Path = Path(),
    known_labels: Collection[str] | None = None,
) -> list[dict]:
    """Loads the records of one source, answers and all.

    Args:
        source: a path, a glob, or a list of them; for translation also `{"source": ..., "target": ...}` of such.
        layout: how rows become records: of a config, or of a manifest.
        data_dir: where relative paths start.
        known_labels: the labels that the model has; None where they are still to be found, or where there are none.

    Returns:
        One dict a record: `{"text", "text_pair" (pairs only), "label": a string, or a list of strings}`,
        `{"source", "target"}`, or `{"prompt" (where there is one), "text"}`.

    Raises:
        DataError: the first row at fault, with its file and line, or a file that cannot be read.

    Example: `load_records("test.tsv", config, folder)[0]` is `{"text": "good", "label": "1"}`.
    """
    layout, data_dir = Layout.of(layout), Path(data_dir)
    if layout.task == "translation":
        return pairs.load_pairs(source, layout, data_dir)
    if layout.task == "generation":
        return documents.load_documents(source, layout, data_dir)
    return labelled.load_labelled(source, layout, data_dir, known_labels)


def read_records(
    source: Source, layout: Layout | Config | Mapping[str, Any], data_dir: Path = Path()
) -> Iterator[tuple[int, dict | RowError]]:
    """The records of texts to be answered, in order; a row at fault gives its error in its place.

    What is to be found out (label, target, text after a prompt) may be missing, a text may be empty; a `.txt` is one
    text a line, the empty lines too.

    Yields:
        The line, and the record or the `RowError`, whose `input` is what could be read of the row.

    Raises:
        DataError: a whole file is at fault: not there, empty, without the column of the text.
    """
    layout, data_dir = Layout.of(layout), Path(data_dir)
    if layout.task == "translation":
        return pairs.scan_pairs(source, layout, data_dir)
    if layout.task == "generation":
        return documents.scan_prompts(source, layout, data_dir)
    return labelled.scan_texts(source, layout, data_dir)


def _training_records(source: Source, layout: Layout, data_dir: Path) -> list[dict]:
    """The records to learn from: what is empty is dropped, what nothing can be learned from is an error."""
    records = load_records(source, layout, data_dir)
    if layout.task == "translation":
        return pairs.without_empty(records, source)
    if layout.task == "generation":
        return documents.without_empty(records, source)
    records = labelled.with_text(records, source)
    labelled.check_classes(records, source, layout)
    return records


def _cutter(config: Config) -> Callable[[list[dict], float], Parts]:
    """How a share of the training records is set aside."""
    if config.running_text:
        return documents.split_end
    if config.task == "classification":
        return lambda records, share: split_share(records, share, config.seed)
    fields = ("source", "target") if config.task == "translation" else ("text",)
    return lambda records, share: split_connected(records, share, config.seed, fields)


def _set_aside(train: list[dict], share: float, name: str, cut: Callable[[list[dict], float], Parts]) -> Parts:
    rest, taken = cut(train, share)
    if not taken or not rest:
        empty, other = (name, "larger") if rest else ("train", "smaller")
        raise DataError(
            f"data.{name}: {share:g} of {len(train)} training examples leaves no example for {empty};"
            f" expected a {other} share, more examples, or a file"
        )
    return rest, taken
