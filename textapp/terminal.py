"""What a stream can print: characters that its encoding lacks are escaped, on a terminal also control characters."""

from __future__ import annotations

import codecs
import os
import re
import sys
from typing import Any

# Characters of data that would steer a terminal: C0 without tab and line feed, DEL, C1, line separators, and those
# that turn the direction of a line.
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def guard_streams() -> None:
    """Makes stdout and stderr accept every text, also where they are closed; called once, before anything is printed.

    A character that the encoding of a stream lacks, or half a surrogate pair, is printed as `\\u597d`.
    """
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:  # closed: the next file that is opened would get its number, and everything printed
            os.open(os.devnull, os.O_RDWR)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115  # open until the end
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def is_utf8(stream: Any) -> bool:
    """Whether a stream can print every character."""
    return codecs.lookup(getattr(stream, "encoding", None) or "utf-8").name == "utf-8"


def printable(text: str, stream: Any) -> str:
    """The text as a stream can print it: with escapes for what its encoding lacks, on a terminal also for controls.

    Example: on a terminal `"\\x1b[2Jgood"` becomes `\\\\u001b[2Jgood`; in a pipe it stays.
    """
    if stream.isatty():
        text = _CONTROLS.sub(lambda match: f"\\u{ord(match[0]):04x}", text)
    encoding = "utf-8" if is_utf8(stream) else stream.encoding
    return text.encode(encoding, "backslashreplace").decode(encoding)
