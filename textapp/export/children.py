"""Child processes for conversion and verification.

A conversion leaks memory and may crash; a verification must run without TensorFlow.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from typing import Any

from textapp.errors import ExportError
from textapp.processes import child_environment

TIME_LIMIT_SECONDS = 3600


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


def _tail(stderr: str) -> str:
    lines = [line for line in stderr.splitlines() if line.strip()]
    return lines[-1][:500] if lines else "no message on stderr"
