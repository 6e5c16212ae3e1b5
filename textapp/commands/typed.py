"""What a user types: lines of a terminal after a prompt, or those of standard input."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator

from textapp.records.readers import scan_stream
from textapp.records.rows import RowError


def piped_lines(field: str) -> Iterator[str | RowError]:
    """The lines of standard input, which is no terminal.

    Args:
        field: what a line is, such as `question`.
    """
    if hasattr(sys.stdin, "reconfigure"):  # a broken byte becomes an error of its line
        sys.stdin.reconfigure(encoding="utf-8", errors="surrogateescape")
    for row in scan_stream(sys.stdin, "stdin", field):
        yield row if isinstance(row, RowError) else row.values[field]


def typed_lines(prompt: str) -> Iterator[str]:
    """The lines of a terminal, without blanks around them, up to Ctrl-D.

    Args:
        prompt: is shown before each.

    Raises:
        KeyboardInterrupt: the user pressed Ctrl-C.
    """
    with contextlib.suppress(ImportError):
        import readline  # noqa: F401  # lines can be edited, and earlier ones called back
    while (line := _typed(prompt)) is not None:
        yield line


def _typed(prompt: str) -> str | None:
    try:
        if sys.stdout.isatty():
            return input(prompt).strip()
        sys.stderr.write(prompt)  # stdout is for answers
        sys.stderr.flush()
        line = sys.stdin.readline()
        return line.strip() if line else None
    except EOFError:
        sys.stderr.write("\n")
        return None
    except KeyboardInterrupt:
        sys.stderr.write("\n")
        raise
