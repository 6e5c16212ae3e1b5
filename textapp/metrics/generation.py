"""Quality of generated text: ROUGE, distinct n-grams, and perplexity from log-probabilities."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Sequence
from typing import Any

import numpy as np

from textapp.errors import require
from textapp.languages import logographic
from textapp.metrics.bootstrap import Intervals, intervals, mean_intervals
from textapp.text.words import word_pattern

ROUGE = ("rouge1", "rouge2", "rougeL")
_MAX_NATS = 700.0  # exp of it is about the largest number that a float holds


class Words:
    """Splits text into words for ROUGE, whose own tokenizer keeps only a to z and digits.

    A word is a run of letters, digits and the marks combined with them, such as vowel signs; in scripts without spaces
    between words, one letter with its marks. A text without words, such as `?!`, is split into characters.

    Example:
        Words().tokenize("今天 is good_1") == ["今", "天", "is", "good", "1"]
        Words().tokenize("नमस्ते") == ["नमस्ते"]
    """

    def tokenize(self, text: str) -> list[str]:
        text = unicodedata.normalize("NFC", text.lower())
        return word_pattern().findall(text) or list("".join(text.split()))


def generation_scores(
    outputs: Sequence[str], language: str = "en", targets: Sequence[str | None] | None = None
) -> dict[str, Any]:
    """Scores generated texts.

    Args:
        outputs: the texts.
        language: with `zh` and `ja` n-grams are of characters, else of words.
        targets: the reference text of each prompt, or None; ROUGE is left out unless every output has one.

    Returns:
        `examples`, and in percent `distinct_1`, `distinct_2`, `rouge1`, `rouge2`, `rougeL` (F-measure, mean over the
        examples).

    Raises:
        ValueError: there are no outputs.
        UsageError: rouge-score is not installed.

    Example:
        generation_scores(["a b", "a c"])["distinct_1"] == 75.0
    """
    if not outputs:
        raise ValueError("expected at least one output to score, found none")
    scores: dict[str, Any] = {"examples": len(outputs)}
    references = [target for target in targets or [] if target is not None]
    if len(references) == len(outputs):
        scores |= rouge(outputs, references)
    return {**scores, "distinct_1": distinct(outputs, 1, language), "distinct_2": distinct(outputs, 2, language)}


def rouge(outputs: Sequence[str], targets: Sequence[str]) -> dict[str, float]:
    """ROUGE-1, -2 and -L (Lin, 2004) computed by rouge-score: F-measure in percent, mean over the examples.

    Example: `rouge(["今天很好"], ["今天好"])["rouge1"]` is 85.7143: 3 of 4 and 3 of 3 characters.
    """
    return best_rouge(outputs, [[target] for target in targets])


def best_rouge(outputs: Sequence[str], references: Sequence[Sequence[str]]) -> dict[str, float]:
    """Like `rouge`, for several references of each output, of which the nearest counts.

    Args:
        outputs: the texts.
        references: of each, at least one.
    """
    return {
        name: round(100 * sum(values) / len(values), 4) for name, values in _rouge_values(outputs, references).items()
    }


def rouge_intervals(outputs: Sequence[str], references: Sequence[Sequence[str]]) -> Intervals:
    """The bootstrap intervals of the figures of `best_rouge`, in percent.

    Args:
        outputs, references: as there.
    """
    return mean_intervals(_rouge_values(outputs, references))


def _rouge_values(outputs: Sequence[str], references: Sequence[Sequence[str]]) -> dict[str, list[float]]:
    """The F-measure, 0 to 1, of each output."""
    scorer = require("rouge_score.rouge_scorer", "evaluate").RougeScorer(ROUGE, tokenizer=Words())
    scored = [scorer.score_multi(list(each), output) for each, output in zip(references, outputs, strict=True)]
    return {name: [row[name].fmeasure for row in scored] for name in ROUGE}


def distinct(outputs: Sequence[str], n: int, language: str = "en") -> float:
    """The share, in percent, of different n-grams among all n-grams of the outputs (Li et al., 2016).

    Args:
        outputs: the texts; no n-gram spans two of them.
        n: length of an n-gram, in words; for Chinese and Japanese in characters.
        language: `en`, `zh`, ...
    """
    grams: list[tuple[str, ...]] = []
    for output in outputs:
        words = list("".join(output.split())) if logographic(language) else output.split()
        grams += zip(*(words[start:] for start in range(n)), strict=False)
    return round(100 * len(set(grams)) / len(grams), 4) if grams else 0.0


def perplexity(scored: Sequence[tuple[float, int, int]]) -> dict[str, float]:
    """The perplexity of texts: exp of the mean negative log-probability.

    Args:
        scored: for each text the sum of its tokens' log-probabilities in nats, the number of these tokens, and the
            number of characters that they encode.

    Returns:
        `perplexity` (per token), `perplexity_per_character`, `loss` (nats per token), `nats_per_character`.

    Raises:
        ValueError: there is no token or no character.

    Example:
        perplexity([(-6.0, 3, 12)])     # loss 2.0, perplexity 7.3891, nats_per_character 0.5
    """
    nats, tokens, characters = (sum(column) for column in zip(*scored, strict=True)) if scored else (0.0, 0, 0)
    if not tokens or not characters:
        raise ValueError(f"expected texts of at least one token and one character, found {tokens} and {characters}")
    loss, per_character = -nats / tokens, -nats / characters
    return {
        "perplexity": round(math.exp(min(loss, _MAX_NATS)), 4),
        "perplexity_per_character": round(math.exp(min(per_character, _MAX_NATS)), 4),
        "loss": round(loss, 4),
        "nats_per_character": round(per_character, 4),
    }


def perplexity_intervals(scored: Sequence[tuple[float, int, int]]) -> Intervals:
    """The bootstrap intervals of the figures of `perplexity`, over the texts.

    Args:
        scored: as there.
    """

    def figures(sums: np.ndarray) -> dict[str, float]:
        return perplexity([(sums[0], int(sums[1]), int(sums[2]))])

    return intervals(np.array(scored, dtype=float).reshape(-1, 3), figures)
