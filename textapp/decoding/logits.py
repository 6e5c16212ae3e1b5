"""From a step's logits to log-probabilities, under the rules about repetition and length."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np


class Rules(NamedTuple):
    """What a text has to keep to.

    Attributes:
        max_new_tokens: maximum number of new tokens.
        end_id: ends a text.
        min_new_tokens: minimum number of new tokens, before which `end_id` cannot come.
        repetition_penalty: see `penalised`.
        no_repeat_ngram_size: no n-gram of this size is repeated; 0: any may be.
        stopped: whether the text of these new tokens holds a stop string.
        never_ids: tokens that are no text.
    """

    max_new_tokens: int
    end_id: int
    min_new_tokens: int = 0
    repetition_penalty: float = 1.0
    no_repeat_ngram_size: int = 0
    stopped: Callable[[Sequence[int]], bool] | None = None
    never_ids: Sequence[int] = ()

    def ended(self, token_ids: Sequence[int]) -> bool:
        """Whether these new tokens are a whole text."""
        return token_ids[-1] == self.end_id or (self.stopped is not None and self.stopped(token_ids))

    def apply(self, logits: np.ndarray, token_ids: Sequence[int]) -> tuple[np.ndarray, float]:
        """Lowers and forbids tokens.

        Args:
            logits: of the next token, `[vocabulary]`; they are not changed.
            token_ids: the new tokens so far.

        Returns:
            the logits, -inf where a token is forbidden, and their normaliser: `logits[i] - normaliser` is a
            log-probability. What is forbidden keeps its share, so a score tells of the model and not of the rules.
        """
        if self.repetition_penalty != 1:
            logits = penalised(logits, token_ids, self.repetition_penalty)
        normaliser = log_sum_exp(logits)
        forbidden = [*self.never_ids, *repeating(token_ids, self.no_repeat_ngram_size)]
        if len(token_ids) < self.min_new_tokens:
            forbidden = [*forbidden, self.end_id]
        if forbidden:
            logits = logits.copy()
            logits[forbidden] = -np.inf
        return logits, normaliser


def log_sum_exp(logits: np.ndarray) -> float:
    """The logarithm of the sum of exponentials, without overflow.

    Example: `log_sum_exp(np.zeros(4))` is ln 4 = 1.3863.
    """
    top = float(logits.max())
    return top + float(np.log(np.exp(logits - np.float32(top)).sum()))


def penalised(logits: np.ndarray, token_ids: Sequence[int], penalty: float) -> np.ndarray:
    """Lowers the logits of tokens that came already (Keskar et al., 2019, CTRL).

    A positive logit is divided by the penalty and a negative one multiplied, so that both go down.

    Example: `penalised(np.array([2.0, -1.0, 3.0]), [0, 1], 2.0)` is `[1, -2, 3]`.
    """
    lowered = logits.copy()
    seen = np.unique(np.asarray(token_ids, np.int64))
    lowered[seen] = np.where(logits[seen] > 0, logits[seen] / penalty, logits[seen] * penalty)
    return lowered


def repeating(token_ids: Sequence[int], size: int) -> list[int]:
    """The tokens that would end a run of `size` tokens that came before (Paulus et al., 2017).

    Example: `repeating([5, 6, 7, 5, 6], 3)` is `[7]`: 5 6 7 was written once.
    """
    if not size or len(token_ids) < size:
        return []
    begun = list(token_ids[len(token_ids) - size + 1 :])
    starts = range(len(token_ids) - size + 1)
    return [token_ids[start + size - 1] for start in starts if list(token_ids[start : start + size - 1]) == begun]
