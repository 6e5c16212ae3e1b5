"""The command line, as `textapp` and as `python -m textapp`."""

from __future__ import annotations

import sys


def main() -> None:
    """Runs one command; Ctrl-C while its code is still being imported ends as it does later."""
    try:
        from textapp.cli import main as command
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)
    command()


if __name__ == "__main__":
    main()
