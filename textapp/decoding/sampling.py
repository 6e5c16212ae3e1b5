"""Drawing tokens: temperature, and the ways to cut off the unlikely ones."""

from __future__ import annotations

import numpy as np

from textapp.decoding.options import DecodingOptions

_FEW = 16


class Sampler:
    """Draws one token after the other.

    Args:
        options: temperature above 0, top_k, top_p, min_p, seed.

    Example: `Sampler(DecodingOptions(temperature=1.0, top_k=1))(np.array([0.1, 2.0, 1.0]))` is 1.
    """

    def __init__(self, options: DecodingOptions) -> None:
        self._options = options
        self._random = np.random.default_rng(options.seed)

    def __call__(self, logits: np.ndarray) -> int:
        """Logits `[vocabulary]`, -inf where forbidden, to a token."""
        token_ids, probabilities = candidates(logits, self._options)
        place = np.searchsorted(np.cumsum(probabilities), self._random.random() * probabilities.sum(), side="right")
        return int(token_ids[min(place, len(token_ids) - 1)])


def candidates(logits: np.ndarray, options: DecodingOptions) -> tuple[np.ndarray, np.ndarray]:
    """The tokens that may be drawn, the likeliest first, and their probabilities, before these are made to sum to 1.

    Temperature first, then top-k (Fan et al., 2018), top-p (Holtzman et al., 2020), min-p (Nguyen et al., 2024).

    Example: probabilities 0.5, 0.3, 0.15, 0.05 with top_p 0.7 leave tokens 0 and 1, with min_p 0.2 tokens 0, 1 and 2.
    """
    logits = logits.astype(np.float64)
    # Taken off before the division: a tiny temperature must not make an infinity of the highest one.
    logits = (logits - logits.max()) / options.temperature
    order = highest(logits, options.top_k or len(logits))
    probabilities = np.exp(logits[order])
    probabilities /= probabilities.sum()
    if options.top_p < 1:
        before = np.cumsum(probabilities) - probabilities
        kept = max(1, int((before < options.top_p).sum()))
        order, probabilities = order[:kept], probabilities[:kept]
    # Far below the likeliest, exponentials are 0, and what has no probability is not drawn.
    kept = (probabilities >= options.min_p * probabilities[0]) & (probabilities > 0)
    return order[kept], probabilities[kept]


def highest(values: np.ndarray, count: int) -> np.ndarray:
    """The indices of the `count` highest values `[n]`, the highest first; of equals the lowest index first.

    What is -inf is left out.

    Example: `highest(np.array([1.0, 3.0, 3.0, 2.0]), 2)` is `[1, 2]`.
    """
    if count <= _FEW:  # for a beam this takes a fraction of the time of parting a vocabulary
        left, found = values.copy(), []
        while len(found) < count and left[best := int(left.argmax())] > -np.inf:
            found.append(best)
            left[best] = -np.inf
        return np.array(found, np.intp)
    among = np.flatnonzero(values > -np.inf)
    if count < len(among):
        least = np.partition(values, len(values) - count)[len(values) - count]
        among = np.flatnonzero(values >= least)
    return among[np.argsort(-values[among], kind="stable")[:count]]
