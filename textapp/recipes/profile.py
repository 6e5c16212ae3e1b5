"""The parts that a data profile is shown as: facts and tables."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple, Union

from textapp.records.splits import Splits
from textapp.text.cleaning import clean_text


class Facts(NamedTuple):
    """Names with values; values that are None or empty are not shown."""

    title: str
    values: Mapping[str, Any]


class Table(NamedTuple):
    """Rows of cells; the first `left` columns are text, the others numbers."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]
    left: int = 1


Section = Union[Facts, Table]


def row_counts(profile: Mapping[str, Any], unit: str) -> dict[str, str]:
    """`120 pairs (train.tsv)` for each split in use."""
    origin = profile["origin"]
    return {name: f"{count:,} {unit} ({origin.get(name, '-')})" for name, count in profile["rows"].items() if count}


def bucket_table(lengths: Mapping[str, Any], unit: str) -> Table:
    """The share of texts and of padding in each bucket."""
    rows = [list(bucket.values()) for bucket in lengths["buckets"]]
    return Table("buckets, in %", ["tokens", f"{unit} in it", "padding in it", f"{unit} longer"], rows, left=0)


def records_by_split(splits: Splits) -> dict[str, list[dict]]:
    """The records of each split by its name."""
    return {name: getattr(splits, name) for name in ("train", "validation", "test")}


def cleaned(
    records: Sequence[Mapping[str, Any]], fields: Sequence[str], steps: Collection[str] | None, lines: bool = False
) -> list[dict[str, Any]]:
    """The records with the texts that a model reads.

    Args:
        records: of one split.
        fields: of a record, with texts; a record may lack some.
        steps: `cleaning` of the config; None or empty: the texts stay as they are.
        lines: whether each line is cleaned by itself, as in a language model's documents.
    """
    if not steps:
        return [dict(record) for record in records]

    def clean(text: str) -> str:
        return "\n".join(clean_text(line, steps) for line in text.split("\n")) if lines else clean_text(text, steps)

    return [{**record, **{name: clean(record[name]) for name in fields if record.get(name)}} for record in records]
