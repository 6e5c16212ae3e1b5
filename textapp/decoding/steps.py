"""The steps of a model, over the signatures `prefill_<L>` and `decode` of any runner.

Owns the cache and how hypotheses share it. What a step is, the runner knows: Keras, SavedModel or a .tflite file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from textapp.decoding.signatures import DECODE
from textapp.runners.runner import Runner

LOGITS = "logits"
Cache = dict[str, np.ndarray]


class Session(Protocol):
    """One text that a model is writing: at first one row, later as many hypotheses as the search keeps.

    Attributes:
        logits: `[rows, vocabulary]` float32 of each row's next token.
    """

    logits: np.ndarray

    def advance(self, parents: Sequence[int], token_ids: Sequence[int]) -> None:
        """Makes new rows: row i goes on from the old row `parents[i]` with the token `token_ids[i]`.

        Example: `advance([0, 0], [7, 9])` makes two rows of the first one, which read 7 and 9.
        """
        ...


class Buffers(Protocol):
    """The memory of a signature that is called again and again with what it gave.

    Attributes:
        inputs, outputs: name -> the array itself; it stays in its place.
        user: a mark of the session whose state stands in `inputs`; None: nobody's.
        invoke: reads the inputs and writes the outputs.
    """

    inputs: Mapping[str, np.ndarray]
    outputs: Mapping[str, np.ndarray]
    user: Any
    invoke: Callable[[], None]


def open_session(runner: Runner, prefill: str, features: Mapping[str, np.ndarray], position: int) -> Session:
    """Reads the input and stands before the first new token.

    Args:
        runner: a model with the signatures `prefill` and `decode`.
        prefill: such as `prefill_16`.
        features: its inputs, one row.
        position: the place of the first new token once it is read: 1 behind a start token, else the prompt's length.
    """
    cache = runner.run(prefill, features)
    logits = cache.pop(LOGITS)
    buffers = runner.buffers(DECODE) if hasattr(runner, "buffers") else None
    if buffers is not None:
        return InPlaceSession(buffers, logits, cache, position)
    return CopySession(runner, logits, cache, position)


class CopySession:
    """A session over `run`: the cache goes in and comes out, as many rows a call as the runner takes."""

    def __init__(self, runner: Runner, logits: np.ndarray, cache: Cache, position: int) -> None:
        self.logits = logits
        self._runner = runner
        self._position = position
        self._resting = {name: values for name, values in cache.items() if _rests(name)}
        self._changing = {name: values for name, values in cache.items() if not _rests(name)}

    def advance(self, parents: Sequence[int], token_ids: Sequence[int]) -> None:
        if list(parents) != list(range(len(self.logits))):
            self._changing = {name: np.asarray(values)[list(parents)] for name, values in self._changing.items()}
        most = self._runner.max_batch
        parts = [self._run(slice(start, start + most), token_ids) for start in range(0, len(token_ids), most)]
        outputs = parts[0] if len(parts) == 1 else {
            name: np.concatenate([part[name] for part in parts]) for name in parts[0]
        }  # fmt: skip
        self.logits = outputs[LOGITS]
        self._changing = {name: outputs[name] for name in self._changing}
        self._position += 1

    def _run(self, rows: slice, token_ids: Sequence[int]) -> dict[str, np.ndarray]:
        token_id = np.asarray(token_ids[rows], np.int32)
        resting = self._resting
        if len(token_id) > 1:
            resting = {name: np.repeat(values, len(token_id), axis=0) for name, values in resting.items()}
        changing = {name: values[rows] for name, values in self._changing.items()}
        position = np.array([self._position], np.int32)
        return self._runner.run(DECODE, {"token_id": token_id, "position": position, **resting, **changing})


class InPlaceSession:
    """A session inside the memory of an interpreter, row after row.

    A step changes keys and values at one place, so that is all that is kept of it, and a row is the list of the rows
    that it came from, step by step. Before a row is continued only those places go into the inputs where the row
    before it came from elsewhere: most of a beam has one past. Sessions of one runner may take turns.
    """

    def __init__(self, buffers: Buffers, logits: np.ndarray, cache: Cache, position: int) -> None:
        self.logits = logits
        self._buffers = buffers
        self._first = position
        self._begun = cache  # as `prefill` left it
        self._placed = [  # name, shape and type of what a step writes
            (name, _at(values, 0).shape, values.dtype)
            for name, values in cache.items()
            if _holds_places(name) and not _rests(name)
        ]
        self._states = {name: cache[name] for name in cache if not _holds_places(name) and not _rests(name)}
        self._steps: list[dict[str, np.ndarray]] = []  # of each step what it wrote, name -> [rows, heads, head_dim]
        self._pasts: list[tuple[int, ...]] = [()]  # of each row its row at every step
        self._loaded: tuple[int, ...] = ()  # the past that stands in the inputs
        self._mark = object()

    def advance(self, parents: Sequence[int], token_ids: Sequence[int]) -> None:
        self._take_turn()
        inputs, outputs = self._buffers.inputs, self._buffers.outputs
        pasts = [self._pasts[parent] for parent in parents]
        states = {name: values[list(parents)] for name, values in self._states.items()}
        place = self._first + len(self._steps)
        step = {name: np.empty((len(pasts), *shape), kind) for name, shape, kind in self._placed}
        logits = np.empty((len(pasts), self.logits.shape[1]), self.logits.dtype)
        inputs["position"][0] = place
        for row, (past, token_id) in enumerate(zip(pasts, token_ids, strict=True)):
            self._load(past)
            for name, values in states.items():
                inputs[name][0] = values[row]
            inputs["token_id"][0] = token_id
            self._buffers.invoke()
            for name, written in step.items():
                written[row] = _at(outputs[name], place)
            for name, values in states.items():
                values[row] = outputs[name][0]
            logits[row] = outputs[LOGITS][0]
        self._steps.append(step)
        self._pasts = [(*past, row) for row, past in enumerate(pasts)]
        self._states, self.logits = states, logits

    def _load(self, past: tuple[int, ...]) -> None:
        """Puts the keys and values of a row's past into the inputs, as far as others stand there."""
        for number, (row, step) in enumerate(zip(past, self._steps, strict=True)):
            if number >= len(self._loaded) or self._loaded[number] != row:
                for name, written in step.items():
                    _at(self._buffers.inputs[name], self._first + number)[...] = written[row]
        self._loaded = past

    def _take_turn(self) -> None:
        if self._buffers.user is self._mark:
            return
        self._buffers.user = self._mark
        self._loaded = ()
        for name, values in self._begun.items():
            self._buffers.inputs[name][...] = values


def _at(values: np.ndarray, place: int) -> np.ndarray:
    """The view `[heads, head_dim]` of one place of keys or values `[1, heads, place, head_dim]`."""
    return values[0, :, place]


def _rests(name: str) -> bool:
    """Whether a part of the cache is the memory of a source, which no step changes."""
    return "_memory_" in name


def _holds_places(name: str) -> bool:
    """Whether a part of the cache has a place for each token, `[batch, heads, place, head_dim]`."""
    return name.endswith(("_key", "_value"))
