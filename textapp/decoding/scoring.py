"""Log-probabilities of given texts under a model, from which perplexity is computed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from textapp.arrays import IGNORED, padded
from textapp.decoding.logits import log_sum_exp
from textapp.decoding.signatures import SCORE
from textapp.decoding.steps import logits_before, open_session
from textapp.runners.runner import Runner

MAX_TOKENS = 1024  # of one call of `score`, because the logits of a large vocabulary need much memory


class Window(NamedTuple):
    """A part of a text that a model sees at once.

    Attributes:
        owner: the index of the text.
        source: token ids for the encoder; empty for a language model.
        read: input token ids of the decoder.
        targets: the token id that follows each of them.
        first: index of the first target that is scored; earlier ones are context.
    """

    owner: int
    source: list[int]
    read: list[int]
    targets: list[int]
    first: int


def windows(owner: int, read: Sequence[int], targets: Sequence[int], context: int, first: int = 0) -> Iterator[Window]:
    """Splits a long text into windows for a language model.

    Each target is scored once, with at least half a context before it, as far as the text has one.

    Args:
        owner: the index of the text.
        read: input token ids of the decoder.
        targets: the token id that follows each of them.
        context: maximum length of a window.
        first: index of the first target that is scored.

    Example: with a context of 4, six tokens give the windows 0 to 4, and 2 to 6, where only the last two are scored.
    """
    end = min(context, len(targets))
    while True:
        start = max(0, end - context)
        if first < end:
            yield Window(owner, [], list(read[start:end]), list(targets[start:end]), first - start)
        if end == len(targets):
            return
        first, end = max(first, end), min(end + max(1, context // 2), len(targets))


def scores(runner: Runner, parts: Sequence[Window], pad_id: int, source_pad_id: int) -> list[dict[str, np.ndarray]]:
    """What a model says of each window's scored targets, by the signature `score`.

    Args:
        runner: a model with the signature `score`: `token_ids`, with an encoder also `target_ids`, and `targets` (-1
            where not scored), each `[batch, length]`, to `log_probability` and others, `[batch, length]` each.
        parts: the windows.
        pad_id: padding id of the decoder.
        source_pad_id: padding id of the encoder.

    Returns:
        For each window the outputs of `score`, `[scored targets]` each.
    """
    found: list[dict[str, np.ndarray]] = [{}] * len(parts)
    order = sorted(range(len(parts)), key=lambda index: -len(parts[index].read))
    while order:
        length = len(parts[order[0]].read)
        count = max(1, min(runner.max_batch, MAX_TOKENS // max(1, length)))
        indices, order = order[:count], order[count:]
        rows = [parts[index] for index in indices]
        features = _features(rows, length, pad_id, source_pad_id)
        outputs = runner.run(SCORE, features)
        for number, (index, row) in enumerate(zip(indices, rows, strict=True)):
            scored = slice(row.first, len(row.targets))
            found[index] = {name: values[number, scored] for name, values in outputs.items()}
    return found


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
) -> np.ndarray:
    """The log-probability of each token of one text, by `prefill_*` and then as many tokens at once as possible.

    Args:
        runner, prefill, features, position: as for `open_session`.
        targets: the token ids that follow `features`.

    Returns:
        `[targets]` float64, in nats.
    """
    session = open_session(runner, prefill, features, position)
    pairs = zip(targets, logits_before(session, targets), strict=True)
    return np.array([float(logits[token_id]) - log_sum_exp(logits) for token_id, logits in pairs], np.float64)
