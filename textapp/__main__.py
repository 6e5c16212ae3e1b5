"""The command line, as `textapp` and as `python -m textapp`."""

from __future__ import annotations

import os
import signal
import sys
from typing import Any


def main() -> None:
    """Runs one command; Ctrl-C, or SIGTERM to a training, while code is still being imported ends as it does later."""
    if next((word for word in sys.argv[1:] if not word.startswith("-")), None) == "train":
        _end_training_on_sigterm()
    try:
        from textapp.cli import main as command
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)
    command()


def _end_training_on_sigterm() -> None:
    """Stops a training outside of its epochs; during an epoch the signal waits until a checkpoint is written."""
    try:
        stderr = os.dup(2)  # stays what it is while the import of TensorFlow discards what is written to stderr
    except OSError:
        stderr = None

    def end(number: int, frame: Any) -> None:
        if stderr is not None:
            os.write(stderr, b"stopped by SIGTERM: run the same command again to resume from the last checkpoint\n")
        sys.exit(os.EX_TEMPFAIL)

    signal.signal(signal.SIGTERM, end)


if __name__ == "__main__":
    main()
