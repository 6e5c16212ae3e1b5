"""The parts that a data profile is shown as: facts and tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Union

from textapp.records.splits import Splits


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
    return {name: records for name, records in splits._asdict().items() if name != "origin"}
