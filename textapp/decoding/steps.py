"""The steps of a model, over the signatures `prefill_<L>` and `decode` of any runner.

Owns the cache and how hypotheses share it. What a step is, the runner knows: Keras, SavedModel or a .tflite file.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from textapp.runners import Runner

DECODE = "decode"
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
        user: who keeps a state in `inputs` at the moment.
        invoke: reads the inputs and writes the outputs.
    """

    inputs: Mapping[str, np.ndarray]
    outputs: Mapping[str, np.ndarray]
    user: Callable[[], Any] | None
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

    Of keys and values a step changes one place only, so that is all that goes back from the outputs to the inputs; a
    memory of the source goes in once. Sessions of one runner may take turns: who comes next puts its state back first.
    """

    def __init__(self, buffers: Buffers, logits: np.ndarray, cache: Cache, position: int) -> None:
        self.logits = logits
        self._buffers = buffers
        self._position = position
        self._resting = {name: values for name, values in cache.items() if _rests(name)}
        self._rows = {name: values for name, values in cache.items() if not _rests(name)}
        self._inside = False  # whether the one row stands in the inputs, newer than in `_rows`

    def advance(self, parents: Sequence[int], token_ids: Sequence[int]) -> None:
        self._take_turn()
        if len(token_ids) == len(self.logits) == 1:
            self._advance_one(token_ids[0])
        else:
            self._advance_rows(parents, token_ids)
        self._position += 1

    def _advance_one(self, token_id: int) -> None:
        inputs, outputs = self._buffers.inputs, self._buffers.outputs
        if not self._inside:
            for name, values in self._rows.items():
                inputs[name][...] = values
            self._inside = True
        self._invoke(token_id)
        for name in self._rows:
            place = self._place(name)
            inputs[name][place] = outputs[name][place]
        self.logits = outputs[LOGITS].copy()

    def _advance_rows(self, parents: Sequence[int], token_ids: Sequence[int]) -> None:
        self._keep()
        inputs, outputs = self._buffers.inputs, self._buffers.outputs
        rows = {name: values[list(parents)] for name, values in self._rows.items()}
        logits = np.empty((len(token_ids), self.logits.shape[1]), self.logits.dtype)
        for row, token_id in enumerate(token_ids):
            for name, values in rows.items():
                inputs[name][0] = values[row]
            self._invoke(token_id)
            for name, values in rows.items():
                place = self._place(name)
                values[row : row + 1][place] = outputs[name][place]
            logits[row] = outputs[LOGITS][0]
        self._rows, self.logits = rows, logits

    def _invoke(self, token_id: int) -> None:
        self._buffers.inputs["token_id"][0] = token_id
        self._buffers.inputs["position"][0] = self._position
        self._buffers.invoke()

    def _place(self, name: str) -> Any:
        """Where a step changes this part of the cache: `[row, heads, place, head_dim]`, or all of a recurrent state."""
        return (slice(None), slice(None), self._position) if _holds_places(name) else ...

    def _take_turn(self) -> None:
        user = self._buffers.user() if self._buffers.user else None
        if user is self:
            return
        if user is not None:
            user._keep()
        self._buffers.user = weakref.ref(self)
        for name, values in self._resting.items():
            self._buffers.inputs[name][...] = values

    def _keep(self) -> None:
        """Takes the state of the one row out of the inputs."""
        if self._inside:
            self._rows = {name: self._buffers.inputs[name].copy() for name in self._rows}
            self._inside = False


def _rests(name: str) -> bool:
    """Whether a part of the cache is the memory of a source, which no step changes."""
    return "_memory_" in name


def _holds_places(name: str) -> bool:
    """Whether a part of the cache has a place for each token, `[batch, heads, place, head_dim]`."""
    return name.endswith(("_key", "_value"))
