"""What a search does with a candidate: trains and exports it in child processes, and measures its file."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import numpy as np

from textapp.arrays import spread
from textapp.artifact import Artifact, open_artifact
from textapp.commands.benchmark import BLOCK, MAX_QUERIES, PERCENTILES, Child, interleaved
from textapp.errors import ArtifactError, TextappError
from textapp.processes import child_environment
from textapp.tasks.task import Record

STOP_SECONDS = 20.0  # for a training to save a checkpoint, before it is killed
SESSION_MS = 10_000.0  # of queries for each model that is timed in turns
TRIED = 10  # queries that tell how many there is time for


class Failed(TextappError):
    """A candidate could not be made.

    Args:
        message: why.
        job: what failed, `compress` or `export`.
        refused: whether the call was wrong, as of a format that a task cannot have.

    Attributes:
        job, refused: see above.
    """

    def __init__(self, message: str, job: str, refused: bool = False) -> None:
        super().__init__(message)
        self.job, self.refused = job, refused


class OutOfTime(TextappError):
    """A child was stopped, as the time of the search was over; a training saved a checkpoint."""


def run_job(job: Mapping[str, Any], log: Path, seconds: float) -> None:
    """Does a job of `optimize_child.py` in a process of its own, which ends with this one, however that ends.

    Args:
        job: see there.
        log: file for what it prints.
        seconds: after which it is stopped.

    Raises:
        Failed: the job failed, or its process crashed.
        OutOfTime: it was stopped.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    read, write = os.pipe()
    try:
        with log.open("ab") as stderr, tempfile.TemporaryFile() as stdout:
            process = subprocess.Popen(
                [sys.executable, "-m", "textapp.commands.optimize_child", json.dumps(job)],
                env=child_environment(), stdin=read, stdout=stdout, stderr=stderr, start_new_session=True,
            )  # fmt: skip
            try:
                process.wait(timeout=max(0.0, seconds))
            except subprocess.TimeoutExpired as error:
                _stop(process)
                raise OutOfTime("stopped, as the time was over") from error
            finally:
                _kill(process)
            stdout.seek(0)
            lines = stdout.read().decode("utf-8", errors="replace").splitlines()
    finally:
        os.close(read)
        os.close(write)
    if process.returncode < 0:
        raise Failed(f"its process was killed by {signal.Signals(-process.returncode).name}, see {log}", job["do"])
    answer = json.loads(lines[-1]) if process.returncode == 0 and lines else None
    if answer is None:
        raise Failed(f"its process ended with exit code {process.returncode}, see {log}", job["do"])
    if "error" in answer:
        raise Failed(answer["error"], job["do"], answer["exit_code"] == 2)


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(timeout=STOP_SECONDS)


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kills what is left of a process and its children."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def finished(folder: Path, parent: str) -> bool:
    """Whether a run or a bundle is there, whole, and was made from a model.

    Args:
        folder: its place.
        parent: the checksum of that model.
    """
    try:
        found = open_artifact(folder).manifest.get("parent")
    except ArtifactError:
        return False
    return isinstance(found, dict) and found.get("sha256") == parent


def quality(artifact: Artifact, records: Sequence[Record]) -> dict[str, Any]:
    """The quality of a run or a bundle on records, in a process of its own.

    Args:
        artifact: the run or bundle.
        records: with labels or references.

    Raises:
        ArtifactError: it does not answer.
    """
    with Child(artifact, 1, "auto") as child:
        return child.quality(records)


def timed_in_turns(artifacts: Sequence[Artifact], records: Sequence[Record]) -> list[dict[str, float]]:
    """The latencies of several models, which answer blocks of the same queries in turns.

    Args:
        artifacts: runs or bundles.
        records: examples, of which some are asked.

    Returns:
        Of each `{"p50", "p90", "p99"}` in milliseconds, string to answer.

    Raises:
        ArtifactError: one of them does not answer.
    """
    with ExitStack() as stack:
        children = [stack.enter_context(Child(each, 1, "auto")) for each in artifacts]
        queries = [child.queries(records) for child in children]
        slowest = max(
            float(np.median(child.times(asked[:TRIED]))) for child, asked in zip(children, queries, strict=True)
        )
        count = int(min(MAX_QUERIES, max(BLOCK, SESSION_MS / max(slowest, 1e-3))))
        timings = interleaved(children, [spread(asked, count) for asked in queries])
    return [{f"p{rank}": round(float(np.percentile(ms, rank)), 4) for rank in PERCENTILES} for ms in timings]


class Clock:
    """The time that a search has.

    Args:
        seconds: in all.
        spent: of them by earlier calls.
    """

    def __init__(self, seconds: float, spent: float) -> None:
        self._end = time.monotonic() + seconds - spent

    @property
    def left(self) -> float:
        """Seconds; negative if the time is over."""
        return self._end - time.monotonic()
