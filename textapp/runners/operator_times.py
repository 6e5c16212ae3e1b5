"""Where the time of a .tflite file goes: LiteRT's own profile, operator by operator.

    python -m textapp.runners.operator_times FILE THREADS < request.json

The request is `{"signature": "classify_16", "inputs": {"token_ids": [[5, 0, ..]]}}`, the reply `{"operators": [[name,
percent], ..]}`. The interpreter of Python has no profile, the C interface of the same package has one; it is called in
a process of its own, because another version of it may differ and crash.
"""

from __future__ import annotations

import ctypes
import importlib.util
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from textapp.errors import ArtifactError
from textapp.processes import child_environment

TIMEOUT_S = 120
ROUNDS = 5  # processes, of which the median counts: what else runs on the machine hits an operator now and then
_SECONDS = 0.5  # of profiled runs, in each
_MOST = 500  # of them
_CPU = 1  # of the accelerators of LiteRT
_WRITE = 1  # how a buffer is locked
_HANDLE = ctypes.c_void_p
# `  FULLY_CONNECTED   0.000   0.010   0.002   0.112%   0.112%   0.000   20   [Builtin]:0`
_ROW = re.compile(
    r"^\s*(\S.*?)\s+[\d.]+\s+[\d.]+\s+[\d.]+\s+([\d.]+)%\s+[\d.]+%\s+[-\d.]+\s+\d+\s+\[(?:Builtin|Delegate)\]"
)
_CONTAINERS = ("WHILE", "IF", "CALL_ONCE", "CALL")  # their time is that of the operators in them


def operator_times(model_path: Path, request: Mapping[str, Any], threads: int = 1) -> list[tuple[str, float]]:
    """The share of the time of each operator of a signature, in percent of their sum, the largest first.

    Args:
        model_path: a .tflite file that was checked.
        request: `{"signature": name, "inputs": {name: nested lists of int32}}`.
        threads: CPU threads.

    Raises:
        ArtifactError: this version of LiteRT gives no profile; with the reason.
    """
    rounds = [dict(_one_round(model_path, request, threads)) for _ in range(ROUNDS)]
    return shared({name: float(np.median([each.get(name, 0.0) for each in rounds])) for name in rounds[0]})


def _one_round(model_path: Path, request: Mapping[str, Any], threads: int) -> list[tuple[str, float]]:
    command = [sys.executable, "-m", "textapp.runners.operator_times", str(model_path), str(threads)]
    try:
        done = subprocess.run(
            command,
            input=json.dumps(request),
            env=child_environment(),
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
        )
        reply = json.loads(done.stdout.splitlines()[-1])
        return [(str(name), float(percent)) for name, percent in reply["operators"]]
    except (subprocess.TimeoutExpired, ValueError, IndexError, KeyError, TypeError) as error:
        raise ArtifactError(
            f"{model_path}: the installed LiteRT gives no profile of it, expected that of version 2.3"
        ) from error


def summed(summary: str) -> list[tuple[str, float]]:
    """The operators of LiteRT's summary of a profile with their percent, equal names added up, the largest first.

    Operators inside a loop are counted, the loop itself is not. The time of a name is a mean of many runs, since the
    clock of the profile counts whole microseconds.

    Args:
        summary: the text; only its first table is read, which has each operator once.
    """
    shares: dict[str, float] = {}
    for line in summary.partition("Top by Computation Time")[0].splitlines():
        found = _ROW.match(line)
        if found and found[1] not in _CONTAINERS:
            name = found[1].removeprefix("Delegate/")
            shares[name] = shares.get(name, 0.0) + float(found[2])
    return shared(shares)


def shared(times: Mapping[str, float]) -> list[tuple[str, float]]:
    """Times as percent of their sum, the largest first.

    Example: `shared({"ADD": 1.0, "CONV_2D": 3.0})` is `[("CONV_2D", 75.0), ("ADD", 25.0)]`.
    """
    total = sum(times.values())
    rows = [(name, round(100 * each / total, 3)) for name, each in times.items()] if total else []
    return sorted(rows, key=lambda row: -row[1])


class _LiteRt:
    """The C interface: each function returns 0, or the number of an error."""

    def __init__(self) -> None:
        package = importlib.util.find_spec("ai_edge_litert")
        assert package is not None and package.origin is not None
        self._library = ctypes.CDLL(str(Path(package.origin).with_name("libLiteRt.so")))

    def call(self, name: str, *arguments: Any) -> None:
        status = getattr(self._library, f"LiteRt{name}")(*arguments)
        if status:
            raise RuntimeError(f"{name} returned {status}")

    def made(self, name: str, *arguments: Any, kind: Any = _HANDLE) -> Any:
        """What a function puts where its last argument points."""
        place = kind()
        self.call(name, *arguments, ctypes.byref(place))
        return place

    def opaque_options(self, name: bytes, text: bytes) -> tuple[Any, Any]:
        """Options as TOML, and what has to live as long as they do."""
        payload, nothing = ctypes.create_string_buffer(text), ctypes.CFUNCTYPE(None, _HANDLE)(lambda _: None)
        return self.made("CreateOpaqueOptions", name, ctypes.cast(payload, _HANDLE), nothing), (payload, nothing)


def _profile(model_path: str, threads: int, signature: str, inputs: Mapping[str, Any]) -> str:
    """Runs a signature under the profiler; returns its summary."""
    api = _LiteRt()
    environment = api.made("CreateEnvironment", 0, None)
    model = api.made("CreateModelFromFile", environment, os.fsencode(model_path))
    options, kept = api.made("CreateOptions"), []
    api.call("SetOptionsHardwareAccelerators", options, _CPU)
    for kind, toml in (
        (b"runtime_options_string", "enable_profiling = true\n"),
        (b"xnnpack", f"num_threads = {threads}\n"),
    ):
        more, lives = api.opaque_options(kind, toml.encode())
        api.call("AddOpaqueOptions", options, more)
        kept.append(lives)
    compiled = api.made("CreateCompiledModel", environment, model, options)
    profiler = api.made("CompiledModelGetProfiler", compiled)
    number, handle = _signature(api, model, signature)
    sides = [_buffers(api, (environment, compiled, number, handle), side) for side in ("Input", "Output")]
    for name, buffer in sides[0].items():
        _fill(api, buffer, np.asarray(inputs[name], np.int32))
    arrays = [(_HANDLE * len(side))(*(each.value for each in side.values())) for side in sides]

    def run() -> None:
        sizes = [ctypes.c_size_t(len(array)) for array in arrays]
        api.call("RunCompiledModel", compiled, number, sizes[0], arrays[0], sizes[1], arrays[1])

    _repeat(run, 5)
    api.call("ResetProfiler", profiler)
    api.call("StartProfiler", profiler)
    _repeat(run, _MOST)
    api.call("StopProfiler", profiler)
    return api.made("GetProfileSummary", profiler, compiled, kind=ctypes.c_char_p).value.decode("utf-8", "replace")


def _repeat(run: Callable[[], None], most: int) -> None:
    began = time.perf_counter()
    for _ in range(most):
        run()
        if time.perf_counter() - began > _SECONDS:
            return


def _signature(api: _LiteRt, model: Any, name: str) -> tuple[Any, Any]:
    """The number of a signature, and its handle."""
    for index in range(api.made("GetNumModelSignatures", model, kind=ctypes.c_size_t).value):
        number = ctypes.c_size_t(index)
        handle = api.made("GetModelSignature", model, number)
        if api.made("GetSignatureKey", handle, kind=ctypes.c_char_p).value == name.encode():
            return number, handle
    raise RuntimeError(f"no signature {name}")


def _buffers(api: _LiteRt, owner: Sequence[Any], side: str) -> dict[str, Any]:
    """A buffer for each input or output of a signature, by name.

    Args:
        api: the C interface.
        owner: the environment, the compiled model, and number and handle of the signature.
        side: `Input` or `Output`.
    """
    environment, compiled, number, signature = owner
    found = {}
    for index in range(api.made(f"GetNumSignature{side}s", signature, kind=ctypes.c_size_t).value):
        place = ctypes.c_size_t(index)
        name = api.made(f"GetSignature{side}Name", signature, place, kind=ctypes.c_char_p).value.decode()
        tensor = api.made(f"GetSignature{side}TensorByIndex", signature, place)
        kind = ctypes.create_string_buffer(1024)  # a struct that only the library reads
        api.call("GetRankedTensorType", tensor, kind)
        required = api.made(f"GetCompiledModel{side}BufferRequirements", compiled, number, place)
        found[name] = api.made("CreateManagedTensorBufferFromRequirements", environment, kind, required)
    return found


def _fill(api: _LiteRt, buffer: Any, values: np.ndarray) -> None:
    size = api.made("GetTensorBufferPackedSize", buffer, kind=ctypes.c_size_t).value
    if size != values.nbytes:
        raise RuntimeError(f"found an input of {values.nbytes} bytes, expected {size}")
    place = _HANDLE()
    api.call("LockTensorBuffer", buffer, ctypes.byref(place), _WRITE)
    ctypes.memmove(place, np.ascontiguousarray(values).ctypes.data, size)
    api.call("UnlockTensorBuffer", buffer)


def main(model_path: str, threads: str) -> None:
    """Profiles the request on stdin."""
    request = json.load(sys.stdin)
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what the library prints is no reply
    operators = summed(_profile(model_path, int(threads), request["signature"], request["inputs"]))
    replies.write(json.dumps({"operators": operators}) + "\n")
    replies.close()
    os._exit(0)  # without the library's own clean-up, of which nothing here depends


if __name__ == "__main__":
    main(*sys.argv[1:])
