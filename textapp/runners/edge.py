"""Answers from a .tflite file, one text a call, with as little between NumPy and the kernels as Python allows.

A signature runner of the interpreter resizes and allocates at every call: as long again as a small model takes.
Shapes are fixed here, so a signature is allocated once, and a call is set, invoke, get.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from textapp.runners.interpreter import choose, open_interpreter
from textapp.errors import ArtifactError
from textapp.noise import quiet

Call = Callable[[Mapping[str, np.ndarray]], dict[str, np.ndarray]]


class EdgeRunner:
    """Runs the signatures of one .tflite file. One thread at a time: give each worker thread its `clone()`.

    Args:
        model_path: the file.
        threads: CPU threads of one call; small models are fastest with 1.
        runtime: `litert`, `tflite-runtime` or `auto`.

    Attributes:
        signatures: `{"classify_16": {"inputs": ["token_ids"], "outputs": ["probabilities"]}}`.

    Example:
        runner = EdgeRunner("model.tflite")
        runner.run("classify_4", {"token_ids": np.array([[12, 7, 0, 0]], np.int32)})
        # {"probabilities": array([[0.1, 0.9]], dtype=float32)}
    """

    max_batch = 1

    def __init__(self, model_path: str | Path, threads: int = 1, runtime: str = "auto") -> None:
        self.model_path = Path(model_path)
        self.threads = threads
        self.runtime = choose(runtime)
        self._interpreter = open_interpreter(model_path, threads, self.runtime)
        self.signatures: dict[str, dict[str, list[str]]] = self._interpreter.get_signature_list()
        self._calls: dict[str, Call] = {}
        self._buffers: dict[str, EdgeBuffers | None] = {}

    def run(self, signature: str, features: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Answers one text.

        Args:
            signature: such as `classify_16`.
            features: `{"token_ids": [1, 16] int32}` and what else the signature takes.

        Returns:
            `{"probabilities": [1, classes] float32}`, copies that later calls leave alone.

        Raises:
            ArtifactError: the file has no such signature, or the runtime lacks an op of it.
            ValueError: a feature has another shape or type than the signature.
        """
        call = self._calls.get(signature)
        if call is None:
            call = self._calls[signature] = self._open(signature)
        return call(features)

    def buffers(self, signature: str) -> EdgeBuffers | None:
        """The memory of a signature itself, for what is called once a token: nothing is copied that need not be.

        Who uses it has the signature for itself: `run` of the same signature overwrites it.

        Returns:
            None where the interpreter does not give its memory away.

        Raises:
            ArtifactError: as `run`.
        """
        if signature not in self._buffers:
            self._check(signature)
            with self._faults(signature):
                self._buffers[signature] = _edge_buffers(self._interpreter, signature)
        return self._buffers[signature]

    def clone(self) -> EdgeRunner:
        """A second runner of the same file, for another thread."""
        return EdgeRunner(self.model_path, self.threads, self.runtime)

    def _open(self, signature: str) -> Call:
        self._check(signature)
        with self._faults(signature):
            return _direct_call(self._interpreter, signature) or _signature_call(self._interpreter, signature)

    def _check(self, signature: str) -> None:
        if signature not in self.signatures:
            raise ArtifactError(
                f"{self.model_path}: has no signature {signature!r}; it has {', '.join(self.signatures) or 'none'}"
            )

    @contextmanager
    def _faults(self, signature: str) -> Iterator[None]:
        """Says in our words what the runtime finds wrong with a signature."""
        try:
            with quiet():
                yield
        except (RuntimeError, ValueError) as error:
            raise ArtifactError(
                f"{self.model_path}: {self.runtime} cannot run {signature}: {' '.join(str(error).split())}"
            ) from error


class EdgeBuffers:
    """The memory of one signature, allocated once.

    Attributes:
        inputs, outputs: name -> the interpreter's own array. It keeps the inputs as they are.
        invoke: reads the inputs and writes the outputs.
        user: a mark that who keeps a state in the inputs leaves there; None: nobody does.
    """

    def __init__(self, inputs: Mapping[str, np.ndarray], outputs: Mapping[str, np.ndarray], invoke: Callable) -> None:
        self.inputs, self.outputs, self.invoke = inputs, outputs, invoke
        self.user: Any = None


def _edge_buffers(interpreter: Any, signature: str) -> EdgeBuffers | None:
    """Allocates a signature's graph and takes hold of its memory below the public API; None where that has moved."""
    try:
        wrapper = interpreter._interpreter
        definition = interpreter._get_full_signature_list()[signature]
        graph = wrapper.GetSubgraphIndexFromSignature(signature)
        allocate, invoke, tensor = wrapper.AllocateTensors, wrapper.Invoke, wrapper.tensor
    except (AttributeError, KeyError, TypeError):
        return None
    allocate(graph)
    try:
        inputs = {name: tensor(wrapper, index, graph) for name, index in definition["inputs"].items()}
        for values in inputs.values():
            values.fill(0)
        invoke(graph)  # an output may get its place only when it is first written
        outputs = {name: tensor(wrapper, index, graph) for name, index in definition["outputs"].items()}
    except TypeError:
        return None
    return EdgeBuffers(inputs, outputs, partial(invoke, graph))


def _direct_call(interpreter: Any, signature: str) -> Call | None:
    """Allocates a signature's graph once and calls it below the public API; None where that door has moved."""
    try:
        wrapper = interpreter._interpreter
        definition = interpreter._get_full_signature_list()[signature]
        inputs, outputs = list(definition["inputs"].items()), list(definition["outputs"].items())
        graph = wrapper.GetSubgraphIndexFromSignature(signature)
        allocate, set_tensor = wrapper.AllocateTensors, wrapper.SetTensor
        invoke, get_tensor = wrapper.Invoke, wrapper.GetTensor
    except (AttributeError, KeyError, TypeError):
        return None
    allocate(graph)

    def call(features: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        for name, index in inputs:
            set_tensor(index, features[name], graph)
        invoke(graph)
        return {name: get_tensor(index, graph) for name, index in outputs}

    return call


def _signature_call(interpreter: Any, signature: str) -> Call:
    """The same through the public API, which allocates at every call."""
    runner = interpreter.get_signature_runner(signature)
    shapes = {name: tuple(detail["shape"]) for name, detail in runner.get_input_details().items()}

    def call(features: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        for name, shape in shapes.items():
            if features[name].shape != shape:
                raise ValueError(f"{signature}: {name} has shape {features[name].shape}, expected {shape}")
        return runner(**{name: features[name] for name in shapes})

    return call
