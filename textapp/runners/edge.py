"""Runs a .tflite file, one text per call, with as little overhead between NumPy and the kernels as Python allows.

The interpreter's signature runners resize and allocate at every call, which takes as long as a small model itself.
Shapes are fixed here, so each signature is allocated once, and a call only sets inputs, invokes and gets outputs. The
weights of a large file are packed once for all signatures; see compiled.py.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from textapp.errors import ArtifactError
from textapp.noise import suppress_stderr
from textapp.runners.compiled import MIN_BYTES, CompiledFile, open_alone, open_compiled
from textapp.runners.flatfile import SignatureShapes, check_flatfile
from textapp.runners.interpreter import choose, open_interpreter
from textapp.runners.runner import CACHES
from textapp.runners.tenancy import Tenancy, Tenant

Call = Callable[[Mapping[str, np.ndarray]], dict[str, np.ndarray]]


def is_large(model_path: Path) -> bool:
    """Whether a file is opened as compiled.py does; False for one that is not there."""
    return model_path.is_file() and model_path.stat().st_size >= MIN_BYTES


class EdgeRunner:
    """Runs the signatures of one .tflite file. Threads that share it wait for each other; a `clone()` does not.

    Args:
        model_path: the file.
        threads: number of CPU threads; small models are fastest with 1.
        runtime: `litert`, `tflite-runtime` or `auto`.
        shapes: what `check_flatfile` returned for this file, if all of it was checked before.

    Attributes:
        signatures: `{"classify_16": {"inputs": ["token_ids"], "outputs": ["probabilities"]}}`.
        shapes: of the inputs and outputs of each signature.

    Raises:
        ArtifactError: the file is missing or damaged, or the runtime cannot open it, which of the graphs of a large
            file is told when they are first used.

    Example:
        runner = EdgeRunner("model.tflite")
        runner.run("classify_4", {"token_ids": np.array([[12, 7, 0, 0]], np.int32)})
        # {"probabilities": array([[0.1, 0.9]], dtype=float32)}
    """

    max_batch = 1
    shareable = False

    def __init__(
        self,
        model_path: str | Path,
        threads: int = 1,
        runtime: str = "auto",
        shapes: Mapping[str, SignatureShapes] | None = None,
    ) -> None:
        self.model_path = Path(model_path)
        self.threads = threads
        self.runtime = choose(runtime)
        large = self.runtime == "litert" and is_large(self.model_path)
        self.shapes = check_flatfile(model_path, graphs=not large) if shapes is None else shapes
        self._checked = shapes is not None or not large
        self.signatures = {
            name: {"inputs": list(inputs), "outputs": list(outputs)} for name, (inputs, outputs) in self.shapes.items()
        }
        self._lock = threading.RLock()  # setting inputs, invoking and getting outputs are three calls
        self._calls: dict[str, Call] = {}
        self._buffers: dict[str, EdgeBuffers | None] = {}
        self._tenancies: dict[Any, Tenancy] = {}  # of the memory that signatures share
        self._compiled: CompiledFile | None = None
        self._alone: str | None = None  # the only signature that is open in it
        self._interpreter = None if large else open_interpreter(model_path, threads, self.runtime)

    def run(self, signature: str, features: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Runs a signature on one text.

        Args:
            signature: its name, such as `classify_16`.
            features: `{"token_ids": [1, 16] int32}` and the other inputs of the signature.

        Returns:
            `{"probabilities": [1, classes] float32}`, as copies that later calls do not change.

        Raises:
            ArtifactError: the file has no such signature, or the runtime cannot compute it.
            ValueError: a feature has a different shape or type than the signature.
        """
        with self._lock:
            call = self._calls.get(signature)
            if call is None:
                call = self._calls[signature] = self._open(signature)
            try:
                return call(features)
            except RuntimeError as error:  # such as an id that the embedding lacks
                raise self._fault(signature, error) from error

    def run_in_place(
        self, signature: str, features: Mapping[str, np.ndarray], tenant: Tenant
    ) -> dict[str, np.ndarray] | None:
        """Runs a signature whose caches stay in the memory where other signatures read them, see `buffers`.

        Args:
            signature, features: as for `run`.
            tenant: whose state the caches are.

        Returns:
            the other outputs, as copies; None: signatures share no memory, nothing was run.

        Raises:
            ArtifactError, ValueError: as `run`.
        """
        with self._lock:
            self._open_file(signature)
            if self._compiled is None:
                return None
            buffers = self.buffers(signature)
            assert buffers is not None
            try:
                _invoke(buffers, features, tenant)
            except RuntimeError as error:
                raise self._fault(signature, error) from error
            return {name: values.copy() for name, values in buffers.outputs.items() if not name.startswith(CACHES)}

    def buffers(self, signature: str) -> EdgeBuffers | None:
        """The memory of a signature, to call it for each token without copying inputs and outputs.

        Signatures of a large file share the memory of caches of one shape. `run` overwrites all of it, but for the
        state of a tenant, which is saved before.

        Returns:
            The buffers; None if the interpreter does not expose its memory.

        Raises:
            ArtifactError: as `run`.
        """
        with self._lock:
            if signature not in self._buffers:
                self._open_file(signature)
                with self._faults(signature):
                    if self._compiled:
                        memory = self._compiled.memory(signature)
                        tenancy = self._tenancies.setdefault(memory.shared, Tenancy())
                        self._buffers[signature] = EdgeBuffers(*memory[:3], self._lock, tenancy)
                    else:
                        self._buffers[signature] = _edge_buffers(self._interpreter, signature, self._lock)
            return self._buffers[signature]

    def clone(self) -> EdgeRunner:
        """A second runner of the same file, for another thread."""
        return EdgeRunner(self.model_path, self.threads, self.runtime, self.shapes if self._checked else None)

    def _open(self, signature: str) -> Call:
        self._open_file(signature)
        if self._compiled:
            buffers = self.buffers(signature)
            assert buffers is not None
            return partial(_buffered, buffers)
        with self._faults(signature):
            return _direct_call(self._interpreter, signature) or _signature_call(self._interpreter, signature)

    def _open_file(self, signature: str) -> None:
        """Opens a large file: for its first signature alone where it can, and as a whole for the next."""
        if signature not in self.signatures:
            raise ArtifactError(
                f"{self.model_path}: has no signature {signature!r}; it has {', '.join(self.signatures) or 'none'}"
            )
        if self._interpreter or (self._compiled and self._alone in (None, signature)):
            return
        if self._compiled is None:
            self._compiled = open_alone(self.model_path, self.threads, signature, self.shapes[signature])
            if self._compiled:
                self._alone = signature
                return
        self._compiled = self._alone = None
        for opened in (self._calls, self._buffers, self._tenancies):
            opened.clear()
        if not self._checked:
            check_flatfile(self.model_path)
            self._checked = True
        self._compiled = open_compiled(self.model_path, self.threads)
        if self._compiled is None:
            self._interpreter = open_interpreter(self.model_path, self.threads, self.runtime)

    @contextmanager
    def _faults(self, signature: str) -> Iterator[None]:
        """Turns errors of the runtime about a signature into ArtifactErrors."""
        try:
            with suppress_stderr():
                yield
        except (RuntimeError, ValueError) as error:
            raise self._fault(signature, error) from error

    def _fault(self, signature: str, error: Exception) -> ArtifactError:
        return ArtifactError(
            f"{self.model_path}: {self.runtime} cannot run {signature}: {' '.join(str(error).split())}"
        )


class EdgeBuffers:
    """The memory of one signature, allocated once.

    Attributes:
        inputs, outputs: name -> the interpreter's own array. Caches may be the same memory in both; a call changes no
            other input.
        invoke: reads the inputs and writes the outputs.
        lock: of the interpreter; hold it from writing the inputs to reading the outputs.
        tenancy: whose state is in the inputs; signatures that share memory share it.
    """

    def __init__(
        self,
        inputs: Mapping[str, np.ndarray],
        outputs: Mapping[str, np.ndarray],
        invoke: Callable[[], Any],
        lock: threading.RLock,
        tenancy: Tenancy,
    ) -> None:
        self.inputs, self.outputs, self.invoke, self.lock = inputs, outputs, invoke, lock
        self.tenancy = tenancy


def _edge_buffers(interpreter: Any, signature: str, lock: threading.RLock) -> EdgeBuffers | None:
    """Allocates a signature's graph and gets its memory by a private API; None if this API has changed."""
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
        invoke(graph)  # an output may get its memory only when it is first written
        outputs = {name: tensor(wrapper, index, graph) for name, index in definition["outputs"].items()}
    except TypeError:
        return None
    return EdgeBuffers(inputs, outputs, partial(invoke, graph), lock, Tenancy())


def _buffered(buffers: EdgeBuffers, features: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """A call by the memory of a signature."""
    _invoke(buffers, features, None)
    return {name: values.copy() for name, values in buffers.outputs.items()}


def _invoke(buffers: EdgeBuffers, features: Mapping[str, np.ndarray], tenant: Tenant | None) -> None:
    """Writes the inputs of a signature and runs it, for a tenant whose state its outputs are."""
    for name, memory in buffers.inputs.items():
        found = features[name]
        if (found.shape, found.dtype) != (memory.shape, memory.dtype):
            raise ValueError(
                f"{name} has shape {found.shape} and type {found.dtype}, expected {memory.shape} and {memory.dtype}"
            )
    buffers.tenancy.take(tenant)
    for name, memory in buffers.inputs.items():
        memory[...] = features[name]
    buffers.invoke()


def _direct_call(interpreter: Any, signature: str) -> Call | None:
    """Allocates a signature's graph once and calls it by a private API; None if this API has changed."""
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
    """Calls a signature by the public API, which allocates at every call."""
    runner = interpreter.get_signature_runner(signature)
    shapes = {name: tuple(detail["shape"].tolist()) for name, detail in runner.get_input_details().items()}

    def call(features: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        for name, shape in shapes.items():
            if features[name].shape != shape:
                raise ValueError(f"{signature}: {name} has shape {features[name].shape}, expected {shape}")
        return runner(**{name: features[name] for name in shapes})

    return call
