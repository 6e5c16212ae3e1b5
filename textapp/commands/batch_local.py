"""Runs the stripes of `textapp predict --runner local` in processes of this machine."""

from __future__ import annotations

import json
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from typing import Any

from textapp.commands.batch_worker import Job, Stripe
from textapp.errors import TextappError
from textapp.processes import THREAD_SETTINGS, child_environment


class WorkerEnded(TextappError):
    """A process that answers ended before its work did."""


def run(job: Job, stripes: Sequence[Stripe], workers: int) -> None:
    """Answers stripes with several processes; returns when all are answered, or at the first file that fails.

    Args:
        job: what to answer with.
        stripes: each goes to the next process that is free, in this order.
        workers: maximum number of processes.

    Raises:
        WorkerEnded: a process was killed, or ended with an error.
    """
    todo: queue.SimpleQueue[Stripe] = queue.SimpleQueue()
    for stripe in stripes:
        todo.put(stripe)
    ended: queue.SimpleQueue[bool | WorkerEnded] = queue.SimpleQueue()
    processes: list[subprocess.Popen[str]] = []
    try:
        for _ in range(min(workers, len(stripes))):
            processes.append(_start(job.threads))
        for process in processes:
            threading.Thread(target=_serve, args=(process, job, todo, ended), daemon=True).start()
        for _ in processes:
            end = ended.get()
            if isinstance(end, WorkerEnded):
                raise end
            if not end:
                return
    finally:
        for process in processes:
            process.kill()
        for process in processes:
            process.wait()


def _start(threads: int) -> subprocess.Popen[str]:
    limits = dict.fromkeys((*THREAD_SETTINGS, "RAYON_NUM_THREADS"), str(threads))  # Rayon: the package tokenizers
    environment = child_environment(TOKENIZERS_PARALLELISM="false", **limits)
    return subprocess.Popen(
        [sys.executable, "-m", "textapp.commands.batch_worker"],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        encoding="utf-8",
        start_new_session=True,  # Ctrl-C reaches the process that started it alone, which ends this one
    )


def _serve(
    process: subprocess.Popen[str],
    job: Job,
    todo: queue.SimpleQueue[Stripe],
    ended: queue.SimpleQueue[bool | WorkerEnded],
) -> None:
    """Gives a process one stripe after the other; reports whether all were answered, or how it ended before."""
    assert process.stdin is not None and process.stdout is not None
    good = True
    try:
        _send(process, asdict(job))
        with suppress(queue.Empty):
            while good:
                _send(process, asdict(todo.get_nowait()))
                good = json.loads(process.stdout.readline())
    except (OSError, ValueError):  # a closed pipe, or the end of stdout
        ended.put(WorkerEnded(f"{_end(process)}: run the same command again, finished parts are kept"))
        return
    ended.put(good)


def _send(process: subprocess.Popen[str], value: dict[str, Any]) -> None:
    assert process.stdin is not None
    process.stdin.write(json.dumps(value) + "\n")
    process.stdin.flush()


def _end(process: subprocess.Popen[str]) -> str:
    code = process.wait()
    how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
    memory = " (out of memory?)" if code == -9 else ""
    return f"a process that answers, {process.pid}, {how}{memory}"
