"""A process that is killed while it works on a folder or a file."""

from __future__ import annotations

import signal
import subprocess
import sys
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
