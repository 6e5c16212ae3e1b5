"""Beam search: keeps several hypotheses at each step, those with the highest total probability."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from textapp.decoding.greedy import Hypothesis
from textapp.decoding.logits import Rules
from textapp.decoding.sampling import highest
from textapp.decoding.steps import Stepping


class _Live(NamedTuple):
    """An unfinished hypothesis: its tokens, and the sum of their log-probabilities."""

    token_ids: list[int]
    score: float


def beam_search(
    session: Stepping, rules: Rules, beam_size: int, length_penalty: float = 1.0, num_hypotheses: int = 1
) -> list[Hypothesis]:
    """Finds the best hypotheses by beam search.

    Each step keeps the `beam_size` most probable continuations; one that ends leaves the beam, which is then one
    narrower. The search is over when the beam is empty, or when nothing that is still in it can come among the
    `num_hypotheses` best: that changes no answer, because a log-probability only falls and a hypothesis gets
    `max_new_tokens` tokens at most.

    Hypotheses are ranked by `score / tokens ** length_penalty`, as in fairseq, CTranslate2 and Marian, so that their
    settings mean the same here. (GNMT, Wu et al., 2016, divides by ((5 + tokens) / 6) ** a.)

    Args:
        session: a session before the first new token; its `logits` are `[1, vocabulary]`.
        rules: when a text ends, and which tokens are forbidden.
        beam_size: maximum number of hypotheses; 1 gives the result of greedy search.
        length_penalty: 0 favours short hypotheses, 1 ranks by the mean log-probability of a token.
        num_hypotheses: how many are answered.

    Returns:
        `num_hypotheses` hypotheses or, where the rules leave no more, fewer; the best first.
    """
    finished: list[Hypothesis] = []
    live = [_Live([], 0.0)]
    parents = [0]
    for length in range(1, rules.max_new_tokens + 1):
        chosen = _best_continuations(session, rules, live, beam_size - len(finished))
        grown = [(row, _Live([*live[row].token_ids, token_id], score)) for row, token_id, score in chosen]
        ends = [rules.ended(hypothesis.token_ids) for _, hypothesis in grown]
        finished += [
            _ranked(hypothesis, length_penalty) for (_, hypothesis), end in zip(grown, ends, strict=True) if end
        ]
        parents = [row for (row, _), end in zip(grown, ends, strict=True) if not end]
        live = [hypothesis for (_, hypothesis), end in zip(grown, ends, strict=True) if not end]
        if not live or _settled(finished, live[0].score, rules.max_new_tokens, length_penalty, num_hypotheses):
            live = []
            break
        if length < rules.max_new_tokens:
            session.advance(parents, [hypothesis.token_ids[-1] for hypothesis in live])
    finished += [_ranked(hypothesis, length_penalty) for hypothesis in live]
    return sorted(finished, key=lambda hypothesis: -hypothesis.rank)[:num_hypotheses]


def _best_continuations(session: Stepping, rules: Rules, live: list[_Live], count: int) -> list[tuple[int, int, float]]:
    """`(row, token, score)` of the `count` most probable continuations, the best first."""
    rows, token_ids, scores = [], [], []
    for row, hypothesis in enumerate(live):
        logits, normaliser = rules.apply(session.logits[row], hypothesis.token_ids)
        best = highest(logits, count)
        rows += [row] * len(best)
        token_ids += best.tolist()
        scores += (hypothesis.score + (logits[best].astype(np.float64) - normaliser)).tolist()
    order = highest(np.array(scores), count) if scores else ()
    return [(rows[index], token_ids[index], scores[index]) for index in order]


def _ranked(hypothesis: _Live, length_penalty: float) -> Hypothesis:
    length = max(1, len(hypothesis.token_ids))
    return Hypothesis(hypothesis.token_ids, hypothesis.score, hypothesis.score / length**length_penalty)


def _settled(
    finished: list[Hypothesis], best_score: float, max_new_tokens: int, length_penalty: float, num_hypotheses: int
) -> bool:
    """Whether no live hypothesis can still come before the `num_hypotheses` best finished ones."""
    if len(finished) < num_hypotheses:
        return False
    worst = sorted((hypothesis.rank for hypothesis in finished), reverse=True)[num_hypotheses - 1]
    return best_score / max_new_tokens**length_penalty <= worst
