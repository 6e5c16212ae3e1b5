"""How probable given texts are to a model: the ground of perplexity."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from textapp.arrays import IGNORED, padded
from textapp.decoding.logits import log_sum_exp
from textapp.decoding.signatures import SCORE
from textapp.decoding.steps import open_session
from textapp.runners.runner import Runner

MOST_TOKENS = 2048  # of one call of `score`: the logits of a large vocabulary take the memory


class Window(NamedTuple):
    """A stretch of text that a model sees at once.

    Attributes:
        owner: the index of the text.
        source: token ids that an encoder reads; empty for a language model.
        read: token ids that the decoder reads.
        targets: what follows each of them.
        first: targets before this place are context, not counted.
    """

    owner: int
    source: list[int]
    read: list[int]
    targets: list[int]
    first: int


def windows(owner: int, read: Sequence[int], targets: Sequence[int], context: int, first: int = 0) -> Iterator[Window]:
    """Cuts a long text for a language model: each target is counted once, with half a context before it or more.

    Example: with a context of 4, six tokens give the windows 0 to 4, and 2 to 6 of which the last two count.
    """
    end = min(context, len(targets))
    while True:
        start = max(0, end - context)
        if first < end:
            yield Window(owner, [], list(read[start:end]), list(targets[start:end]), first - start)
        if end == len(targets):
            return
        first, end = max(first, end), min(end + max(1, context // 2), len(targets))


def log_probabilities(runner: Runner, parts: Sequence[Window], pad_id: int, source_pad_id: int) -> list[float]:
    """The sum of the log-probabilities of each window's counted targets, over the signature `score`.

    Args:
        runner: has `score`: `token_ids`, `target_ids` where there is an encoder, and `targets`, -1 where none counts,
            each `[batch, length]`, to `log_probabilities` `[batch, length]`.
        parts: the windows.
        pad_id: of what is written.
        source_pad_id: of what an encoder reads.
    """
    sums = [0.0] * len(parts)
    order = sorted(range(len(parts)), key=lambda index: -len(parts[index].read))
    while order:
        length = len(parts[order[0]].read)
        count = max(1, min(runner.max_batch, MOST_TOKENS // max(1, length)))
        indices, order = order[:count], order[count:]
        rows = [parts[index] for index in indices]
        features = _features(rows, length, pad_id, source_pad_id)
        found = runner.run(SCORE, features)["log_probabilities"]
        for index, row, values in zip(indices, rows, found, strict=True):
            sums[index] = float(values[row.first : len(row.targets)].sum(dtype=np.float64))
    return sums


def _features(rows: Sequence[Window], length: int, pad_id: int, source_pad_id: int) -> dict[str, np.ndarray]:
    read = padded([row.read for row in rows], length, pad_id)
    targets = padded([row.targets for row in rows], length, IGNORED)
    if not rows[0].source:
        return {"token_ids": read, "targets": targets}
    sources = [row.source for row in rows]
    source = padded(sources, max(map(len, sources)), source_pad_id)
    return {"token_ids": source, "target_ids": read, "targets": targets}


def stepwise_log_probabilities(
    runner: Runner, prefill: str, features: Mapping[str, np.ndarray], position: int, targets: Sequence[int]
) -> list[float]:
    """The log-probability of each token of one text, over `prefill_*` and `decode`.

    Args:
        runner, prefill, features, position: as for `open_session`.
        targets: the tokens that follow what `features` holds.
    """
    session = open_session(runner, prefill, features, position)
    found = []
    for place, token_id in enumerate(targets):
        logits = session.logits[0]
        found.append(float(logits[token_id]) - log_sum_exp(logits))
        if place + 1 < len(targets):
            session.advance([0], [token_id])
    return found
