"""Child processes for conversion and verification.

A conversion leaks memory and may crash; a verification must run without TensorFlow.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from typing import Any

from textapp.errors import ExportError
from textapp.processes import child_environment

TIME_LIMIT_SECONDS = 3600
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
            [sys.executable, "-m", module, json.dumps(job)],
            env=child_environment(CUDA_VISIBLE_DEVICES="-1"),
            capture_output=True, encoding="utf-8", errors="replace", timeout=TIME_LIMIT_SECONDS,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise ExportError(f"{what} took more than {TIME_LIMIT_SECONDS} s and was stopped") from error
    if done.returncode == -signal.SIGKILL or any(sign in done.stderr for sign in _NO_MEMORY):
        raise ExportError(_killed_for_memory(what))
    if done.returncode < 0:
        name = signal.Signals(-done.returncode).name
        raise ExportError(
            f"{what} crashed ({name}): the library failed on this model: use another quantization or target"
        )
    if done.returncode > 0:
        raise ExportError(f"{what} failed: {_tail(done.stderr)}")
    answer = json.loads(done.stdout.splitlines()[-1])
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
