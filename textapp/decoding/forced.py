"""Forced decoding: what a model says at each step while it reads given tokens, over `prefill_*` and `decode`.

So two models, or two ways into one model, are compared at every token, though one other token would send the rest of
a text elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from textapp.decoding.signatures import lengths_of, prefill_name

# Beside a group's inputs: the tokens that were generated after them, `[rows, steps]`, how many, `[rows]`, and those
# that no model generates, `[tokens]`.
GENERATED, GENERATED_TOKENS, NEVER_GENERATED = BESIDE = ("generated_ids", "generated_tokens", "never_ids")

if TYPE_CHECKING:
    from textapp.runners.runner import Runner


class Steps(NamedTuple):
    """Figures of each row and step; 0 after the end of a row.

    Attributes:
        best: the likeliest token that may be generated, `[rows, steps]` int32.
        gap: how far the given token's logit lies below that one's, `[rows, steps]` float32.
        log_probability: of the given token, `[rows, steps]` float32.
    """

    best: np.ndarray
    gap: np.ndarray
    log_probability: np.ndarray


def force(
    runner: Runner,
    prefill: str,
    features: Mapping[str, np.ndarray],
    token_ids: np.ndarray,
    num_tokens: np.ndarray,
    never_ids: Sequence[int] = (),
) -> Steps:
    """Reads the features, then one given token after the other.

    Args:
        runner: has `prefill` and `decode`; with `max_batch` 1 each row goes alone.
        prefill: such as `prefill_16`.
        features: its inputs, `token_ids` `[rows, 16]` and maybe `num_tokens` `[rows]`.
        token_ids: the given tokens, `[rows, steps]` int32.
        num_tokens: how many of them count, `[rows]` int32.
        never_ids: tokens that are never generated, though they may be given.

    Example: with the likeliest first token 7, `token_ids` `[[7, 3]]` give `best[0, 0] == 7` and `gap[0, 0] == 0`;
    `best[0, 1]` is the likeliest token after 7.
    """
    steps = Steps(*(np.zeros(token_ids.shape, kind) for kind in (np.int32, np.float32, np.float32)))
    for start in range(0, len(token_ids), runner.max_batch):
        rows = slice(start, start + runner.max_batch)
        length = int(num_tokens[rows].max(initial=0))
        part = {name: values[rows] for name, values in features.items()}
        for step, logits in enumerate(_logits(runner, prefill, part, token_ids[rows, :length])):
            goes_on = np.flatnonzero(step < num_tokens[rows])
            given = token_ids[rows][goes_on, step]
            logits = logits[goes_on].astype(np.float64)
            top = logits.max(axis=1)
            own = logits[np.arange(len(given)), given]
            log_sum = top + np.log(np.exp(logits - top[:, None]).sum(axis=1))
            logits[:, list(never_ids)] = -np.inf
            steps.best[start + goes_on, step] = logits.argmax(axis=1)
            steps.gap[start + goes_on, step] = logits.max(axis=1) - own
            steps.log_probability[start + goes_on, step] = own - log_sum
    return steps


def force_all(runner: Runner, groups: Mapping[str, Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Forces a model through several groups of texts.

    Args:
        runner: has the `prefill_*` that belongs to each group, and `decode`.
        groups: `generate_16_24.expected` and the like -> the inputs of `generate_16_24`, with GENERATED and
            GENERATED_TOKENS, and maybe NEVER_GENERATED.

    Returns:
        the figures of `Steps`, such as `generate_16_24.expected/gap`.
    """
    found = {}
    for group, named in groups.items():
        prefill = prefill_name(lengths_of(group.split(".")[0])[0])
        features = {name: rows for name, rows in named.items() if name not in BESIDE}
        never_ids = named.get(NEVER_GENERATED, ())
        steps = force(runner, prefill, features, named[GENERATED], named[GENERATED_TOKENS], never_ids)
        found |= {f"{group}/{name}": values for name, values in steps._asdict().items()}
    return found


def _logits(
    runner: Runner, prefill: str, features: Mapping[str, np.ndarray], token_ids: np.ndarray
) -> Iterator[np.ndarray]:
    """Yields the logits `[rows, vocabulary]` of each step."""
    cache = dict(runner.run(prefill, features))
    logits = cache.pop("logits")
    # An encoder-decoder has written nothing but its start token; a decoder alone goes on after its prompt.
    ones = np.ones(len(token_ids), np.int32)
    position = features.get("num_tokens", ones)
    for step in range(token_ids.shape[1]):
        yield logits
        if step + 1 < token_ids.shape[1]:
            token = {"token_id": token_ids[:, step], "position": position + np.int32(step)}
            cache |= runner.run("decode", token | cache)
            logits = cache.pop("logits")
