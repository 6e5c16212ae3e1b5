"""Runs a model step by step: `prefill_<L>`, `decode` and, where there are some, signatures for several tokens at once.

Owns the cache and how hypotheses share it. The runner computes the steps: Keras, SavedModel or a .tflite file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

import numpy as np

from textapp.decoding.signatures import CACHE, DECODE, extend_name, extend_of, several_name, several_of, short_places
from textapp.runners.runner import Runner
from textapp.runners.tenancy import Tenancy

LOGITS = "logits"
PASSES_OF_EXTEND = 2  # passes of `decode_<tokens>` in the time of one of `extend_<tokens>`, about
Cache = dict[str, np.ndarray]


class Stepping(Protocol):
    """One text that is being generated, as a search sees it: at first one row, later one for each hypothesis.

    Attributes:
        logits: `[rows, vocabulary]` float32, the logits of each row's next token.
    """

    logits: np.ndarray

    def advance(self, parents: Sequence[int], token_ids: Sequence[int]) -> None:
        """Replaces the rows: new row i continues the old row `parents[i]` with the token `token_ids[i]`.

        Example: `advance([0, 0], [7, 9])` replaces all rows by two continuations of the first, with tokens 7 and 9.
        """
        ...


class Session(Stepping, Protocol):
    """One text that is being generated, which also reads given tokens and goes back."""

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

    def extend(self, token_ids: Sequence[int]) -> None:
        """Reads tokens behind those of its one row, in as few passes as it can; the logits are those after the last."""
        ...

    def cost(self, count: int) -> int:
        """How many times as long as one more token it takes to `extend` by so many."""
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
        invoke: reads the inputs and writes the outputs.
        lock: held from writing inputs until outputs are read, so that sessions of several threads may alternate.
        tenancy: whose cache is in the inputs; signatures that share the memory of their caches share it.
    """

    inputs: Mapping[str, np.ndarray]
    outputs: Mapping[str, np.ndarray]
    invoke: Callable[[], None]
    lock: AbstractContextManager[Any]
    tenancy: Tenancy


def open_session(
    runner: Runner,
    prefill: str,
    features: Mapping[str, np.ndarray],
    position: int,
    signatures: Iterable[str] | None = None,
) -> Session:
    """Runs `prefill`, and returns a session before the first new token.

    Args:
        runner: a model with the signatures `prefill` and `decode`.
        prefill: name of the signature, such as `prefill_16`.
        features: its inputs, one row: `token_ids` `[1, 16]`, for a language model also `num_tokens` `[1]`.
        position: the position at which `decode` reads the first new token: 1 after a start token, else the length of
            the prompt.
        signatures: names of those that may be used beside `decode`; None: all that the runner has.
    """
    buffers = runner.buffers(DECODE) if hasattr(runner, "buffers") else None
    if buffers is None:
        outputs = runner.run(prefill, features)
        return CopySession(runner, outputs.pop(LOGITS), outputs, position)
    memory = _Memory(buffers)
    if signatures is None:
        signatures = getattr(runner, "signatures", ())
    with buffers.lock:
        found = runner.run_in_place(prefill, features, memory) if hasattr(runner, "run_in_place") else None
        if found is None:
            found = runner.run(prefill, features)
            memory.saved = {name: values for name, values in found.items() if name != LOGITS}
        return InPlaceSession(runner.buffers, memory, found[LOGITS], position, signatures)  # type: ignore[attr-defined]


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

    def extend(self, token_ids: Sequence[int]) -> None:
        one_by_one(self, token_ids)

    def cost(self, count: int) -> int:
        return count

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
        buffers: gives the memory of a signature, which takes time at first.
        memory: of `decode`, with the cache of `prefill`.
        logits: `[1, vocabulary]`, as `prefill` returned them.
        position: the position of the first new token.
        signatures: names of those that may be used beside `decode`.
    """

    def __init__(
        self,
        buffers: Callable[[str], Buffers],
        memory: _Memory,
        logits: np.ndarray,
        position: int,
        signatures: Iterable[str] = (),
    ) -> None:
        signatures = list(signatures)
        self.logits = logits
        self._buffers = buffers
        self._memories = [memory]
        self._first_position = position
        self._tokens, self._most = several_of(signatures), extend_of(signatures)
        self._short = short_places(signatures)
        cache = memory.cache if memory.saved is None else memory.saved
        # Memory that is not shared begins with the same cache when it is first used.
        self._initial = memory.saved
        self._written = [  # name, shape and type of what a step writes
            (name, _at(values, 0).shape, values.dtype)
            for name, values in cache.items()
            if _has_positions(name) and not _is_constant(name)
        ]
        self._states = {
            name: values.copy() for name, values in cache.items()
            if not _has_positions(name) and not _is_constant(name)
        }  # fmt: skip
        self._places = cache[self._written[0][0]].shape[2] if self._written else 0
        self._steps: list[dict[str, np.ndarray]] = []  # what each step wrote, name -> [rows, heads, head_dim]
        self._histories: list[tuple[int, ...]] = [()]  # for each row, its row at every step

    @property
    def several(self) -> int:
        return self._tokens if self._tokens > 1 and self._has_room(self._tokens) else 1

    def advance(self, parents: Sequence[int], token_ids: Sequence[int]) -> None:
        if len(token_ids) == 1 and self.several > 1:  # so that a token has the same logits, read alone or with others
            self._read(self._several_name(), token_ids)
            return
        buffers = self._buffers(DECODE)
        with buffers.lock:
            self._advance(buffers, parents, token_ids)

    def read_on(self, token_ids: Sequence[int]) -> np.ndarray:
        logits, ids = [], list(token_ids)
        while ids:
            several = self.several
            part, ids = ids[:several], ids[several:]
            logits.append(self._read(self._several_name(), part) if several > 1 else one_by_one(self, part))
        return logits[0] if len(logits) == 1 else np.concatenate(logits)

    def extend(self, token_ids: Sequence[int]) -> None:
        ids = list(token_ids)
        while self._extends(len(ids)):
            self._read(extend_name(self._most), ids[: self._most])
            ids = ids[self._most :]
        if ids:
            self.read_on(ids)

    def cost(self, count: int) -> int:
        passes = 0
        while self._extends(count):
            passes, count = passes + PASSES_OF_EXTEND, max(0, count - self._most)
        return passes + -(-count // self.several)

    def _extends(self, count: int) -> bool:
        """Whether so many tokens are read faster by `extend`."""
        return self._most > 0 and count > PASSES_OF_EXTEND * self.several and self._has_room(self._most)

    def _has_room(self, tokens: int) -> bool:
        """Whether a signature for so many tokens can read the next ones, or fewer and padding behind them."""
        if self._states or len(self._histories) > 1:
            return False
        return self._position + tokens <= self._places

    @property
    def _position(self) -> int:
        """Of the next token."""
        return self._first_position + len(self._steps)

    def _several_name(self) -> str:
        """The signature for several tokens that looks at the fewest places."""
        end = self._position + self._tokens
        return several_name(self._tokens, next((places for places in self._short if places >= end), None))

    def _read(self, signature: str, token_ids: Sequence[int]) -> np.ndarray:
        """Reads at most as many tokens at once as a signature takes."""
        count, buffers, position = len(token_ids), self._buffers(signature), self._position
        with buffers.lock:
            memory = self._load(buffers, self._histories[0])
            buffers.inputs["token_ids"][0, :count] = token_ids
            buffers.inputs["token_ids"][0, count:] = token_ids[-1]  # read behind the others, and forgotten
            buffers.inputs["position"][0] = position
            if "num_tokens" in buffers.inputs:
                buffers.inputs["num_tokens"][0] = count
            buffers.invoke()
            logits = buffers.outputs[LOGITS]
            logits = logits[0, :count].copy() if logits.ndim == 3 else logits.copy()
            places = slice(position, position + count)
            rows = {name: buffers.outputs[name][0, :, places].copy() for name, _, _ in self._written}
            for name, values in rows.items():
                memory.cache[name][0, :, places] = values
            self._steps += [{name: values[None, :, place] for name, values in rows.items()} for place in range(count)]
            self._histories = [self._histories[0] + (0,) * count]
            memory.loaded = self._histories[0]
        self.logits = logits[-1:]
        return logits

    def _advance(self, buffers: Buffers, parents: Sequence[int], token_ids: Sequence[int]) -> None:
        inputs, outputs = buffers.inputs, buffers.outputs
        histories = [self._histories[parent] for parent in parents]
        states = {name: values[list(parents)] for name, values in self._states.items()}
        position = self._position
        step = {name: np.empty((len(histories), *shape), dtype) for name, shape, dtype in self._written}
        logits = np.empty((len(histories), self.logits.shape[1]), self.logits.dtype)
        inputs["position"][0] = position
        for row, (history, token_id) in enumerate(zip(histories, token_ids, strict=True)):
            self._load(buffers, history)
            for name, values in states.items():
                inputs[name][0] = values[row]
            inputs["token_id"][0] = token_id
            buffers.invoke()
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
        with self._buffers(DECODE).lock:
            self._steps = self._steps[:kept]
            self._histories = [history[:kept] for history in self._histories]
            self._first_position = min(self._first_position, position)
            for memory in self._memories:
                memory.loaded = memory.loaded[:kept]
        return True

    def _load(self, buffers: Buffers, history: tuple[int, ...]) -> _Memory:
        """Copies the keys and values of a row's history to the inputs where these hold other ones."""
        memory = next((each for each in self._memories if each.tenancy is buffers.tenancy), None)
        if memory is None:
            memory = _Memory(buffers, self._prefilled())
            self._memories.append(memory)
        memory.take()
        for index, row in enumerate(history if memory.loaded != history else ()):
            if index >= len(memory.loaded) or memory.loaded[index] != row:
                for name, written in self._steps[index].items():
                    _at(memory.cache[name], self._first_position + index)[...] = written[row]
        memory.loaded = history
        return memory

    def _prefilled(self) -> Cache:
        """The cache of `prefill`, with what later steps wrote behind it."""
        if self._initial is not None:
            return self._initial
        self._memories[0].take()
        return self._memories[0].cache


class _Memory:
    """The cache of a session in memory that others use as well; saved while another one is there.

    Args:
        buffers: of a signature.
        saved: what it begins with, of at least its shapes; None: what is written in place.

    Attributes:
        cache: name -> array in the memory.
        saved: name -> array while another session's is there.
        loaded: the history of the row whose steps it has.
    """

    def __init__(self, buffers: Buffers, saved: Cache | None = None) -> None:
        self.tenancy, self.saved = buffers.tenancy, saved
        self.cache = {name: values for name, values in buffers.inputs.items() if name.startswith(CACHE)}
        self.loaded: tuple[int, ...] = ()

    def take(self) -> None:
        """Sees that the cache is in the memory."""
        if self.tenancy.take(self):
            return
        for name, values in (self.saved or {}).items():
            memory = self.cache[name]
            memory[...] = values[tuple(map(slice, memory.shape))]
        self.saved = None

    def save(self) -> None:
        """See `Tenant`."""
        self.saved = {name: values.copy() for name, values in self.cache.items()}


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


def one_by_one(session: Stepping, token_ids: Sequence[int]) -> np.ndarray:
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
