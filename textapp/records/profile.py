"""Profiles a classification data set before training: balance, lengths, duplicates, leaks, odd texts.

Works on records, whose texts are cleaned, and token counts, without a tokenizer. Shares are percentages, 0 to 100.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from textapp.errors import visible
from textapp.records.labelled import label_names
from textapp.records.lookalikes import lookalike_warnings

Record = Mapping[str, Any]
Key = tuple[str, str]

EXAMPLES = 3  # shown for each kind of problem
MAX_EXCERPT = 120  # characters
VERY_LONG = 4  # times the longest bucket
FEW_EXAMPLES = 10  # a class with fewer is hard to learn and to measure
LARGE_IMBALANCE = 10  # times the smallest class
NOTABLE_SHARE = 5.0  # percent of texts that are truncated, or repeated in train
NOTABLE_UNKNOWN = 0.5  # percent of tokens


def profile(
    splits: Mapping[str, Sequence[Record]],
    tokens: Mapping[str, Sequence[int]],
    unknown: Mapping[str, Sequence[int]],
    lengths: Sequence[int],
) -> dict[str, Any]:
    """Profiles the splits of a data set.

    Args:
        splits: records by split: `train`, and if there are any, `validation` and `test`.
        tokens: number of tokens of each record, by split, before truncation.
        unknown: number of unknown tokens of each record, by split.
        lengths: the bucket lengths in tokens, ascending.

    Returns:
        `{"rows", "labels", "balance", "lengths", "duplicates", "overlaps", "unknown", "odd", "warnings"}`.
    """
    result: dict[str, Any] = {
        "rows": {name: len(records) for name, records in splits.items()},
        "labels": label_counts(splits),
        "balance": balance(splits["train"]),
        "lengths": length_profile(tokens["train"], lengths),
        "duplicates": duplicates(splits["train"]),
        "overlaps": {
            name: overlap(splits["train"], records) for name, records in splits.items() if name != "train" and records
        },
        "unknown": {name: unknown_share(tokens[name], unknown[name]) for name, records in splits.items() if records},
        "odd": {name: odd_texts(records, tokens[name], lengths[-1]) for name, records in splits.items() if records},
    }
    return {**result, "warnings": warnings(result)}


def label_counts(splits: Mapping[str, Sequence[Record]]) -> dict[str, dict[str, int]]:
    """The number of records with each label in each split: `{label: {split: count}}`."""
    counts = {name: Counter(_all_labels(records)) for name, records in splits.items()}
    labels = label_names(record for records in splits.values() for record in records)
    return {label: {name: counter[label] for name, counter in counts.items()} for label in labels}


def balance(records: Sequence[Record]) -> dict[str, Any]:
    """How balanced the labels of the training records are.

    Example: 90 records of `a` and 10 of `b` give `{"classes": 2, "largest": "a", "largest_share": 90.0,
    "smallest": "b", "smallest_count": 10, "ratio": 9.0}`.
    """
    counts = Counter(_all_labels(records))
    if not counts:
        return {"classes": 0}
    ordered = sorted(counts, key=lambda label: (-counts[label], label))
    largest, smallest = ordered[0], ordered[-1]
    return {
        "classes": len(counts),
        "largest": largest,
        "largest_share": percent(counts[largest], len(records)),
        "smallest": smallest,
        "smallest_count": counts[smallest],
        "ratio": round(counts[largest] / counts[smallest], 2),
    }


def length_profile(tokens: Sequence[int], lengths: Sequence[int]) -> dict[str, Any]:
    """The lengths of the training texts, and the share and padding of each bucket.

    A text goes to the smallest bucket that it fits in and is padded to its length; one longer than the last bucket is
    truncated.

    Args:
        tokens: number of tokens of each training text.
        lengths: the bucket lengths in tokens, ascending.

    Returns:
        `{"mean", "p50", "p90", "p95", "p99", "longest", "buckets", "cut_share", "padding_share"}`; for each bucket
        `{"length", "texts_share", "padding_share", "longer_share"}`.

    Example: fifty texts of 5 tokens and fifty of 30, in buckets of 8 and 32: half of the texts go to each; 37.5 % of
    the first bucket and 6.25 % of the second is padding, 12.5 % of both together; nothing is truncated.
    """
    counts = np.asarray(tokens, np.int64)
    buckets, padded, previous = [], 0, -1
    for length in lengths:
        last = length == lengths[-1]
        inside = counts[(counts > previous) & ((counts <= length) | last)]
        filled = int(np.minimum(inside, length).sum())
        padded += length * inside.size
        buckets.append({
            "length": length,
            "texts_share": percent(inside.size, counts.size),
            "padding_share": percent(length * inside.size - filled, length * inside.size),
            "longer_share": percent(int((counts > length).sum()), counts.size),
        })  # fmt: skip
        previous = length
    used = int(np.minimum(counts, lengths[-1]).sum())
    quantiles = np.percentile(counts, [50, 90, 95, 99], method="higher") if counts.size else [0] * 4
    return {
        "mean": round(float(counts.mean()), 2) if counts.size else 0.0,
        **{name: int(value) for name, value in zip(("p50", "p90", "p95", "p99"), quantiles, strict=True)},
        "longest": int(counts.max(initial=0)),
        "buckets": buckets,
        "cut_share": buckets[-1]["longer_share"],
        "padding_share": percent(padded - used, padded),
    }


def duplicates(records: Sequence[Record]) -> dict[str, Any]:
    """Texts that occur more than once in the training records, and those of them with different labels.

    Example: text/label pairs `a/x, a/x, a/y, b/x` have one repeated text with 2 surplus rows and conflicting labels.
    """
    labels = _labels_by_text(records)
    rows = Counter(key_of(record) for record in records)
    repeated = [key for key, count in rows.items() if count > 1]
    conflicting = [key for key in repeated if len(labels[key]) > 1]
    surplus = sum(rows[key] - 1 for key in repeated)
    return {
        "texts": len(repeated),
        "rows": surplus,
        "share": percent(surplus, len(records)),
        "other_label": len(conflicting),
        "examples": [
            {"text": _excerpt(key), "labels": sorted(_joined(label) for label in labels[key])}
            for key in conflicting[:EXAMPLES]
        ],
    }


def overlap(train: Sequence[Record], other: Sequence[Record]) -> dict[str, Any]:
    """Rows of another split whose text is also in train, so that a model may have memorised the answer.

    `other_label` counts those whose label this text never has in train. Their examples come first.
    """
    known = _labels_by_text(train)
    shared = [record for record in other if key_of(record) in known]
    differing = [record for record in shared if tuple(labels_of(record)) not in known[key_of(record)]]
    chosen = {id(record): record for record in [*differing, *shared]}
    return {
        "rows": len(shared),
        "share": percent(len(shared), len(other)),
        "other_label": len(differing),
        "examples": [
            {
                "text": _excerpt(key_of(record)),
                "label": _joined(labels_of(record)),
                "train_labels": sorted(_joined(label) for label in known[key_of(record)]),
            }
            for record in list(chosen.values())[:EXAMPLES]
        ],
    }


def unknown_share(tokens: Sequence[int], unknown: Sequence[int]) -> dict[str, float]:
    """The share of unknown tokens, and of texts with at least one."""
    return {
        "tokens_share": percent(sum(unknown), sum(tokens)),
        "texts_share": percent(sum(1 for count in unknown if count), len(unknown)),
    }


def odd_texts(records: Sequence[Record], tokens: Sequence[int], longest: int) -> dict[str, Any]:
    """Empty texts, and texts more than four times as long as the longest bucket.

    Args:
        records: the records of one split.
        tokens: number of tokens of each.
        longest: length of the longest bucket in tokens.
    """
    long = [(count, record) for count, record in zip(tokens, records, strict=True) if count > VERY_LONG * longest]
    long.sort(key=lambda pair: -pair[0])
    return {
        "empty": sum(1 for record in records if not record["text"].strip()),
        "very_long": len(long),
        "examples": [{"tokens": count, "text": _excerpt(key_of(record))} for count, record in long[:EXAMPLES]],
    }


# --- warnings ------------------------------------------------------------------------------------------------------


def warnings(result: Mapping[str, Any]) -> list[str]:
    """One sentence for each problem in a profile that would harm a trained model, and how to fix it."""
    return [*_label_warnings(result), *_leak_warnings(result), *_text_warnings(result)]


def _label_warnings(result: Mapping[str, Any]) -> list[str]:
    lines = []
    spread, counts = result["balance"], result["labels"]
    on_all = sum(split["train"] for split in counts.values()) >= result["rows"]["train"]
    # Of texts with any number of labels some may have the only label, and some none.
    if not spread["classes"] or (spread["classes"] == 1 and on_all):
        lines.append("train has fewer than two labels: there is nothing to learn")
    elif spread["classes"] > 1 and spread["ratio"] >= LARGE_IMBALANCE:
        lines.append(
            f"'{visible(spread['largest'])}' is {spread['ratio']:g} times as frequent as "
            f"'{visible(spread['smallest'])}': "
            "look at macro F1 as well as accuracy, and try training.class_weights: balanced"
        )
    lines += lookalike_warnings({label: sum(split.values()) for label, split in counts.items()})
    few = [label for label, split in counts.items() if 0 < split["train"] < FEW_EXAMPLES]
    if few:
        lines.append(f"fewer than {FEW_EXAMPLES} training examples: {_listed(few)}")
    unseen = [label for label, split in counts.items() if not split["train"]]
    if unseen:
        lines.append(f"not in train, so never predicted: {_listed(unseen)}")
    return lines


def _leak_warnings(result: Mapping[str, Any]) -> list[str]:
    lines = []
    repeated = result["duplicates"]
    if repeated["share"] >= NOTABLE_SHARE:
        lines.append(f"{repeated['share']:g} % of the training rows repeat an earlier text")
    if repeated["other_label"]:
        lines.append(f"{repeated['other_label']} texts are in train with different labels: some of these are wrong")
    for name, shared in result["overlaps"].items():
        if shared["rows"]:
            lines.append(
                f"{shared['rows']} rows of {name} ({shared['share']:g} %) are also in train, "
                f"{shared['other_label']} of them with another label: scores on them say nothing about new texts"
            )
    return lines


def _text_warnings(result: Mapping[str, Any]) -> list[str]:
    lines = []
    truncated, longest = result["lengths"]["cut_share"], result["lengths"]["buckets"][-1]["length"]
    if truncated >= NOTABLE_SHARE:
        lines.append(f"{truncated:g} % of the training texts are truncated to {longest} tokens: add a longer length")
    for name, share in result["unknown"].items():
        if share["tokens_share"] >= NOTABLE_UNKNOWN:
            lines.append(
                f"{share['tokens_share']:g} % of the tokens of {name} are unknown to the tokenizer: "
                "a script that is not in train, or a small vocabulary"
            )
    for name, odd in result["odd"].items():
        if odd["empty"]:
            lines.append(f"{odd['empty']} empty texts in {name}")
        if odd["very_long"]:
            example = odd["examples"][0]
            lines.append(
                f"{odd['very_long']} very long texts in {name}, the longest of {example['tokens']} tokens "
                f"('{example['text'][:40]}'): the model reads only their beginning"
            )
    return lines


# --- records -------------------------------------------------------------------------------------------------------


def labels_of(record: Record) -> list[str]:
    """The labels of a record, sorted: exactly one, or any number if the task allows several."""
    label = record["label"]
    return [label] if isinstance(label, str) else sorted(label)


def _all_labels(records: Sequence[Record]) -> Iterator[str]:
    return (label for record in records for label in labels_of(record))


def key_of(record: Record) -> Key:
    """The key by which two records have equal texts: the text, and the second text of a pair."""
    return record["text"].strip(), (record.get("text_pair") or "").strip()


def percent(part: int, whole: int) -> float:
    """`percent(1, 8)` is 12.5; of nothing it is 0."""
    return round(100 * part / whole, 2) if whole else 0.0


def _labels_by_text(records: Sequence[Record]) -> dict[Key, set[tuple[str, ...]]]:
    labels = defaultdict(set)
    for record in records:
        labels[key_of(record)].add(tuple(labels_of(record)))
    return labels


def _joined(labels: Sequence[str]) -> str:
    return " + ".join(labels)


def _excerpt(key: Key) -> str:
    return excerpt(" | ".join(part for part in key if part))


def excerpt(text: str) -> str:
    """The beginning of a text, on one line."""
    line = " ".join(text.split())
    return line if len(line) <= MAX_EXCERPT else line[: MAX_EXCERPT - 1] + "…"


def _listed(labels: Sequence[str], max_labels: int = 8) -> str:
    shown = ", ".join(f"'{visible(label)}'" for label in labels[:max_labels])
    return shown if len(labels) <= max_labels else f"{shown} and {len(labels) - max_labels} more"
