"""Child processes for conversion and verification.

A conversion leaks memory and may crash; a verification must run without TensorFlow. They end with the process that
started them, also when that is killed.
"""

from __future__ import annotations

import json
import os
import runpy
import signal
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable
from types import TracebackType
from typing import IO, Any

from textapp.errors import ExportError
from textapp.processes import child_environment, end_with_parent

TIME_LIMIT_SECONDS = 3600
SERVE = "--serve"  # the argument of a module that calls `serve`
_TOO_LONG = f"{{}} took more than {TIME_LIMIT_SECONDS} s and was stopped"
_NO_MEMORY = ("std::bad_alloc", "MemoryError")  # of C++ and of Python, where a limit is set on the process


def run_child(module: str, job: dict[str, Any], what: str) -> dict[str, Any]:
    """Runs `python -m module JOB` and waits.

    Args:
        module: prints one JSON object as its last line, `{"error": "..."}` for an expected error.
        job: passed as JSON.
        what: describes the job in error messages, such as `converting to int8`.

    Returns:
        The object that the child printed.

    Raises:
        ExportError: the child reported an error, or crashed.
    """
    try:
        done = subprocess.run(
            _command(module, json.dumps(job)),
            env=child_environment(CUDA_VISIBLE_DEVICES="-1"),
            capture_output=True, encoding="utf-8", errors="replace", timeout=TIME_LIMIT_SECONDS,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise ExportError(_TOO_LONG.format(what)) from error
    return _answer(done.returncode, done.stdout, done.stderr, what)


class ForkingChild:
    """A child that imports its libraries once and forks a process for each job, as TensorFlow takes 6 s to import.

    A job gives all of its memory back, and may crash alone. Where processes do not fork well it is `run_child`.

    Args:
        module: as for `run_child`; started as `python -m module --serve`, it calls `serve`.

    Example:
        with ForkingChild("textapp.export.tflite") as child:
            child.run(job, "converting to int8")
    """

    def __init__(self, module: str) -> None:
        self._module = module
        self._process, self._errors = None, tempfile.TemporaryFile()  # noqa: SIM115
        if sys.platform == "linux":
            self._process = subprocess.Popen(
                _command(module, SERVE), env=child_environment(CUDA_VISIBLE_DEVICES="-1"),
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, encoding="utf-8",
            )  # fmt: skip

    def run(self, job: dict[str, Any], what: str) -> dict[str, Any]:
        """Like `run_child`."""
        process = self._process
        if process is None:
            return run_child(self._module, job, what)
        assert process.stdin is not None and process.stdout is not None
        try:
            process.stdin.write(json.dumps(job) + "\n")
            process.stdin.flush()
            line = process.stdout.readline()
        except BrokenPipeError:
            line = ""
        return _answer(*json.loads(line), what) if line else _answer(process.wait() or 1, "", _text(self._errors), what)

    def __enter__(self) -> ForkingChild:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        with self._errors:
            if self._process is not None:
                self._process.communicate()  # closes its input and waits


def _command(module: str, argument: str) -> list[str]:
    return [sys.executable, "-m", "textapp.export.children", module, argument]


def serve(run: Callable[[list[str]], None]) -> None:
    """Runs each job of standard input in a process of its own, and answers with its exit code, output and errors.

    Args:
        run: takes a job as `main` of a child does: in JSON, as its only argument.
    """
    for line in sys.stdin:
        with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
            child = os.fork()
            if child == 0:
                _run_forked(run, line, output.fileno(), errors.fileno())
            code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            print(json.dumps([code, _text(output), _text(errors)]), flush=True)


def _run_forked(run: Callable[[list[str]], None], job: str, output: int, errors: int) -> None:
    """Runs a job and ends the process."""
    code = 1
    end_with_parent()
    try:
        signal.alarm(TIME_LIMIT_SECONDS)
        os.dup2(output, 1)
        os.dup2(errors, 2)
        run([job])
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode("utf-8", "replace")


def _answer(code: int, output: str, errors: str, what: str) -> dict[str, Any]:
    """What a child printed; an ExportError if it ended badly or reported an error."""
    if code == -signal.SIGKILL or any(sign in errors for sign in _NO_MEMORY):
        raise ExportError(_killed_for_memory(what))
    if code == -signal.SIGALRM:
        raise ExportError(_TOO_LONG.format(what))
    if code < 0:
        name = signal.Signals(-code).name
        raise ExportError(
            f"{what} crashed ({name}): the library failed on this model: use another quantization or target"
        )
    if code > 0:
        raise ExportError(f"{what} failed: {_tail(errors)}")
    answer = json.loads(output.splitlines()[-1])
    if "error" in answer:
        raise ExportError(f"{what} failed: {answer['error']}")
    return answer


def _killed_for_memory(what: str) -> str:
    """What to say of a child that found no memory, or that the system killed, which it does where memory ends."""
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    child = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * unit / 1e9  # the largest so far
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    return (
        f"{what} was killed for memory: its process had taken up to {child:.1f} GB and needs more, beside {own:.1f} GB "
        f"of this one, on a machine with {machine:.1f} GB: close other programs, export on a machine with more memory, "
        "or train with fewer or shorter lengths, as each pair of lengths is a graph of its own"
    )


def _tail(stderr: str) -> str:
    lines = [line for line in stderr.splitlines() if line.strip()]
    return lines[-1][:500] if lines else "no message on stderr"


if __name__ == "__main__":
    end_with_parent()
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
