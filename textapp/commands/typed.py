"""What a user types: texts of a call, lines of a terminal after a prompt, or those of standard input."""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Iterator
from pathlib import Path

from textapp.records.files import UTF_8, broken_byte
from textapp.records.readers import scan_stdin
from textapp.records.rows import RowError, readable


def given_text(text: str, name: str, number: int = 1) -> str | RowError:
    """A text of the call, whose bytes may be UTF-8 although the locale is not; else an error.

    Args:
        text: as Python has it.
        name: of the option or the argument, for the error.
        number: which one it is, from 1.
    """
    text = _utf8(text, sys.getfilesystemencoding())
    fault = broken_byte(text)
    if fault is None:
        return text
    found = fault.partition(":")[0].replace("of the line", "of the text")
    return RowError(Path(name), number, f"{found}: give it in UTF-8", readable(text))


def _utf8(text: str, encoding: str) -> str:
    """A text of which some bytes are not of its encoding, decoded as UTF-8; other texts as they are."""
    if broken_byte(text) is None:
        return text
    return text.encode(encoding, "surrogateescape").decode(UTF_8, "surrogateescape")


def piped_lines(field: str) -> Iterator[str | RowError]:
    """The lines of standard input, which is no terminal.

    Args:
        field: what a line is, such as `question`.
    """
    for row in scan_stdin(field):
        yield row if isinstance(row, RowError) else row.values[field]


def typed_lines(prompt: str) -> Iterator[str | RowError]:
    """The lines of a terminal, without blanks around them, up to Ctrl-D; an error for one with a broken byte.

    Args:
        prompt: is shown before each.

    Raises:
        KeyboardInterrupt: the user pressed Ctrl-C.
    """
    with contextlib.suppress(ImportError):
        import readline  # noqa: F401  # lines can be edited, and earlier ones called back
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="surrogateescape")
    number = 0
    while (line := _typed(prompt)) is not None:
        number += 1
        yield given_text(_utf8(line, sys.stdin.encoding), "stdin", number)


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
