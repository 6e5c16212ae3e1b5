"""The command line, as `textapp` and as `python -m textapp`."""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

# The line and the exit code of a training that a signal ends.
ENDINGS = {
    signal.SIGINT: (b"interrupted\n", 130),
    signal.SIGTERM: (b"stopped by SIGTERM: run the same command again to resume from the last checkpoint\n", 75),
}


def main() -> None:
    """Runs one command; a stop of a training while code is still being imported ends as it does later."""
    if next((word for word in sys.argv[1:] if not word.startswith("-")), None) in ("train", "launch"):
        _end_training_on_signals()
    try:
        from textapp.cli import main as command
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)
    command()


def _end_training_on_signals() -> None:
    """Ends a training outside of its epochs; during an epoch a signal waits until a checkpoint is written.

    The process ends at once, as nothing else is sure: of an exception in a callback or in the import of a module in C
    another error is made, or none, and the training would go on. What is written is whole at any moment.
    """
    try:
        stderr = os.dup(2)  # stays what it is while the import of TensorFlow discards what is written to stderr
    except OSError:
        stderr = None

    def end(number: int, frame: Any) -> None:
        line, code = ENDINGS[signal.Signals(number)]
        if stderr is not None:
            os.write(stderr, line)
        os._exit(code)

    for number in ENDINGS:
        signal.signal(number, end)


if __name__ == "__main__":
    main()
