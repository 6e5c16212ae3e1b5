"""Forced decoding: what a model predicts at each step after given tokens, by `prefill_*` and `decode` of any runner.

This compares two models, or two signatures of one model, at every token, although in free decoding a single different
token changes the rest of a text.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from textapp.decoding.scoring import Window, scores
from textapp.decoding.signatures import extend_of, lengths_of, prefill_name, several_name, several_of
from textapp.decoding.steps import logits_before, open_session

# Keys of a group beside its inputs: the given tokens `[rows, steps]`, their number `[rows]`, and the tokens that are
# never generated `[tokens]`.
GENERATED, GENERATED_TOKENS, NEVER_GENERATED = "generated_ids", "generated_tokens", "never_ids"
# Ends of the names of groups with the texts that a file generated itself: read by `decode`; several at once; so with
# the whole cache, though they are short; and with the end of each prompt behind the rest of it, as a new turn.
OWN, AT_ONCE, WHOLE_CACHE, EXTENDED = WAYS = (".own", ".at_once", ".whole_cache", ".extended")

if TYPE_CHECKING:
    from textapp.runners.runner import Runner


class Steps(NamedTuple):
    """The predictions for each row and step; 0 after the end of a row.

    Attributes:
        best: the most probable token that is allowed, `[rows, steps]` int32.
        gap: its logit minus the logit of the given token, `[rows, steps]` float32.
        log_probability: log-probability of the given token, `[rows, steps]` float32.
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
    never_ids: Sequence[int] | np.ndarray = (),
    way: str = OWN,
) -> Steps:
    """Runs a model on the features and then on each given token, and records its predictions.

    Args:
        runner: a model with the signatures `prefill` and `decode`, which takes up to `max_batch` rows per call.
        prefill: name of the signature, such as `prefill_16`.
        features: its inputs: `token_ids` `[rows, 16]`, for a language model also `num_tokens` `[rows]`.
        token_ids: the given tokens, `[rows, steps]` int32.
        num_tokens: the number of given tokens of each row, `[rows]` int32.
        never_ids: tokens that are never generated, although they may be given.
        way: one of `WAYS` to read them.

    Example: if the most probable first token is 7, `token_ids` `[[7, 3]]` give `best[0, 0] == 7` and `gap[0, 0] == 0`;
    `best[0, 1]` is the most probable token after 7.
    """
    steps = _no_steps(token_ids.shape)
    for start in range(0, len(token_ids), runner.max_batch):
        rows = slice(start, start + runner.max_batch)
        length = int(num_tokens[rows].max(initial=0))
        part = {name: values[rows] for name, values in features.items()}
        for step, logits in enumerate(_logits(runner, prefill, part, token_ids[rows, :length], way)):
            active = np.flatnonzero(step < num_tokens[rows])
            given = token_ids[rows][active, step]
            logits = logits[active].astype(np.float64)
            highest = logits.max(axis=1)
            given_logits = logits[np.arange(len(given)), given]
            log_sum = highest + np.log(np.exp(logits - highest[:, None]).sum(axis=1))
            logits[:, list(never_ids)] = -np.inf
            steps.best[start + active, step] = logits.argmax(axis=1)
            steps.gap[start + active, step] = logits.max(axis=1) - given_logits
            steps.log_probability[start + active, step] = given_logits - log_sum
    return steps


def force_all(runner: Runner, groups: Mapping[str, Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Forced decoding of several groups of texts; a text that two groups share is stepped once.

    Args:
        runner: a model with the `prefill_*` of each group, and `decode`.
        groups: name such as `generate_16_24.expected` -> the inputs of `generate_16_24`, with the keys GENERATED and
            GENERATED_TOKENS, optionally NEVER_GENERATED.

    Returns:
        The fields of `Steps` by name, such as `generate_16_24.expected/gap`. The tokens of all groups but
        `generate_16_24.own` are read several at once, if the model can.
    """
    results: dict[str, np.ndarray] = {}
    known: dict[bytes, Steps] = {}  # the steps of each text, `[steps]` each
    can = several_of(getattr(runner, "signatures", ())) > 1
    for group, named in groups.items():
        prefill = prefill_name(lengths_of(group.split(".")[0])[0])
        way = next((way for way in WAYS if group.endswith(way)), AT_ONCE) if can else OWN
        columns = {name: values for name, values in named.items() if name != NEVER_GENERATED}
        keys = [_key(f"{prefill}{way}", columns, row) for row in range(len(named[GENERATED]))]
        rows = [row for row, key in enumerate(keys) if key not in known]
        if rows:
            parts = {name: values[rows] for name, values in columns.items()}
            given = parts.pop(GENERATED), parts.pop(GENERATED_TOKENS), named.get(NEVER_GENERATED, ())
            steps = force(runner, prefill, parts, *given, way=way)
            known |= {keys[row]: Steps(*values) for row, *values in zip(rows, *steps, strict=True)}
        for name in Steps._fields:
            results[f"{group}/{name}"] = np.stack([getattr(known[key], name) for key in keys])
    return results


def _key(way: str, columns: Mapping[str, np.ndarray], row: int) -> bytes:
    """Equal for the same text after the same input."""
    parts = [way.encode(), *(values[row].astype(np.int64).tobytes() for _, values in sorted(columns.items()))]
    return b"/".join(parts)


def read_all(
    runner: Runner, groups: Mapping[str, Mapping[str, np.ndarray]], start_id: int, pad_id: int, source_pad_id: int
) -> dict[str, np.ndarray]:
    """Like `force_all`, each text read at once by the signature `score`: a model that has it needs no steps.

    Args:
        runner: a model with the signature `score`.
        groups: as for `force_all`.
        start_id: the first input of a translator's decoder.
        pad_id, source_pad_id: padding ids of the side that is generated, and of the one that is read.

    Returns:
        The fields of `Steps` by name, such as `generate_16_24.expected/gap`.
    """
    rows = {group: _rows(group, named) for group, named in groups.items()}
    parts = {
        key: _window(groups[group], row, start_id, source_pad_id)
        for group, keys in rows.items()
        for row, key in keys.items()
    }
    found = dict(zip(parts, scores(runner, list(parts.values()), pad_id, source_pad_id), strict=True))
    results: dict[str, np.ndarray] = {}
    for group, keys in rows.items():
        steps = _no_steps(groups[group][GENERATED].shape)
        for row, key in keys.items():
            for name in Steps._fields:
                values = found[key][name]
                getattr(steps, name)[row, : len(values)] = values
        results |= {f"{group}/{name}": values for name, values in steps._asdict().items()}
    return results


def _rows(group: str, named: Mapping[str, np.ndarray]) -> dict[int, bytes]:
    """The rows of a group that have tokens, with a key that is equal for the same text after the same input."""
    columns = {name: values for name, values in named.items() if name != NEVER_GENERATED}
    signature = group.split(".")[0]
    return {int(row): _key(signature, columns, row) for row in np.flatnonzero(named[GENERATED_TOKENS])}


def _no_steps(shape: tuple[int, ...]) -> Steps:
    return Steps(*(np.zeros(shape, kind) for kind in (np.int32, np.float32, np.float32)))


def _window(named: Mapping[str, np.ndarray], row: int, start_id: int, source_pad_id: int) -> Window:
    """One text of a group: the prompt is context, and a source is for the encoder."""
    given = named[GENERATED][row, : named[GENERATED_TOKENS][row]].tolist()
    ids = named["token_ids"][row]
    if "num_tokens" in named:
        prompt = ids[: named["num_tokens"][row]].tolist()
        whole = [*prompt, *given]
        return Window(row, [], whole[:-1], whole[1:], len(prompt) - 1)
    source = ids[: np.flatnonzero(ids != source_pad_id).max(initial=0) + 1].tolist()
    return Window(row, source, [start_id, *given[:-1]], given, 0)


def _logits(
    runner: Runner, prefill: str, features: Mapping[str, np.ndarray], token_ids: np.ndarray, way: str
) -> Iterator[np.ndarray]:
    """Yields the logits `[rows, vocabulary]` of each step."""
    if runner.max_batch == 1:
        yield from _logits_of_one(runner, prefill, features, token_ids[0], way)
        return
    cache = dict(runner.run(prefill, features))
    logits = cache.pop("logits")
    # An encoder-decoder has read one token, the start token; a decoder-only model continues after its prompt.
    ones = np.ones(len(token_ids), np.int32)
    position = features.get("num_tokens", ones)
    for step in range(token_ids.shape[1]):
        yield logits
        if step + 1 < token_ids.shape[1]:
            token = {"token_id": token_ids[:, step], "position": position + np.int32(step)}
            cache |= runner.run("decode", token | cache)
            logits = cache.pop("logits")


def _logits_of_one(
    runner: Runner, prefill: str, features: Mapping[str, np.ndarray], token_ids: np.ndarray, way: str
) -> Iterator[np.ndarray]:
    """The same for one row, in the memory of an interpreter: a step copies no cache."""
    position = int(features["num_tokens"][0]) if "num_tokens" in features else 1
    if way == EXTENDED:
        ids, count = features["token_ids"][0].tolist(), position
        position = max(1, count - extend_of(runner.signatures))  # type: ignore[attr-defined]
        session = open_session(runner, prefill, {**features, "num_tokens": np.array([position], np.int32)}, position)
        session.extend(ids[position:count])
    else:
        several = several_name(several_of(getattr(runner, "signatures", ())))
        usable = {OWN: (), WHOLE_CACHE: (several,)}.get(way)
        session = open_session(runner, prefill, features, position, usable)
    for logits in logits_before(session, token_ids.tolist()):
        yield logits[None]
