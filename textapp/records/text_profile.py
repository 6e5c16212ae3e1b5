"""Profiles data sets for text generation before training: sentence pairs, and documents.

Works on records, token counts and a test of single characters, without tokenizers. Shares are percentages, 0 to 100.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from textapp.records.profile import EXAMPLES, NOTABLE_SHARE, NOTABLE_UNKNOWN, excerpt, length_profile, percent

Record = Mapping[str, Any]
Splits = Mapping[str, Sequence[Record]]
Knows = Callable[[str], bool]

SIDES = ("source", "target")
ODD_RATIO = 4  # how many times larger or smaller than usual the ratio of the lengths may be
MIN_TOKENS = 8  # of the longer side; for shorter pairs the ratio says little
MAX_UNKNOWN = 20  # characters shown
LONG_LINE = 40  # characters; shorter lines of a text stream occur twice by chance


def pair_profile(
    splits: Splits,
    tokens: Mapping[str, Sequence[int]],
    knows: Mapping[str, Knows],
    lengths: Sequence[int],
    generate_lengths: Sequence[Sequence[int]],
) -> dict[str, Any]:
    """Profiles sentence pairs.

    Args:
        splits: records by split: `train`, and if there are any, `validation` and `test`.
        tokens: number of tokens of each training text, by side, with the end token.
        knows: by side, a function that says whether the vocabulary has a character.
        lengths: the bucket lengths of the source in tokens, ascending.
        generate_lengths: pairs `[source, new]` of lengths in tokens.

    Returns:
        `{"rows", "lengths": {side: ...}, "ratio", "duplicates", "overlaps", "unknown": {side: ...}, "warnings"}`.
    """
    train = splits["train"]
    target_lengths = sorted({new for _, new in generate_lengths})
    result: dict[str, Any] = {
        "rows": {name: len(records) for name, records in splits.items()},
        "lengths": {
            "source": length_profile(tokens["source"], lengths),
            "target": length_profile(tokens["target"], target_lengths),
        },
        "ratio": length_ratio(train, tokens["source"], tokens["target"]),
        "duplicates": pair_duplicates(train),
        "overlaps": {
            name: pair_overlap(train, records) for name, records in splits.items() if name != "train" and records
        },
        "unknown": {side: _unknown_by_split(splits, side, knows[side]) for side in SIDES},
    }
    return {**result, "warnings": _pair_warnings(result)}


def document_profile(
    splits: Splits, tokens: Sequence[int], knows: Knows, context: int, running_text: bool
) -> dict[str, Any]:
    """Profiles documents, or a text stream.

    Args:
        splits: records by split, `{"text", "prompt" (if there is one)}`.
        tokens: number of tokens of each training document, including its prompt.
        knows: a function that says whether the vocabulary has a character.
        context: maximum number of tokens that the model sees at once.
        running_text: whether the text is one stream, whose documents may be longer than the context.

    Returns:
        `{"rows", "characters", "tokens", "prompts", "lengths", "characters_a_token", "duplicates", "overlaps",
        "unknown", "warnings"}`. Duplicates and overlaps count documents, or lines of 40 or more characters of a text
        stream.
    """
    train = splits["train"]
    characters = {name: sum(len(record["text"]) for record in records) for name, records in splits.items()}
    units = {name: _units(records, running_text) for name, records in splits.items()}
    num_characters = sum(len(record.get("prompt") or "") for record in train) + characters["train"]
    result: dict[str, Any] = {
        "rows": {name: len(records) for name, records in splits.items()},
        "characters": characters,
        "tokens": sum(tokens),
        "prompts": sum(1 for record in train if record.get("prompt")),
        "lengths": length_profile(tokens, [context]),
        "characters_a_token": round(num_characters / max(1, sum(tokens)), 2),
        "duplicates": _repeated(units["train"]),
        "overlaps": {
            name: _shared(set(units["train"]), texts)
            for name, texts in units.items()
            if name != "train" and splits[name]
        },
        "unknown": _unknown_by_split(splits, "text", knows),
    }
    return {**result, "warnings": _document_warnings(result, running_text)}


# --- sentence pairs ------------------------------------------------------------------------------------------------


def length_ratio(records: Sequence[Record], source: Sequence[int], target: Sequence[int]) -> dict[str, Any]:
    """Pairs with an unusual length ratio: more than four times larger or smaller than the median.

    Args:
        records: sentence pairs.
        source, target: number of tokens of each side of each pair.

    Example: of `[10, 10, 10]` source tokens and `[10, 10, 50]` target tokens the last pair is odd: 5 times the usual 1.
    """
    ratios = np.asarray(target, float) / np.maximum(np.asarray(source, float), 1)
    usual = float(np.median(ratios)) if len(ratios) else 1.0
    times = np.maximum(ratios, 1e-9) / max(usual, 1e-9)
    times = np.maximum(times, 1 / times)
    odd = np.flatnonzero((times > ODD_RATIO) & (np.maximum(source, target) >= MIN_TOKENS))
    worst = odd[np.argsort(-times[odd], kind="stable")]
    return {
        "usual": round(usual, 2),
        "odd": len(odd),
        "share": percent(len(odd), len(records)),
        "examples": [
            {
                **{side: excerpt(records[index][side]) for side in SIDES},
                "source_tokens": int(source[index]),
                "target_tokens": int(target[index]),
            }
            for index in worst[:EXAMPLES]
        ],
    }


def pair_duplicates(records: Sequence[Record]) -> dict[str, Any]:
    """Pairs that repeat an earlier one, texts with several translations, and pairs whose sides are the same text.

    Example: `a-1, a-1, a-2, b-2, c-c` has 1 repeated row, 1 source and 1 target with several, 1 untranslated pair.
    """
    pairs = Counter((record["source"], record["target"]) for record in records)
    several = {side: Counter(pair[index] for pair in pairs) for index, side in enumerate(SIDES)}
    surplus = len(records) - len(pairs)
    return {
        "rows": surplus,
        "share": percent(surplus, len(records)),
        **{f"{side}s_with_several": sum(1 for count in counts.values() if count > 1)
           for side, counts in several.items()},
        "same_on_both_sides": sum(count for (source, target), count in pairs.items() if source == target),
    }  # fmt: skip


def pair_overlap(train: Sequence[Record], other: Sequence[Record]) -> dict[str, Any]:
    """Pairs of another split that are in train, whole or with one side, so that a model may have memorised them."""
    known = {side: {record[side] for record in train} for side in SIDES}
    pairs = {(record["source"], record["target"]) for record in train}
    either = [record for record in other if any(record[side] in known[side] for side in SIDES)]
    return {
        "rows": len(either),
        "share": percent(len(either), len(other)),
        "pairs": sum(1 for record in other if (record["source"], record["target"]) in pairs),
        **{f"{side}s": sum(1 for record in other if record[side] in known[side]) for side in SIDES},
        "examples": [{side: excerpt(record[side]) for side in SIDES} for record in either[:EXAMPLES]],
    }


# --- documents -----------------------------------------------------------------------------------------------------


def _units(records: Sequence[Record], running_text: bool) -> list[str]:
    """The texts to search for duplicates: documents, or long lines of a text stream."""
    if not running_text:
        return [record["text"] for record in records]
    lines = (line.strip() for record in records for line in record["text"].split("\n"))
    return [line for line in lines if len(line) >= LONG_LINE]


def _repeated(texts: Sequence[str]) -> dict[str, Any]:
    counts = Counter(texts)
    surplus = len(texts) - len(counts)
    frequent = [text for text, count in counts.most_common(EXAMPLES) if count > 1]
    return {
        "rows": surplus, "share": percent(surplus, len(texts)), "examples": [excerpt(text) for text in frequent]
    }  # fmt: skip


def _shared(known: set[str], texts: Sequence[str]) -> dict[str, Any]:
    shared = [text for text in texts if text in known]
    return {
        "rows": len(shared), "share": percent(len(shared), len(texts)),
        "examples": [excerpt(text) for text in shared[:EXAMPLES]],
    }  # fmt: skip


# --- characters ----------------------------------------------------------------------------------------------------


def unknown_characters(texts: Iterable[str], knows: Knows) -> dict[str, Any]:
    """Characters that are not in the vocabulary: their share, the number of different ones, and the most frequent.

    Example: for `["ab", "aq"]` and a vocabulary of a and b: `{"share": 25.0, "different": 1, "examples": ["q"]}`.
    """
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(text)
    missing = {character: count for character, count in counts.items()
               if not character.isspace() and not knows(character)}  # fmt: skip
    return {
        "share": percent(sum(missing.values()), sum(counts.values())),
        "different": len(missing),
        "examples": sorted(missing, key=lambda character: (-missing[character], character))[:MAX_UNKNOWN],
    }


def _unknown_by_split(splits: Splits, field: str, knows: Knows) -> dict[str, Any]:
    return {
        name: unknown_characters((record[field] for record in records), knows)
        for name, records in splits.items()
        if records
    }


# --- warnings ------------------------------------------------------------------------------------------------------


def _pair_warnings(result: Mapping[str, Any]) -> list[str]:
    lines = []
    odd, repeated = result["ratio"], result["duplicates"]
    if odd["odd"]:
        example = odd["examples"][0]
        lines.append(
            f"{odd['odd']} training pairs have lengths that do not match, such as '{example['source'][:40]}' and"
            f" '{example['target'][:40]}': are the lines of both sides aligned?"
        )
    if repeated["share"] >= NOTABLE_SHARE:
        lines.append(f"{repeated['share']:g} % of the training pairs repeat an earlier one")
    if repeated["same_on_both_sides"]:
        lines.append(f"{repeated['same_on_both_sides']} training pairs have the same text on both sides")
    for name, shared in result["overlaps"].items():
        if shared["rows"]:
            lines.append(
                f"{shared['rows']} pairs of {name} ({shared['share']:g} %) have a side that is also in train,"
                f" {shared['pairs']} of them the whole pair: scores on them say nothing about new texts"
            )
    for side in SIDES:
        longer, longest = (result["lengths"][side]["buckets"][-1][key] for key in ("longer_share", "length"))
        if longer >= NOTABLE_SHARE:
            key = "lengths" if side == "source" else "generate_lengths"
            lines.append(f"{longer:g} % of the training {side}s are longer than {longest} tokens: add to {key}")
        lines += _unknown_warnings(result["unknown"][side], f" on the {side} side")
    return lines


def _document_warnings(result: Mapping[str, Any], running_text: bool) -> list[str]:
    what = "long lines" if running_text else "documents"
    lines = []
    if result["duplicates"]["share"] >= NOTABLE_SHARE:
        lines.append(f"{result['duplicates']['share']:g} % of the training {what} repeat an earlier one")
    for name, shared in result["overlaps"].items():
        if shared["rows"]:
            lines.append(
                f"{shared['rows']} {what} of {name} ({shared['share']:g} %) are also in train:"
                f" scores on them say nothing about new texts"
            )
    longer = result["lengths"]["cut_share"]
    if longer >= NOTABLE_SHARE and not running_text:
        context = result["lengths"]["buckets"][-1]["length"]
        lines.append(
            f"{longer:g} % of the training documents are longer than the context of {context} tokens:"
            f" they are split into parts; set lengths for a longer context"
        )
    return [*lines, *_unknown_warnings(result["unknown"], "")]


def _unknown_warnings(shares: Mapping[str, Any], where: str) -> list[str]:
    return [
        f"{share['share']:g} % of the characters of {name}{where} are not in the vocabulary"
        f" ({' '.join(share['examples'][:5])}): a script that is not in train, or a small vocabulary"
        for name, share in shares.items()
        if share["share"] >= NOTABLE_UNKNOWN
    ]
