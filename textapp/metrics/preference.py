"""Which of several variants do people prefer? Anonymous sheets for judges, and the results of judged sheets."""

from __future__ import annotations

import math
import random
import string
import unicodedata
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

TIE = ("TIE", "=")
MAX_VARIANTS = len(string.ascii_uppercase)

Order = list[list[int]]  # for each letter of a row, the variants that gave this output


def anonymous_rows(outputs: Sequence[Sequence[str]], seed: int) -> tuple[list[tuple[int, list[str], Order]], int]:
    """Shuffles examples, and the outputs of each, so that a judge cannot tell which variant gave which output.

    Args:
        outputs: for each example, the output of every variant.
        seed: the same seed gives the same order.

    Returns:
        Rows `(example, outputs, order)`: the index of the example; its distinct outputs, one for each of the letters
        A, B, ...; for each letter the variants that gave this output. Then the number of examples left out because
        all variants give the same output.

    Example:
        anonymous_rows([["a cat", "the cat"], ["rain", "rain"]], seed=7)    # one row; ([(0, [..], [..])], 1)
    """
    shuffle = random.Random(seed)
    rows = []
    for example, texts in enumerate(outputs):
        variants: dict[str, list[int]] = {}
        for variant, text in enumerate(texts):
            variants.setdefault(text, []).append(variant)
        distinct = list(variants)
        if len(distinct) > 1:
            shuffle.shuffle(distinct)
            rows.append((example, distinct, [variants[text] for text in distinct]))
    shuffle.shuffle(rows)
    return rows, len(outputs) - len(rows)


def best_letters(cell: str, num_letters: int) -> set[int] | None:
    """Parses a judge's cell into letter indices.

    Args:
        cell: the letter of the best output (`B`), the letters of several equally good ones (`AB`), or `tie` (also `=`)
            if all are equally good.
        num_letters: number of outputs in the row.

    Returns:
        The indices, 0 for A; None if the cell is empty.

    Raises:
        ValueError: the cell is none of these.

    Example: `best_letters("b", 2) == {1}`.
    """
    word = "".join(unicodedata.normalize("NFKC", cell).upper().split())
    if not word:
        return None
    if word in TIE:
        return set(range(num_letters))
    letters = string.ascii_uppercase[:num_letters]
    indices = {letters.find(letter) for letter in word if letter not in "=,/+"}
    if not indices or -1 in indices:
        raise ValueError(f"found '{cell.strip()}', expected one of {', '.join(letters)}, several of them, or tie")
    return indices


def preference_table(
    judgements: Sequence[tuple[set[int], Order]], num_variants: int, identical: int = 0
) -> list[dict[str, Any]]:
    """Counts for each pair of variants which one was preferred.

    Args:
        judgements: for each judged row the best letters and the row's order. The best win against all others; the
            others are not compared with each other, because the judge did not compare them.
        num_variants: number of variants.
        identical: number of examples on which all variants agree; they count as ties.

    Returns:
        For each pair of variants `{first, second, wins, losses, ties, p}`; `wins` are those of the first, `p` is the
        p-value of the sign test.

    Example:
        preference_table([({0}, [[0], [1]])] * 6, 2)    # 6 wins, no loss, p 0.0312
    """
    counts = {pair: [0, 0, identical] for pair in combinations(range(num_variants), 2)}
    for best, order in judgements:
        letter_of = {variant: letter for letter, variants in enumerate(order) for variant in variants}
        for first, second in counts:
            result = (letter_of[first] in best) - (letter_of[second] in best)
            if result or letter_of[first] == letter_of[second] or letter_of[first] in best:
                counts[first, second][{1: 0, -1: 1, 0: 2}[result]] += 1
    return [
        {"first": first, "second": second, "wins": wins, "losses": losses, "ties": ties, "p": sign_test(wins, losses)}
        for (first, second), (wins, losses, ties) in counts.items()
    ]


def sign_test(wins: int, losses: int) -> float:
    """The p-value of the two-sided sign test, without ties: how likely a difference this large is by chance alone.

    Example: `sign_test(8, 2) == 0.1094`.
    """
    total, fewer = wins + losses, min(wins, losses)
    tail = sum(math.comb(total, count) for count in range(fewer + 1))
    return round(min(1.0, 2 * tail / 2**total), 4)


def summary(variants: Sequence[str], pairs: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The pairs with the names of the variants instead of their numbers."""
    return [{**pair, "first": variants[pair["first"]], "second": variants[pair["second"]]} for pair in pairs]
