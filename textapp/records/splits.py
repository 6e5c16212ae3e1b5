"""A share of the records set aside: balanced by label, never with the same text on both sides."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from typing import Any

Record = dict[str, Any]


def split_share(records: Sequence[Record], share: float, seed: int) -> tuple[list[Record], list[Record]]:
    """Sets a share of the records aside.

    Every label gives the same share as far as whole records allow, and keeps at least one record. Records with equal
    texts stay together. The same records, share and seed always give the same split.

    Args:
        records: with `text`, perhaps `text_pair`, and `label` (a string, or a list of strings).
        share: between 0 and 1, of the number of records.
        seed: chooses which ones.

    Returns:
        The records that stay and those set aside, both in their first order.

    Raises:
        ValueError: the share is not between 0 and 1.

    Example: 100 records of label a, 50 of label b, share 0.1: the second list holds 10 of a and 5 of b.
    """
    if not 0 < share < 1:
        raise ValueError(f"expected a share between 0 and 1, found {share}")
    choice = random.Random(seed)
    taken: set[int] = set()
    owed = 0.0  # what rounding kept back from the labels before, so that rare labels have their share together
    for groups in _groups_by_label(records):
        size = sum(map(len, groups))
        owed += share * size
        choice.shuffle(groups)
        for group in groups[:-1]:  # the last one stays: a label never leaves the training data
            if len(group) <= owed + 0.5:
                taken.update(group)
                owed -= len(group)
    rest = [record for index, record in enumerate(records) if index not in taken]
    return rest, [records[index] for index in sorted(taken)]


def _groups_by_label(records: Sequence[Record]) -> list[list[list[int]]]:
    """For each label the groups of indices with equal texts; the most frequent label first."""
    by_text: dict[tuple[str, str], list[int]] = {}
    for index, record in enumerate(records):
        key = (record["text"].strip(), record.get("text_pair", "").strip())
        by_text.setdefault(key, []).append(index)
    counts = Counter(label for record in records for label in _labels(record))
    strata: dict[str, list[list[int]]] = {}
    for group in by_text.values():
        # Of several labels the rarest one counts: it is the one that chance would serve worst.
        label = min(_labels(records[group[0]]), key=lambda label: (counts[label], label), default="")
        strata.setdefault(label, []).append(group)
    return [strata[label] for label in sorted(strata, key=lambda label: (-counts[label], label))]


def _labels(record: Record) -> list[str]:
    label = record["label"]
    return [label] if isinstance(label, str) else label
