"""Labels that look alike, and are classes of their own."""

from __future__ import annotations

from collections.abc import Mapping

from textapp.errors import difference, look, visible

MAX_SHOWN = 8  # groups


def lookalikes(counts: Mapping[str, int]) -> list[list[str]]:
    """The groups of labels that look alike, each with the most frequent label first.

    Args:
        counts: label -> number of examples.

    Example: of `{"Boots": 5, "boots": 2, "Bags": 3}` it is `[["Boots", "boots"]]`.
    """
    groups: dict[str, list[str]] = {}
    for label in sorted(counts, key=lambda label: (-counts[label], label)):
        groups.setdefault(look(label), []).append(label)
    return [group for group in groups.values() if len(group) > 1]


def lookalike_warnings(counts: Mapping[str, int]) -> list[str]:
    """One sentence for each group of labels that look alike, with counts and what tells them apart.

    Args:
        counts: label -> number of examples.
    """
    groups = lookalikes(counts)
    lines = [_warning(group, counts) for group in groups[:MAX_SHOWN]]
    if len(groups) > MAX_SHOWN:
        lines.append(f"{len(groups) - MAX_SHOWN} more groups of labels look alike")
    return lines


def _warning(group: list[str], counts: Mapping[str, int]) -> str:
    first, *others = group
    shown = [
        f"'{visible(label)}' ({counts[label]:,}, differs in {difference(first, label)})" for label in others[:MAX_SHOWN]
    ]
    more = f" and {len(others) - MAX_SHOWN} more" if len(others) > MAX_SHOWN else ""
    return (
        f"labels look alike, and are classes of their own: '{visible(first)}' ({counts[first]:,}),"
        f" {', '.join(shown)}{more}: write them in one way if they mean the same"
    )
