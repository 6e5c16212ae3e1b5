"""Opens a large .tflite file with LiteRT so that its weights are in memory once, however many signatures read them.

An interpreter packs the weights for its kernels once a signature, when the file is opened: a language model of 135 MB
takes 1.3 GB. LiteRT's CompiledModel can keep packed weights in a cache, in memory, where equal ones stand once; the
kernels and their results are the same. It copies inputs and outputs, though, which at each token would be all keys and
values, and Python has no other access. So the address of a buffer is asked for by the C API of the same package.
"""

from __future__ import annotations

import atexit
import ctypes
import importlib
import os
from collections.abc import Callable
from contextlib import suppress
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from textapp.noise import suppress_stderr

MIN_BYTES = 50_000_000  # of a file; smaller ones gain little, and an interpreter opens them faster
_IN_MEMORY = ":memory"  # XNNPACK's name for a cache that is no file
_READ_AND_WRITE = 2
_CAPSULE = b"LiteRtTensorBuffer"


class Memory(NamedTuple):
    """The memory of a signature; the arrays are views whose addresses do not change.

    Attributes:
        inputs, outputs: by name.
        invoke: reads the inputs and writes the outputs.
    """

    inputs: dict[str, np.ndarray]
    outputs: dict[str, np.ndarray]
    invoke: Callable[[], None]


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
        self._model = model.from_file(str(model_path), environment=_environment(), options=options)

    def get_signature_list(self) -> dict[str, dict[str, list[str]]]:
        """`{"classify_16": {"inputs": ["token_ids"], "outputs": ["probabilities"]}}`, as interpreters do."""
        return self._model.get_signature_list()

    def memory(self, signature: str) -> Memory:
        """Allocates the inputs and outputs of a signature."""
        model, names = self._model, self.get_signature_list()[signature]
        inputs = {name: model.create_input_buffer_by_name(signature, name) for name in names["inputs"]}
        outputs = {name: model.create_output_buffer_by_name(signature, name) for name in names["outputs"]}
        # Outputs are described under the names of their tensors, in the order of the signature.
        shapes = model.get_input_tensor_details(signature), model.get_output_tensor_details(signature).values()
        views = {name: _view(buffer, shapes[0][name]) for name, buffer in inputs.items()}
        results = {
            name: _view(buffer, details) for (name, buffer), details in zip(outputs.items(), shapes[1], strict=True)
        }
        for values in views.values():
            values.fill(0)
        return Memory(views, results, partial(self._run, signature, inputs, outputs))

    def _run(self, signature: str, inputs: dict[str, Any], outputs: dict[str, Any]) -> None:
        if self._told:
            self._model.run_by_name(signature, inputs, outputs)
            return
        with suppress_stderr():  # the first run of a process lists the machine's accelerators
            self._model.run_by_name(signature, inputs, outputs)
        self._told = True


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
