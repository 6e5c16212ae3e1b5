"""`textapp launch`: trains a config with several worker processes on this machine."""

from __future__ import annotations

import json
import logging
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple

from textapp.catalog import load_config
from textapp.errors import ConfigError, TextappError, UsageError, plural
from textapp.processes import child_environment, end_with_parent
from textapp.terminal import printable

log = logging.getLogger("textapp")
LOOPBACK = "127.0.0.1"
STOPPED = (128 + signal.SIGINT, 75)  # of a training that saved and left because of a signal
SECONDS_TO_SAVE = 60.0  # for the others, when one worker left because of a signal
SECONDS_TO_FAIL = 2.0  # for the others, when one worker failed: they may end with the same error
SECONDS_TO_LEAVE = 15.0  # from SIGTERM on: a worker that waits for one that is gone does not notice the signal


class _End(NamedTuple):
    """How a worker ended: its index, its exit code as a shell has it, and the reason in words."""

    worker: int
    code: int
    reason: str


class WorkerFailed(TextappError):
    """A worker ended with an error, or was stopped.

    Attributes:
        exit_code: that of the worker; 128 and the number of the signal if one killed it.
    """

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def launch(
    workers: int,
    config_path: str | Path,
    overrides: Sequence[str] = (),
    run: str | None = None,
    data_dir: str | Path | None = None,
    overwrite: bool = False,
) -> None:
    """Trains a config with several processes of this machine's CPU, which share each global batch.

    Every line of a worker is printed on stderr behind `[worker 0]`. SIGINT and SIGTERM go to all workers. The first
    worker that fails ends the others.

    Args:
        workers: number of processes, 2 or more.
        config_path, overrides, run, data_dir, overwrite: as for `train`.

    Raises:
        WorkerFailed: a worker ended with an error, or was stopped by a signal.
        ConfigError: the config is wrong, or its device is not one of several workers.
        UsageError: this process is a worker itself.
    """
    if "TF_CONFIG" in os.environ:
        raise UsageError(
            "textapp launch: found the environment variable TF_CONFIG, so this process is one of several workers "
            "already: use textapp train here, or unset TF_CONFIG to start workers on this machine"
        )
    config = load_config(config_path, [*overrides, *([f"run={json.dumps(run)}"] if run else [])])
    if config.training.device not in ("auto", "multi_worker"):
        raise ConfigError(
            f"training.device: found {config.training.device}, expected auto or multi_worker, as several workers "
            "share the training: set it, or use textapp train for one process"
        )
    options = [word for override in overrides for word in ("--set", override)]
    options += ["--run", run] if run else []
    options += ["--data-dir", str(data_dir)] if data_dir else []
    options += ["--overwrite"] if overwrite else []
    _run([sys.executable, "-m", "textapp", "train", str(config_path), *options], workers)


def _run(command: list[str], workers: int) -> None:
    """Runs a command as each of the workers until all have ended."""
    addresses = [f"{LOOPBACK}:{port}" for port in _free_ports(workers)]
    ended: queue.Queue[_End] = queue.Queue()
    processes: list[subprocess.Popen[bytes]] = []
    with ExitStack() as stack:
        stack.enter_context(_signals_passed_on(processes))
        stack.callback(_kill, processes)
        for index in range(workers):
            processes.append(_start(command, addresses, index))
        log.info("launch: %s on this machine's CPU, processes %s", plural(workers, "worker"), _ids(processes))
        for index, process in enumerate(processes):
            threading.Thread(target=_follow, args=(index, process, ended), daemon=True).start()
        _wait(processes, ended)


def _ids(processes: list[subprocess.Popen[bytes]]) -> str:
    return ", ".join(str(process.pid) for process in processes)


def _start(command: list[str], addresses: list[str], index: int) -> subprocess.Popen[bytes]:
    task = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
    # GPUs stay hidden, as two workers cannot share one. Workers that share cores are slower with a thread for each.
    threads = str(max(1, (os.cpu_count() or 1) // len(addresses)))
    environment = child_environment(TF_CONFIG=json.dumps(task), CUDA_VISIBLE_DEVICES="-1", PYTHONIOENCODING="utf-8")
    environment.setdefault("TF_NUM_INTRAOP_THREADS", threads)
    return subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,  # else Ctrl-C in a terminal would reach them twice, and the second one is not held
        preexec_fn=end_with_parent,
    )


def _follow(index: int, process: subprocess.Popen[bytes], ended: queue.Queue[_End]) -> None:
    """Prints the lines of a worker; at its end reports its index, its exit code and the line that tells its end."""
    last, error = "", ""
    for line in _lines(process.stdout):
        # One write: the end of a line that print writes apart may come after a line of another thread.
        sys.stderr.write(printable(f"[worker {index}] {line}", sys.stderr) + "\n")
        sys.stderr.flush()
        last = line or last
        error = line if line.startswith("error: ") else error
    code = process.wait()
    reason = _reason(code, error.removeprefix("error: ") or last)
    ended.put(_End(index, code if code >= 0 else 128 - code, reason))


def _lines(stream: IO[bytes] | None) -> Iterator[str]:
    assert stream is not None
    for line in stream:
        yield line.decode("utf-8", "replace").rstrip("\r\n")


def _reason(code: int, said: str) -> str:
    if code >= 0:
        return said
    name = signal.Signals(-code).name
    return f"killed by {name}: run the same command again to resume from the last checkpoint, if one was saved"


def _wait(processes: list[subprocess.Popen[bytes]], ended: queue.Queue[_End]) -> None:
    """Waits for all workers; after the first that fails the others get some time, then SIGTERM, then SIGKILL."""
    failure: _End | None = None
    stages: list[tuple[float, int]] = []  # seconds to wait, and the signal that comes then
    running = len(processes)
    while running:
        try:
            end = ended.get(timeout=stages[0][0] if stages else None)
        except queue.Empty:
            _send(processes, stages.pop(0)[1])
            continue
        running -= 1
        if failure is None and end.code:
            failure = end
            patience = SECONDS_TO_SAVE if end.code in STOPPED else SECONDS_TO_FAIL
            stages = [(patience, signal.SIGTERM), (SECONDS_TO_LEAVE, signal.SIGKILL)]
    if failure is not None:
        message = f"worker {failure.worker} ended with exit code {failure.code}: {failure.reason}"
        raise WorkerFailed(message, failure.code)


def _send(processes: list[subprocess.Popen[bytes]], number: int) -> None:
    for process in processes:
        process.send_signal(number)  # does nothing to one that has ended


def _kill(processes: list[subprocess.Popen[bytes]]) -> None:
    for process in processes:
        process.kill()
        process.wait()


@contextmanager
def _signals_passed_on(processes: list[subprocess.Popen[bytes]]) -> Iterator[None]:
    """Passes SIGINT and SIGTERM on to all processes, which save and leave."""

    def pass_on(number: int, frame: Any) -> None:
        _send(processes, number)

    before = {number: signal.signal(number, pass_on) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _free_ports(number: int) -> list[int]:
    """Ports of this machine that nobody uses: all are held until the last one is found."""
    with ExitStack() as stack:
        held = [stack.enter_context(socket.create_server((LOOPBACK, 0))) for _ in range(number)]
        return [each.getsockname()[1] for each in held]
