"""Greedy search, and the loop over single tokens that sampling shares with it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from textapp.decoding.logits import Rules
from textapp.decoding.steps import Stepping

Choose = Callable[[np.ndarray], int]


class Hypothesis(NamedTuple):
    """A generated text.

    Attributes:
        token_ids: the new tokens, including the end id if the text ended with it.
        score: the sum of their log-probabilities.
        rank: the key that sorts the hypotheses of one search, the highest first.
    """

    token_ids: list[int]
    score: float
    rank: float


def walk(session: Stepping, rules: Rules, choose: Choose) -> Iterator[tuple[int, float]]:
    """Yields each new token with its log-probability as soon as it is chosen.

    Args:
        session: a session before the first new token, with one row.
        rules: when the text ends, and which tokens are forbidden.
        choose: logits `[vocabulary]`, -inf where forbidden, to a token.
    """
    token_ids: list[int] = []
    while len(token_ids) < rules.max_new_tokens:
        logits, normaliser = rules.apply(session.logits[0], token_ids)
        if logits.max() == -np.inf:  # the rules forbid every token
            return
        token_id = choose(logits)
        token_ids.append(token_id)
        yield token_id, float(logits[token_id]) - normaliser
        if rules.ended(token_ids) or len(token_ids) == rules.max_new_tokens:
            return
        session.advance([0], [token_id])


def argmax_token(logits: np.ndarray) -> int:
    """The token with the highest logit `[vocabulary]`; among equals the lowest id, as in the graph."""
    return int(logits.argmax())


def greedy_search(session: Stepping, rules: Rules, choose: Choose = argmax_token) -> Hypothesis:
    """Generates a text by taking the most probable token at each step, or the one that `choose` picks.

    Args:
        session: a session before the first new token, with one row.
        rules: when the text ends, and which tokens are forbidden.
        choose: logits `[vocabulary]`, -inf where forbidden, to a token.

    Example: with a model that predicts 5, then 7, then the end 3: `Hypothesis([5, 7, 3], -0.9, -0.9)`.
    """
    steps = list(walk(session, rules, choose))
    score = sum(log_probability for _, log_probability in steps)
    return Hypothesis([token_id for token_id, _ in steps], score, score)
