"""Which of several variants do people prefer? Anonymous sheets, and what the judged ones say."""

from __future__ import annotations

import math
import random
import string
import unicodedata
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

TIE = ("TIE", "=")
MOST_VARIANTS = len(string.ascii_uppercase)

Order = list[list[int]]  # for each letter of a row the variants that wrote this output


def anonymous_rows(outputs: Sequence[Sequence[str]], seed: int) -> tuple[list[tuple[int, list[str], Order]], int]:
    """Shuffles examples, and the outputs of each, so that a judge cannot tell who wrote what.

    Args:
        outputs: for each example the output of every variant.
        seed: the same seed gives the same order.

    Returns:
        Rows `(example, outputs, order)`: the place of the example in `outputs`; its different outputs, to stand under
        the letters A, B, ...; for each letter the variants that wrote it. And how many examples were left out
        because all variants agree, so that nobody needs to judge them.

    Example:
        anonymous_rows([["a cat", "the cat"], ["rain", "rain"]], seed=7)    # one row; ([(0, [..], [..])], 1)
    """
    shuffle = random.Random(seed)
    rows = []
    for example, texts in enumerate(outputs):
        writers: dict[str, list[int]] = {}
        for variant, text in enumerate(texts):
            writers.setdefault(text, []).append(variant)
        different = list(writers)
        if len(different) > 1:
            shuffle.shuffle(different)
            rows.append((example, different, [writers[text] for text in different]))
    shuffle.shuffle(rows)
    return rows, len(outputs) - len(rows)


def best_letters(cell: str, num_letters: int) -> set[int] | None:
    """What a judge wrote, as places of letters.

    Args:
        cell: the letter of the best output (`B`), the letters of several that are equally good (`AB`), or `tie` (also
            `=`) where all are.
        num_letters: how many outputs the row has.

    Returns:
        The places, A is 0; None where the cell is empty.

    Raises:
        ValueError: it is none of these.

    Example: `best_letters("b", 2) == {1}`.
    """
    word = "".join(unicodedata.normalize("NFKC", cell).upper().split())
    if not word:
        return None
    if word in TIE:
        return set(range(num_letters))
    letters = string.ascii_uppercase[:num_letters]
    places = {letters.find(letter) for letter in word if letter not in "=,/+"}
    if not places or -1 in places:
        raise ValueError(f"found '{cell.strip()}', expected one of {', '.join(letters)}, several of them, or tie")
    return places


def preference_table(
    judgements: Sequence[tuple[set[int], Order]], num_variants: int, identical: int = 0
) -> list[dict[str, Any]]:
    """Counts who was preferred to whom.

    Args:
        judgements: for each judged row the best letters and the row's order. The best beat all others; the others are
            not compared with each other, as nobody did.
        num_variants: how many variants there are.
        identical: examples on which all variants agreed: ties.

    Returns:
        For each pair of variants `{first, second, wins, losses, ties, p}`, `wins` of the first. `p` is that of the sign
        test: how often chance alone gives a difference as large.

    Example:
        preference_table([({0}, [[0], [1]])] * 6, 2)    # 6 wins, no loss, p 0.0312
    """
    counts = {pair: [0, 0, identical] for pair in combinations(range(num_variants), 2)}
    for best, order in judgements:
        place = {variant: letter for letter, variants in enumerate(order) for variant in variants}
        for first, second in counts:
            ahead = (place[first] in best) - (place[second] in best)
            if ahead or place[first] == place[second] or place[first] in best:
                counts[first, second][{1: 0, -1: 1, 0: 2}[ahead]] += 1
    return [
        {"first": first, "second": second, "wins": wins, "losses": losses, "ties": ties, "p": sign_test(wins, losses)}
        for (first, second), (wins, losses, ties) in counts.items()
    ]


def sign_test(wins: int, losses: int) -> float:
    """The two-sided sign test: the probability of a difference as large where both are equally good; ties are left out.

    Example: `sign_test(8, 2) == 0.1094`.
    """
    total, fewer = wins + losses, min(wins, losses)
    tail = sum(math.comb(total, count) for count in range(fewer + 1))
    return round(min(1.0, 2 * tail / 2**total), 4)


def summary(variants: Sequence[str], pairs: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The pairs with names in place of numbers."""
    return [{**pair, "first": variants[pair["first"]], "second": variants[pair["second"]]} for pair in pairs]
