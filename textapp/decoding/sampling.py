"""Sampling tokens with temperature, top-k, top-p and min-p."""

from __future__ import annotations

import numpy as np

from textapp.decoding.options import DecodingOptions

_MAX_ARGMAX = 16


class Sampler:
    """Samples one token per call.

    Args:
        options: temperature above 0, top_k, top_p, min_p, seed.

    Example: `Sampler(DecodingOptions(temperature=1.0, top_k=1))(np.array([0.1, 2.0, 1.0]))` is 1.
    """

    def __init__(self, options: DecodingOptions) -> None:
        self._options = options
        self._random = np.random.default_rng(options.seed)

    def __call__(self, logits: np.ndarray) -> int:
        """Samples a token from logits `[vocabulary]`, which are -inf where a token is forbidden."""
        token_ids, probabilities = candidates(logits, self._options)
        index = np.searchsorted(np.cumsum(probabilities), self._random.random() * probabilities.sum(), side="right")
        return int(token_ids[min(index, len(token_ids) - 1)])


def candidates(logits: np.ndarray, options: DecodingOptions) -> tuple[np.ndarray, np.ndarray]:
    """The tokens to sample from, the most probable first, and their probabilities, which are not renormalised.

    Applies temperature, then top-k (Fan et al., 2018), top-p (Holtzman et al., 2020), min-p (Nguyen et al., 2024).

    Args:
        logits: `[vocabulary]`, -inf where a token is forbidden.
        options: temperature above 0, top_k, top_p, min_p.

    Returns:
        Token ids and probabilities, both `[candidates]`.

    Example: probabilities 0.5, 0.3, 0.15, 0.05 with top_p 0.7 leave tokens 0 and 1, with min_p 0.2 tokens 0, 1 and 2.
    """
    logits = logits.astype(np.float64)
    # The maximum is subtracted before the division, because a tiny temperature could make the highest logit infinite.
    with np.errstate(over="ignore"):  # a low logit over a tiny temperature is -inf
        logits = (logits - logits.max()) / options.temperature
    order = highest(logits, options.top_k or len(logits))
    probabilities = np.exp(logits[order])
    probabilities /= probabilities.sum()
    if options.top_p < 1:
        before = np.cumsum(probabilities) - probabilities
        count = max(1, int((before < options.top_p).sum()))
        order, probabilities = order[:count], probabilities[:count]
    # Far below the highest logit the exponential is 0, and such a token cannot be sampled.
    allowed = (probabilities >= options.min_p * probabilities[0]) & (probabilities > 0)
    return order[allowed], probabilities[allowed]


def highest(values: np.ndarray, count: int) -> np.ndarray:
    """The indices `[count]` of the highest values `[n]`, the highest first; among equals the lowest index first.

    Values of -inf are left out.

    Example: `highest(np.array([1.0, 3.0, 3.0, 2.0]), 2)` is `[1, 2]`.
    """
    if count <= _MAX_ARGMAX:  # for the size of a beam much faster than partitioning a vocabulary
        rest = values.copy()
        best_first: list[int] = []
        while len(best_first) < count and rest[best := int(rest.argmax())] > -np.inf:
            best_first.append(best)
            rest[best] = -np.inf
        return np.array(best_first, np.intp)
    indices = np.flatnonzero(values > -np.inf)
    if count < len(indices):
        smallest = np.partition(values, len(values) - count)[len(values) - count]
        indices = np.flatnonzero(values >= smallest)
    return indices[np.argsort(-values[indices], kind="stable")[:count]]
