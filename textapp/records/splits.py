"""Splits a share off the records, balanced by label or by sentence; equal texts stay in the same split."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from textapp.records.shards import TokenShards

Record = dict[str, Any]
Parts = tuple[list[Record], list[Record]]  # what stays, and what is set aside


class Splits(NamedTuple):
    """The records of a run.

    Attributes:
        train, validation, test: the records of each; empty where there are none.
        origin: for each split in use where it comes from: `train.tsv`, `10 % of train`.
        first: for each split that has files of its own its first records, as they were read.
        prepared: the training examples as token ids on disk, in place of `train`; None: there are none.
    """

    train: list[Record]
    validation: list[Record]
    test: list[Record]
    origin: dict[str, str]
    first: Mapping[str, list[Record]] = {}
    prepared: TokenShards | None = None

    @property
    def train_size(self) -> int:
        """The number of training examples."""
        return len(self.train) if self.prepared is None else len(self.prepared)

    @property
    def sizes(self) -> tuple[int, int, int]:
        """The numbers of training, validation and test examples."""
        return self.train_size, len(self.validation), len(self.test)

    @property
    def leading(self) -> list[Record]:
        """The training records, else those of the first other split that has some."""
        return self.train or self.validation or self.test


def split_share(records: Sequence[Record], share: float, seed: int) -> tuple[list[Record], list[Record]]:
    """Splits a share off the records, stratified by label.

    Takes the same share of every label, up to rounding, and leaves at least one record of each. Records with equal
    texts stay together. The same records, share and seed always give the same split.

    Args:
        records: with `text`, optionally `text_pair`, and `label` (a string, or a list of strings).
        share: share of the number of records, between 0 and 1.
        seed: seed of the random choice.

    Returns:
        The remaining records and those split off, both in their original order.

    Raises:
        ValueError: the share is not between 0 and 1.

    Example: 100 records of label a, 50 of label b, share 0.1: the second list has 10 of a and 5 of b.
    """
    if not 0 < share < 1:
        raise ValueError(f"expected a share between 0 and 1, found {share}")
    choice = random.Random(seed)
    taken: set[int] = set()
    remaining = Counter(label for record in records for label in set(_labels(record)))
    owed = 0.0  # includes what rounding left out for earlier labels, so that rare labels together give their share
    for groups in _groups_by_label(records):
        size = sum(map(len, groups))
        owed += share * size
        choice.shuffle(groups)
        for group in groups[:-1]:  # the last one stays, so that the training data keep every label
            # They keep the group's other labels too: a text may have several, and equal texts may have different ones.
            leaving = Counter(label for index in group for label in set(_labels(records[index])))
            if len(group) <= owed + 0.5 and all(remaining[label] > count for label, count in leaving.items()):
                taken.update(group)
                owed -= len(group)
                remaining -= leaving
    rest = [record for index, record in enumerate(records) if index not in taken]
    return rest, [records[index] for index in sorted(taken)]


def split_connected(
    records: Sequence[Record], share: float, seed: int, fields: Sequence[str]
) -> tuple[list[Record], list[Record]]:
    """Splits a share off the records, so that the two splits have no value of a field in common.

    Records with a value in common are connected, directly or through others; each connected component stays together.
    A sentence with many translations can make a large component; one that exceeds the share is not split off.

    Args:
        records: with a string for each of `fields`.
        share: share of the number of records, between 0 and 1.
        seed: seed of the random choice.
        fields: the fields, such as `("source", "target")` for sentence pairs.

    Returns:
        The remaining records and those split off, both in their original order.

    Raises:
        ValueError: the share is not between 0 and 1.

    Example: of the pairs `a-1, a-2, b-2, c-3` the first three stay together, as `a` and `2` connect them.
    """
    if not 0 < share < 1:
        raise ValueError(f"expected a share between 0 and 1, found {share}")
    components = _components(records, fields)
    random.Random(seed).shuffle(components)
    taken: set[int] = set()
    owed = share * len(records)
    for component in components:
        if len(component) <= owed + 0.5 and len(taken) + len(component) < len(records):
            taken.update(component)
            owed -= len(component)
    rest = [record for index, record in enumerate(records) if index not in taken]
    return rest, [records[index] for index in sorted(taken)]


def _components(records: Sequence[Record], fields: Sequence[str]) -> list[list[int]]:
    """The indices of connected records, by union-find with path halving (Tarjan and van Leeuwen, 1984)."""
    parent = list(range(len(records)))

    def root(index: int) -> int:
        while parent[index] != index:
            parent[index] = index = parent[parent[index]]
        return index

    first: dict[tuple[str, str], int] = {}
    for index, record in enumerate(records):
        for field in fields:
            other = first.setdefault((field, record[field].strip()), index)
            parent[root(index)] = root(other)
    components: dict[int, list[int]] = {}
    for index in range(len(records)):
        components.setdefault(root(index), []).append(index)
    return list(components.values())


def _groups_by_label(records: Sequence[Record]) -> list[list[list[int]]]:
    """For each label the groups of indices of equal texts; the most frequent label first."""
    by_text: dict[tuple[str, str], list[int]] = {}
    for index, record in enumerate(records):
        key = (record["text"].strip(), record.get("text_pair", "").strip())
        by_text.setdefault(key, []).append(index)
    counts = Counter(label for record in records for label in _labels(record))
    strata: dict[str, list[list[int]]] = {}
    for group in by_text.values():
        # A text with several labels counts for its rarest one, whose share chance would distort the most.
        label = min(_labels(records[group[0]]), key=lambda label: (counts[label], label), default="")
        strata.setdefault(label, []).append(group)
    return [strata[label] for label in sorted(strata, key=lambda label: (-counts[label], label))]


def _labels(record: Record) -> list[str]:
    label = record["label"]
    return [label] if isinstance(label, str) else label
