"""A process that is killed while it works on a folder or a file, and those that it leaves."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parents[1]


def killed(code: str, *arguments: object) -> int:
    """Runs Python that prints a line when it has begun and then sleeps; kills it, and returns its process id."""
    whole = (
        "import sys, time\nfrom pathlib import Path\nfrom textapp.files import *\nfrom textapp.folders import *\n"
        + code
    )
    process = subprocess.Popen(
        [sys.executable, "-c", whole, *map(str, arguments)], cwd=ROOT, stdout=subprocess.PIPE, encoding="utf-8"
    )
    assert process.stdout.readline() == "begun\n"
    process.send_signal(signal.SIGKILL)
    process.communicate()
    return process.pid


def wait_for(found: Callable[[], bool], process: subprocess.Popen[bytes] | None = None, seconds: float = 120.0) -> None:
    """Waits until something is found, which a process, if one is given, has to live to see."""
    end = time.monotonic() + seconds
    while not found():
        assert (process is None or process.poll() is None) and time.monotonic() < end
        time.sleep(0.01)


def status(pid: int) -> str:
    """The state of a process; Z, as of one that nobody waited for, if it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return "Z"
