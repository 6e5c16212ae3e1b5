"""Lines in fastText's form: words that begin with `__label__` are labels, wherever they stand; the others are the text.

Words end where fastText ends them: at a space, a tab and four control characters, and not at a wide space as Chinese
texts have it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from textapp.errors import DataError, visible
from textapp.records.files import Source
from textapp.records.rows import Row, RowError, all_lines, nonempty_lines

PREFIX = "__label__"
SPACES = " \t\v\f\r\0"
SEARCHED = 1000  # lines of a file, in which there must be a label
MAX_LABEL = 100  # characters; a longer one is a text glued to its label
MAX_UNSPACED = 40  # of a label with characters of a script without spaces

_WORD = re.compile(rf"(?<![^{SPACES}]){PREFIX}[^{SPACES}]*[{SPACES}]*")
_JOINED = re.compile(rf"[,;|]?{PREFIX}")
_UNSPACED = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\U00020000-\U0003ffff]")
_IN_NO_LABEL = re.compile(r"[\s,;，；。！？]")


class Line(NamedTuple):
    """A line taken apart.

    Attributes:
        text: the line without its labels.
        labels: in order.
        fault: why the labels cannot be told from the text; None if they can.
    """

    text: str
    labels: list[str]
    fault: str | None = None


def fasttext_rows(path: Path, source: Source, required: Collection[str]) -> Iterator[Row | RowError]:
    """Rows of a file of lines, each with `text` and, as a list, `label`; without labels every line is a text.

    Args:
        path: the file, for error messages.
        source: its content.
        required: the fields that every row must have; without `label` empty lines are rows, and no line must have a
            label.

    Raises:
        DataError: labels are required, and the first 1,000 lines have none.
    """
    if "label" not in required:
        yield from without_labels(path, all_lines(path, source, "text"))
        return
    lines = nonempty_lines(path, source)
    seen = []
    for item in lines:
        seen.append(item)
        if len(seen) == SEARCHED or (not isinstance(item, RowError) and _WORD.search(item[1])):
            break
    if not any(isinstance(item, RowError) or _WORD.search(item[1]) for item in seen):
        raise DataError(
            f"{path}: found no labels; expected lines such as '{PREFIX}good I liked it',"
            f" or a pattern such as '(?P<label>\\S+) (?P<text>.*)'"
        )
    for item in chain(seen, lines):
        yield item if isinstance(item, RowError) else _row(path, *item)


def without_labels(path: Path, lines: Iterable[Row | RowError]) -> Iterator[Row | RowError]:
    """Lines whose field `text` may hold labels, which become the field `label`, or an error of the line.

    Args:
        path: of the lines, for error messages.
        lines: each a row with the field `text`.
    """
    for line in lines:
        yield line if isinstance(line, RowError) else _row(path, line.line, line.values["text"])


def taken_apart(line: str) -> Line:
    """The text and the labels of a line.

    Example: of `__label__a good __label__b` the text is `good`, the labels are `a` and `b`.
    """
    if PREFIX not in line:
        return Line(line, [])
    words = [match.group().rstrip(SPACES) for match in _WORD.finditer(line)]
    if not words:
        return Line(line, [])
    names = [names for word in words for names in _names(word)]
    faults = (_fault(name) for name in names)
    return Line(_WORD.sub("", line).strip(SPACES), names, next((fault for fault in faults if fault), None))


def _names(word: str) -> list[str]:
    """The labels of a word; `__label__a,__label__b` has two, and a comma may stand behind either."""
    return [name.rstrip(",;|") for name in _JOINED.split(word)[1:]]


def _fault(name: str) -> str | None:
    if not name:
        return f"found '{PREFIX}' without a name behind it; expected a label such as '{PREFIX}good'"
    limit = MAX_UNSPACED if _UNSPACED.search(name) else MAX_LABEL
    if len(name) <= limit and not _IN_NO_LABEL.search(name):
        return None
    shown = visible(name[:30]) + ("..." if len(name) > 30 else "")
    return (
        f"found the label '{shown}', which seems to be a label and a text: fastText's labels end at a space, as in"
        f" '{PREFIX}good I liked it'; put a space between label and text, and '{PREFIX}' before every label"
    )


def _row(path: Path, number: int, content: str) -> Row | RowError:
    line = taken_apart(content)
    if line.fault is not None:
        return RowError(path, number, line.fault, content)
    return Row(number, {"text": line.text, "label": line.labels})
