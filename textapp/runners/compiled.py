"""Opens a large .tflite file with LiteRT so that its weights are in memory once, however many signatures read them.

An interpreter packs the weights for its kernels once a signature, when the file is opened: a language model of 135 MB
takes 1.3 GB. LiteRT's CompiledModel can keep packed weights in a cache, in memory, where equal ones stand once; the
kernels and their results are the same. It copies inputs and outputs, though, which at each token would be all keys and
values, and Python has no other access. So the address of a buffer is asked for by the C API of the same package.

A buffer may serve several signatures, too: keys and values are written by the signature that reads a prompt where those
that go on read them, and are in memory once. These write theirs there as well: where a kernel would copy a whole cache
to change a row of it, it changes the row alone.

LiteRT prepares every graph of a file before the first runs, for a language model half a second. So the first signature
that needs no cache of another one is opened alone, in a copy of the file where all other graphs are empty.
"""

from __future__ import annotations

import atexit
import ctypes
import importlib
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from textapp.noise import suppress_stderr
from textapp.runners.flatfile import SignatureShapes, copy_of_one
from textapp.runners.runner import CACHES

MIN_BYTES = 50_000_000  # of a file; smaller ones gain little, and an interpreter opens them faster
# A copy takes 0.5 ms a MB, and memory; an operator that LiteRT need not prepare saves 0.02 ms.
_MAX_COPY_BYTES = 256_000_000
_WORTH_A_COPY = 8_000  # operators
_IN_MEMORY = ":memory"  # XNNPACK's name for a cache that is no file
_READ_AND_WRITE = 2
_CAPSULE = b"LiteRtTensorBuffer"


class Memory(NamedTuple):
    """The memory of a signature; the arrays are views whose addresses do not change.

    Attributes:
        inputs, outputs: by name.
        invoke: reads the inputs and writes the outputs.
        shared: the names and shapes of the caches in it; signatures with the same ones share them.
    """

    inputs: dict[str, np.ndarray]
    outputs: dict[str, np.ndarray]
    invoke: Callable[[], None]
    shared: frozenset[tuple[str, tuple[int, ...]]]


def open_alone(model_path: str | Path, threads: int, signature: str, shapes: SignatureShapes) -> CompiledFile | None:
    """Opens one signature of a file, which is checked; None: that is worth nothing, or not possible.

    Args:
        model_path, threads: as for `open_compiled`.
        signature, shapes: the name of the signature, and its inputs and outputs.

    Raises:
        ArtifactError: the file is damaged.
    """
    if any(name.startswith(CACHES) for name in (*shapes.inputs, *shapes.outputs)):
        return None
    if Path(model_path).stat().st_size > _MAX_COPY_BYTES:
        return None
    copy = copy_of_one(model_path, signature, _WORTH_A_COPY)
    if copy is None:
        return None
    try:
        return open_compiled(f"/proc/self/fd/{copy}", threads)
    finally:
        os.close(copy)


def open_compiled(model_path: str | Path, threads: int) -> CompiledFile | None:
    """Opens a file for LiteRT; None if this version of LiteRT cannot open it so: an interpreter says why, or can.

    Args:
        model_path: the file.
        threads: number of CPU threads.
    """
    try:
        with suppress_stderr():
            return CompiledFile(model_path, threads)
    except (ImportError, AttributeError, TypeError, ValueError, OSError, RuntimeError):
        return None


class CompiledFile:
    """A .tflite file whose signatures share their packed weights.

    Args:
        model_path: the file.
        threads: number of CPU threads.
    """

    def __init__(self, model_path: str | Path, threads: int) -> None:
        options = _module("options").Options(
            hardware_accelerators=_module("hardware_accelerator").HardwareAccelerator.CPU,
            cpu_options=_module("cpu_options").CpuOptions(num_threads=threads, xnnpack_weight_cache_path=_IN_MEMORY),
        )
        _c_functions()  # fails now, and not at the first call
        model = _module("compiled_model").CompiledModel
        self._told = False
        self._shared: dict[tuple[Any, ...], Any] = {}  # the buffers of caches, by name, type and shape
        self._model = model.from_file(str(model_path), environment=_environment(), options=options)

    def get_signature_list(self) -> dict[str, dict[str, list[str]]]:
        """`{"classify_16": {"inputs": ["token_ids"], "outputs": ["probabilities"]}}`, as interpreters do."""
        return self._model.get_signature_list()

    def memory(self, signature: str) -> Memory:
        """Allocates the inputs and outputs of a signature.

        Inputs of one name, type and shape whose name begins as one of `CACHES` are the same memory in all signatures,
        and so are the outputs of a signature that has no such input. An output with a row for each token is the memory
        of the input of its name: a graph looks at no row that it writes, unless it has written it.
        """
        model, names = self._model, self.get_signature_list()[signature]
        # Outputs are described under the names of their tensors, in the order of the signature.
        details = model.get_input_tensor_details(signature)
        described = dict(zip(names["outputs"], model.get_output_tensor_details(signature).values(), strict=True))

        def buffer(create: Callable[[str, str], Any], name: str, about: dict[str, Any], shares: bool) -> Any:
            key = (name, str(np.dtype(about["dtype"])), tuple(about["shape"]))
            if not shares:
                return create(signature, name)
            if key not in self._shared:
                self._shared[key] = create(signature, name)
            return self._shared[key]

        inputs = {
            name: buffer(model.create_input_buffer_by_name, name, details[name], name.startswith(CACHES))
            for name in names["inputs"]
        }
        outputs = {
            name: inputs[name]
            if _changes_rows(name, about, details)
            else buffer(model.create_output_buffer_by_name, name, about, name.startswith(CACHES) and name not in inputs)
            for name, about in described.items()
        }
        views = {name: _view(each, details[name]) for name, each in inputs.items()}
        results = {name: _view(each, described[name]) for name, each in outputs.items()}
        for name, values in views.items():
            if not name.startswith(CACHES):  # a cache is written as a whole before it is read
                values.fill(0)
        caches = {name: values.shape for name, values in (results | views).items() if name.startswith(CACHES)}
        return Memory(views, results, partial(self._run, signature, inputs, outputs), frozenset(caches.items()))

    def _run(self, signature: str, inputs: dict[str, Any], outputs: dict[str, Any]) -> None:
        if self._told:
            self._model.run_by_name(signature, inputs, outputs)
            return
        with suppress_stderr():  # the first run of a process lists the machine's accelerators
            self._model.run_by_name(signature, inputs, outputs)
        self._told = True


def _changes_rows(name: str, output: Mapping[str, Any], inputs: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether an output is an input, `[batch, heads, length, head_dim]`, with other rows; not a state of an LSTM."""
    if name not in inputs or not name.startswith(CACHES) or len(output["shape"]) != 4:
        return False
    return all(np.array_equal(inputs[name][key], output[key]) for key in ("shape", "dtype"))


@cache
def _environment() -> Any:
    """The environment of all files in this process."""
    module = _module("environment")
    atexit.register(_end_quietly)
    return module.Environment.create(options=module.EnvironmentOptions(runtime_path=os.devnull))


def _end_quietly() -> None:
    """Discards the lines that LiteRT's accelerators write to stderr when a process ends."""
    with suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)


def _view(buffer: Any, details: dict[str, Any]) -> np.ndarray:
    """The memory of a buffer as an array; the buffer has to live as long."""
    address, lock, unlock = _c_functions()
    handle, start = address(buffer.capsule, _CAPSULE), ctypes.c_void_p()
    if lock(handle, ctypes.byref(start), _READ_AND_WRITE) or start.value is None:
        raise RuntimeError("a buffer has no address")
    unlock(handle)
    dtype, shape = np.dtype(details["dtype"]), tuple(details["shape"])
    size = int(np.prod(shape)) * dtype.itemsize
    return np.frombuffer(memoryview((ctypes.c_char * size).from_address(start.value)), dtype).reshape(shape)


@cache
def _c_functions() -> tuple[Callable[..., Any], Callable[..., int], Callable[..., int]]:
    """The pointer in a capsule, and the functions that give a buffer's address and take it back."""
    library = ctypes.CDLL(str(Path(_module("compiled_model").__file__).with_name("libLiteRt.so")))
    address = ctypes.pythonapi.PyCapsule_GetPointer
    address.restype, address.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    lock, unlock = library.LiteRtLockTensorBuffer, library.LiteRtUnlockTensorBuffer
    lock.argtypes = [ctypes.c_void_p, ctypes.POINTER(ctypes.c_void_p), ctypes.c_int]
    unlock.argtypes = [ctypes.c_void_p]
    return address, lock, unlock


def _module(name: str) -> Any:
    return importlib.import_module(f"ai_edge_litert.{name}")
