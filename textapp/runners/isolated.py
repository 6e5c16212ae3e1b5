"""Runs a .tflite file in a process of its own, which may crash alone: `python -m textapp.runners.isolated FILE`.

Requests and replies are a line of JSON, which names arrays with their types and shapes, and then the bytes of these
arrays. Nothing is unpickled, so that a child that a file has taken over cannot take over its parent.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import weakref
from collections.abc import Mapping
from contextlib import suppress
from math import prod
from pathlib import Path
from typing import IO, Any

import numpy as np

from textapp.errors import ArtifactError, UsageError
from textapp.processes import child_environment

_TYPES = ("float32", "float16", "int32", "int64", "int8", "uint8", "int16", "bool")
_ERRORS: dict[str, type[Exception]] = {"UsageError": UsageError, "OptionError": UsageError, "ValueError": ValueError}
_MAX_LINE = 1 << 20
_MAX_BYTES = 1 << 31


class IsolatedRunner:
    """Runs the signatures of a .tflite file in a child process; after a crash the next call starts another one.

    Args:
        model_path: the file.
        threads: number of CPU threads.
        runtime: `litert`, `tflite-runtime` or `auto`.

    Attributes:
        signatures: name -> the names of its inputs and outputs.

    Raises:
        ArtifactError: the file cannot be opened, or the process crashed while opening it.
    """

    max_batch = 1
    shareable = False

    def __init__(self, model_path: str | Path, threads: int = 1, runtime: str = "auto") -> None:
        self.model_path, self.threads, self.runtime = Path(model_path), threads, runtime
        self._lock = threading.RLock()
        self._process: subprocess.Popen[bytes] | None = None
        self._end: weakref.finalize | None = None
        self.signatures: dict[str, Any] = self._ask("", {})[0]["signatures"]

    def run(self, signature: str, features: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Runs a signature on one text, see `EdgeRunner`.

        Args:
            signature: its name.
            features: its inputs by name.

        Raises:
            ArtifactError: as `EdgeRunner`, or the process crashed.
            ValueError: a feature has a different shape or type than the signature.
        """
        return self._ask(signature, features)[1]

    def clone(self) -> IsolatedRunner:
        """A second process with the same file, for another thread."""
        return IsolatedRunner(self.model_path, self.threads, self.runtime)

    def close(self) -> None:
        """Ends the process."""
        with self._lock:
            if self._end is not None:
                self._end()
            self._process = self._end = None

    def _ask(self, signature: str, features: Mapping[str, np.ndarray]) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        with self._lock:
            try:
                process = self._started()
                _send(process.stdin, {"signature": signature}, features)
                reply, arrays = _receive(process.stdout)
            except (OSError, EOFError, ValueError, KeyError, TypeError, RecursionError) as error:
                raise self._crashed(signature) from error
            except BaseException:  # Ctrl-C: the reply would be taken for that of the next call
                self.close()
                raise
        if "error" in reply:
            raise _ERRORS.get(str(reply.get("kind")), ArtifactError)(str(reply["error"]))
        return reply, arrays

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            command = [sys.executable, "-m", __name__, str(self.model_path), str(self.threads), self.runtime]
            pipe, null = subprocess.PIPE, subprocess.DEVNULL
            self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=null, env=child_environment())
            self._end = weakref.finalize(self, _finish, self._process, os.getpid())
        return self._process

    def _crashed(self, signature: str) -> ArtifactError:
        process = self._process
        code = None
        if process is not None:
            with suppress(subprocess.TimeoutExpired):  # it still lives, but does not answer as it should
                code = process.wait(2)
        self.close()
        how = f"exit code {code}"
        if code is not None and code < 0:
            how = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
        what = f"running {signature}" if signature else "opening it"
        return ArtifactError(
            f"{self.model_path}: its process crashed ({how}) while {what}: the file is damaged or was made to do so: "
            "do not use it"
        )


def _finish(process: subprocess.Popen[bytes], parent: int) -> None:
    """Ends a child process, and closes its pipes; in a fork of the parent, whose child it is not, nothing."""
    if os.getpid() != parent:
        return
    process.kill()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with suppress(OSError):  # what was not sent cannot be sent any more
                pipe.close()
    process.wait()


def _send(pipe: IO[bytes] | None, head: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
    assert pipe is not None
    named = {name: np.ascontiguousarray(values).reshape(np.shape(values)) for name, values in arrays.items()}
    listed = [[name, values.dtype.name, list(values.shape)] for name, values in named.items()]
    pipe.write(json.dumps({**head, "arrays": listed}).encode() + b"\n")
    for values in named.values():
        pipe.write(values.tobytes())
    pipe.flush()


def _receive(pipe: IO[bytes] | None) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Reads a message.

    Raises:
        EOFError: the other side ended.
        ValueError: it is no message.
    """
    assert pipe is not None
    line = pipe.readline(_MAX_LINE)
    if not line.endswith(b"\n"):
        raise EOFError
    head = json.loads(line)
    arrays = {}
    for name, kind, shape in head["arrays"]:
        if kind not in _TYPES or not all(type(size) is int and size >= 0 for size in shape):
            raise ValueError(f"found an array of {kind} {shape}")
        size = prod(shape) * np.dtype(kind).itemsize
        if size > _MAX_BYTES:
            raise ValueError(f"found an array of {size} bytes")
        content = pipe.read(size)
        if len(content) < size:
            raise EOFError
        # a copy, as what numpy reads from bytes cannot be changed, and a session changes its cache
        arrays[str(name)] = np.frombuffer(content, kind).reshape(shape).copy()
    return head, arrays


def main(model_path: str, threads: str, runtime: str) -> None:
    """Answers requests until stdin ends.

    Args:
        model_path: a .tflite file.
        threads: number of CPU threads.
        runtime: the interpreter.
    """
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what libraries print is no reply
    from textapp.runners.edge import EdgeRunner

    runner = None
    while True:
        try:
            head, features = _receive(sys.stdin.buffer)
        except EOFError:
            return
        reply: dict[str, Any] = {}
        outputs: dict[str, np.ndarray] = {}
        try:
            runner = runner or EdgeRunner(model_path, int(threads), runtime)
            if head["signature"]:
                outputs = runner.run(head["signature"], features)
            else:
                reply["signatures"] = runner.signatures
        except Exception as error:
            reply = {"error": str(error), "kind": type(error).__name__}
        _send(replies, reply, outputs)


if __name__ == "__main__":
    main(*sys.argv[1:])
