"""From the logits of a step to log-probabilities, under constraints on repetition and length."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

import numpy as np


class Constraint(Protocol):
    """What a generated text has to be. It is asked with all new tokens so far, which may be of different hypotheses."""

    def restricted(self, logits: np.ndarray, token_ids: Sequence[int]) -> np.ndarray:
        """The logits `[vocabulary]` of the next token, -inf where it may not come behind these tokens."""

    def complete(self, token_ids: Sequence[int]) -> bool:
        """Whether these tokens are a text that no token can follow."""


class Rules(NamedTuple):
    """Constraints on a generated text.

    Attributes:
        max_new_tokens: maximum number of new tokens.
        end_id: the token that ends a text.
        min_new_tokens: new tokens before a text may end.
        repetition_penalty: see `penalised`.
        no_repeat_ngram_size: n tokens in a row that may not come twice; 0: they may.
        stopped: a function that says whether the text of these new tokens contains a stop string.
        never_ids: tokens that are never generated.
        other_end_ids: further tokens that end a text.
        constraint: what the text has to be; None: any text.
    """

    max_new_tokens: int
    end_id: int
    min_new_tokens: int = 0
    repetition_penalty: float = 1.0
    no_repeat_ngram_size: int = 0
    stopped: Callable[[Sequence[int]], bool] | None = None
    never_ids: Sequence[int] = ()
    other_end_ids: Sequence[int] = ()
    constraint: Constraint | None = None

    def ended(self, token_ids: Sequence[int]) -> bool:
        """Whether these new tokens are a finished text."""
        if token_ids[-1] == self.end_id or token_ids[-1] in self.other_end_ids:
            return True
        if self.constraint is not None and self.constraint.complete(token_ids):
            return True
        return self.stopped is not None and self.stopped(token_ids)

    def apply(self, logits: np.ndarray, token_ids: Sequence[int]) -> tuple[np.ndarray, float]:
        """Applies the repetition penalty and forbids tokens.

        Args:
            logits: logits of the next token, `[vocabulary]`; not modified.
            token_ids: the new tokens so far.

        Returns:
            The logits `[vocabulary]`, -inf where a token is forbidden, and their normaliser: `logits[i] - normaliser`
            is a log-probability. Forbidden tokens keep their share, so scores are those of the model.
        """
        if self.repetition_penalty != 1:
            logits = penalised(logits, token_ids, self.repetition_penalty)
        normaliser = log_sum_exp(logits)
        forbidden = [*self.never_ids, *repeating(token_ids, self.no_repeat_ngram_size)]
        if len(token_ids) < self.min_new_tokens:
            forbidden = [*forbidden, self.end_id, *self.other_end_ids]
        if forbidden:
            logits = logits.copy()
            logits[forbidden] = -np.inf
        if self.constraint is not None:
            logits = self.constraint.restricted(logits, token_ids)
        return logits, normaliser


def log_sum_exp(logits: np.ndarray) -> float:
    """The logarithm of the sum of exponentials of logits `[vocabulary]`, without overflow.

    Example: `log_sum_exp(np.zeros(4))` is ln 4 = 1.3863.
    """
    highest = float(logits.max())
    return highest + float(np.log(np.exp(logits - np.float32(highest)).sum()))


def penalised(logits: np.ndarray, token_ids: Sequence[int], penalty: float) -> np.ndarray:
    """Lowers the logits of tokens that were already generated (Keskar et al., 2019, CTRL).

    A positive logit is divided by the penalty and a negative one multiplied, so that both decrease.

    Args:
        logits: logits of the next token, `[vocabulary]`; not modified.
        token_ids: the new tokens so far.
        penalty: 1 or more.

    Returns:
        The lowered logits, `[vocabulary]`.

    Example: `penalised(np.array([2.0, -1.0, 3.0]), [0, 1], 2.0)` is `[1, -2, 3]`.
    """
    lowered = logits.copy()
    seen = np.unique(np.asarray(token_ids, np.int64))
    lowered[seen] = np.where(logits[seen] > 0, logits[seen] / penalty, logits[seen] * penalty)
    return lowered


def repeating(token_ids: Sequence[int], size: int) -> list[int]:
    """The tokens that would repeat an n-gram of `size` tokens (Paulus et al., 2017); none if `size` is 0.

    Example: `repeating([5, 6, 7, 5, 6], 3)` is `[7]`, because 5 6 7 was already generated.
    """
    if not size or len(token_ids) < size:
        return []
    prefix = list(token_ids[len(token_ids) - size + 1 :])
    starts = range(len(token_ids) - size + 1)
    return [token_ids[start + size - 1] for start in starts if list(token_ids[start : start + size - 1]) == prefix]
