"""A child process at a terminal: what it shows, and that it hears Ctrl-C."""

from __future__ import annotations

import os
import select
import signal
import time


def hear_ctrl_c() -> None:
    """For `preexec_fn`: a child hears SIGINT, even if the tests were started in the background, which ignores it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def read_until(terminal: int, mark: str, timeout: float = 60) -> str:
    """What is shown, up to some words or to the end of the time, in seconds."""
    text, deadline = "", time.monotonic() + timeout
    while mark not in text and time.monotonic() < deadline:
        if select.select([terminal], [], [], 1)[0]:
            text += os.read(terminal, 4096).decode("utf-8", "replace")
    return text
