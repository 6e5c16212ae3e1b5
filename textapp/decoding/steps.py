"""Runs a model step by step, by the signatures `prefill_<L>`, `decode` and, if there is one, `decode_<tokens>`.

Owns the cache and how hypotheses share it. The runner computes the steps: Keras, SavedModel or a .tflite file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import Any, Protocol

import numpy as np

from textapp.decoding.signatures import DECODE, several_name, several_of
from textapp.runners.runner import Runner

LOGITS = "logits"
Cache = dict[str, np.ndarray]


class Session(Protocol):
    """One text that is being generated: at first one row, later one for each hypothesis of the search.

    Attributes:
        logits: `[rows, vocabulary]` float32, the logits of each row's next token.
    """

    logits: np.ndarray

    @property
    def several(self) -> int:
        """How many tokens it reads at once, where it is now; 1: only one by one."""
        ...

    def read_on(self, token_ids: Sequence[int]) -> np.ndarray:
        """Reads tokens behind those of its one row, as many at once as it can.

        Returns:
            `[tokens, vocabulary]`, the logits after each.
        """
        ...

    def advance(self, parents: Sequence[int], token_ids: Sequence[int]) -> None:
        """Replaces the rows: new row i continues the old row `parents[i]` with the token `token_ids[i]`.

        Example: `advance([0, 0], [7, 9])` replaces all rows by two continuations of the first, with tokens 7 and 9.
        """
        ...

    def rewind(self, position: int) -> bool:
        """Goes back, with its one row, to before the token at a position, so that others can be read from there.

        The logits are those of no token until `advance`. Keys and values behind a position are never looked at, so
        they need not be removed; a state that each token replaces, as an LSTM has, is lost.

        Args:
            position: number of tokens to keep, at least 1, and not more than were read.

        Returns:
            Whether it could; if not, the session is as before.
        """
        ...


class Buffers(Protocol):
    """The memory of a signature that is called repeatedly with its own outputs.

    Attributes:
        inputs, outputs: name -> the runner's own array, whose address does not change.
        user: marks the session whose state is in `inputs`; None: no session.
        invoke: reads the inputs and writes the outputs.
        lock: held from writing inputs until outputs are read, so that sessions of several threads may alternate.
    """

    inputs: Mapping[str, np.ndarray]
    outputs: Mapping[str, np.ndarray]
    user: Any
    invoke: Callable[[], None]
    lock: AbstractContextManager[Any]


def open_session(
    runner: Runner, prefill: str, features: Mapping[str, np.ndarray], position: int, at_once: bool = True
) -> Session:
    """Runs `prefill`, and returns a session before the first new token.

    Args:
        runner: a model with the signatures `prefill` and `decode`.
        prefill: name of the signature, such as `prefill_16`.
        features: its inputs, one row: `token_ids` `[1, 16]`, for a language model also `num_tokens` `[1]`.
        position: the position at which `decode` reads the first new token: 1 after a start token, else the length of
            the prompt.
        at_once: use the signature that reads several tokens at once, if there is one.
    """
    cache = runner.run(prefill, features)
    logits = cache.pop(LOGITS)
    buffers = runner.buffers(DECODE) if hasattr(runner, "buffers") else None
    if buffers is not None:
        tokens = several_of(getattr(runner, "signatures", ())) if at_once else 1
        open_several = partial(runner.buffers, several_name(tokens))  # type: ignore[attr-defined]
        return InPlaceSession(buffers, logits, cache, position, tokens, open_several)
    return CopySession(runner, logits, cache, position)


class CopySession:
    """A session over `run`, which takes and returns the cache; a call has up to `max_batch` rows of the runner.

    Args:
        runner: a model with the signature `decode`.
        logits: `[1, vocabulary]`, as `prefill` returned them.
        cache: the other outputs of `prefill`.
        position: the position of the first new token.
    """

    def __init__(self, runner: Runner, logits: np.ndarray, cache: Cache, position: int) -> None:
        self.logits = logits
        self._runner = runner
        self._position = position
        self.several = 1
        self._constant = {name: values for name, values in cache.items() if _is_constant(name)}
        self._changing = {name: values for name, values in cache.items() if not _is_constant(name)}

    def advance(self, parents: Sequence[int], token_ids: Sequence[int]) -> None:
        if list(parents) != list(range(len(self.logits))):
            self._changing = {name: np.asarray(values)[list(parents)] for name, values in self._changing.items()}
        size = self._runner.max_batch
        parts = [self._run(slice(start, start + size), token_ids) for start in range(0, len(token_ids), size)]
        outputs = parts[0] if len(parts) == 1 else {
            name: np.concatenate([part[name] for part in parts]) for name in parts[0]
        }  # fmt: skip
        self.logits = outputs[LOGITS]
        self._changing = {name: outputs[name] for name in self._changing}
        self._position += 1

    def read_on(self, token_ids: Sequence[int]) -> np.ndarray:
        return one_by_one(self, token_ids)

    def rewind(self, position: int) -> bool:
        if position != self._position and not all(map(_has_positions, self._changing)):
            return False
        self._position = position
        return True

    def _run(self, rows: slice, token_ids: Sequence[int]) -> dict[str, np.ndarray]:
        token_id = np.asarray(token_ids[rows], np.int32)
        constant = self._constant
        if len(token_id) > 1:
            constant = {name: np.repeat(values, len(token_id), axis=0) for name, values in constant.items()}
        changing = {name: values[rows] for name, values in self._changing.items()}
        position = np.array([self._position], np.int32)
        return self._runner.run(DECODE, {"token_id": token_id, "position": position, **constant, **changing})


class InPlaceSession:
    """A session inside the memory of an interpreter, one row at a time.

    A step changes keys and values at one position only, so the session stores just these for each step, and for each
    row its history: its row at each step. Before a row is continued, only the positions at which its history differs
    from that of the previous row are copied to the inputs; hypotheses of a beam share most of it. Sessions of one
    runner may alternate, also those of several threads.

    Args:
        buffers: the memory of the signature `decode`.
        logits: `[1, vocabulary]`, as `prefill` returned them.
        cache: the other outputs of `prefill`.
        position: the position of the first new token.
        tokens: how many a further signature reads at once; 1: there is none.
        open_several: gives its memory, which takes time at first.
    """

    def __init__(
        self,
        buffers: Buffers,
        logits: np.ndarray,
        cache: Cache,
        position: int,
        tokens: int = 1,
        open_several: Callable[[], Buffers] | None = None,
    ) -> None:
        self.logits = logits
        self._memory = _Memory(buffers)
        self._several: _Memory | None = None
        self._tokens, self._open_several = tokens, open_several
        self._first_position = position
        self._initial_cache = cache  # as `prefill` returned it
        self._written = [  # name, shape and type of what a step writes
            (name, _at(values, 0).shape, values.dtype)
            for name, values in cache.items()
            if _has_positions(name) and not _is_constant(name)
        ]
        self._states = {name: cache[name] for name in cache if not _has_positions(name) and not _is_constant(name)}
        self._steps: list[dict[str, np.ndarray]] = []  # what each step wrote, name -> [rows, heads, head_dim]
        self._histories: list[tuple[int, ...]] = [()]  # for each row, its row at every step
        self._mark = object()

    @property
    def several(self) -> int:
        if self._tokens == 1 or self._states or len(self._histories) > 1:
            return 1
        places = self._initial_cache[self._written[0][0]].shape[2]
        return self._tokens if self._first_position + len(self._steps) + self._tokens <= places else 1

    def advance(self, parents: Sequence[int], token_ids: Sequence[int]) -> None:
        if len(token_ids) == 1 and self.several > 1:  # so that a token has the same logits, read alone or with others
            self._read(token_ids)
            return
        with self._memory.lock:
            self._advance(parents, token_ids)

    def read_on(self, token_ids: Sequence[int]) -> np.ndarray:
        logits, ids = [], list(token_ids)
        while ids:
            several = self.several
            logits.append(self._read(ids[:several]) if several > 1 else one_by_one(self, ids[:1]))
            ids = ids[several:]
        return logits[0] if len(logits) == 1 else np.concatenate(logits)

    def _read(self, token_ids: Sequence[int]) -> np.ndarray:
        """Reads at most `several` tokens at once."""
        if self._several is None:
            assert self._open_several is not None
            self._several = _Memory(self._open_several())
        count, memory = len(token_ids), self._several
        with memory.lock:
            self._load(memory, self._histories[0])
            memory.inputs["token_ids"][0, :count] = token_ids
            memory.inputs["token_ids"][0, count:] = token_ids[-1]  # read behind the others, and forgotten
            memory.inputs["position"][0] = self._first_position + len(self._steps)
            memory.invoke()
            logits = memory.outputs[LOGITS][0, :count].copy()
            rows = {name: memory.outputs[name][0, :, :count].copy() for name, _, _ in self._written}
        self._steps += [{name: values[None, :, place] for name, values in rows.items()} for place in range(count)]
        self._histories = [self._histories[0] + (0,) * count]
        self.logits = logits[-1:]
        return logits

    def _advance(self, parents: Sequence[int], token_ids: Sequence[int]) -> None:
        inputs, outputs = self._memory.inputs, self._memory.outputs
        histories = [self._histories[parent] for parent in parents]
        states = {name: values[list(parents)] for name, values in self._states.items()}
        position = self._first_position + len(self._steps)
        step = {name: np.empty((len(histories), *shape), dtype) for name, shape, dtype in self._written}
        logits = np.empty((len(histories), self.logits.shape[1]), self.logits.dtype)
        inputs["position"][0] = position
        for row, (history, token_id) in enumerate(zip(histories, token_ids, strict=True)):
            self._load(self._memory, history)
            for name, values in states.items():
                inputs[name][0] = values[row]
            inputs["token_id"][0] = token_id
            self._memory.invoke()
            for name, written in step.items():
                written[row] = _at(outputs[name], position)
            for name, values in states.items():
                values[row] = outputs[name][0]
            logits[row] = outputs[LOGITS][0]
        self._steps.append(step)
        self._histories = [(*history, row) for row, history in enumerate(histories)]
        self._states, self.logits = states, logits

    def rewind(self, position: int) -> bool:
        steps = position - self._first_position
        if steps != len(self._steps) and self._states:
            return False
        kept = max(0, steps)
        with self._memory.lock:
            self._steps = self._steps[:kept]
            self._histories = [history[:kept] for history in self._histories]
            self._first_position = min(self._first_position, position)
            for memory in filter(None, (self._memory, self._several)):
                memory.loaded = memory.loaded[:kept]
        return True

    def _load(self, memory: _Memory, history: tuple[int, ...]) -> None:
        """Copies the keys and values of a row's history to the inputs where these hold other ones."""
        memory.take(self._mark, self._initial_cache)
        for index in range(len(history)):
            row = history[index]
            if index >= len(memory.loaded) or memory.loaded[index] != row:
                for name, written in self._steps[index].items():
                    _at(memory.inputs[name], self._first_position + index)[...] = written[row]
        memory.loaded = history


class _Memory:
    """The memory of a signature, and which steps of a session are in its inputs.

    Attributes:
        loaded: the history that is in the inputs.
        others: see `Buffers`.
    """

    def __init__(self, buffers: Buffers) -> None:
        self.inputs, self.outputs, self.invoke, self.lock = (
            buffers.inputs, buffers.outputs, buffers.invoke, buffers.lock,
        )  # fmt: skip
        self.loaded: tuple[int, ...] = ()
        self._buffers = buffers

    def take(self, user: object, cache: Cache) -> None:
        """Copies an initial cache to the inputs if another session has used them since."""
        if self._buffers.user is user:
            return
        self._buffers.user, self.loaded = user, ()
        for name, values in cache.items():
            self.inputs[name][...] = values


def logits_before(session: Session, token_ids: Sequence[int]) -> Iterator[np.ndarray]:
    """Yields the logits `[vocabulary]` before each of given tokens, which are read as many at once as possible.

    Args:
        session: with one row, before the first of the tokens. The last one is not read.
        token_ids: one or more.
    """
    yield session.logits[0]
    read = 0
    while read + 1 < len(token_ids):
        part = token_ids[read : min(read + session.several, len(token_ids) - 1)]
        yield from session.read_on(part)
        read += len(part)


def one_by_one(session: Session, token_ids: Sequence[int]) -> np.ndarray:
    """Reads tokens by `advance`; see `Session.read_on`."""
    rows = []
    for token_id in token_ids:
        session.advance([0], [token_id])
        rows.append(session.logits)
    return np.concatenate(rows)


def _at(values: np.ndarray, position: int) -> np.ndarray:
    """The view `[heads, head_dim]` of one position of keys or values `[1, heads, length, head_dim]`."""
    return values[0, :, position]


def _is_constant(name: str) -> bool:
    """Whether a cache entry comes from the source, so that no step changes it."""
    return "_memory_" in name


def _has_positions(name: str) -> bool:
    """Whether a cache entry has an element for each token, `[batch, heads, length, head_dim]`."""
    return name.endswith(("_key", "_value"))
