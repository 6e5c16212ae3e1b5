"""JSON text -> its objects, one at a time, each with its line: a line each, an array, or one after another."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from textapp.errors import DataError
from textapp.records.files import Source
from textapp.records.json_objects import DECODER, Repeated, is_message
from textapp.records.rows import RowError, nonempty_lines, readable

SHOWN = 200  # characters of the input in an error
_PIECE = 2**16  # characters that are read at once
_MAX_VALUE = 2**27  # characters of one value
_LITERAL = 16  # characters that a number or a literal may need beyond the end of a piece
_USUAL_WRAPPERS = ("data", "rows", "examples")
_MAX_WRAPPERS = 5  # objects around an array of rows

_SPACE = re.compile(r"[ \t\r\n]*")
_BETWEEN = re.compile(r"[ \t\r\n,:]*")
_SCALAR = re.compile(r"[^\s,\[\]{}]*")
_TOKEN = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|["\[{\]}]', re.DOTALL)

_logger = logging.getLogger("textapp")


class Value(NamedTuple):
    """A JSON value of a file.

    Attributes:
        line: where it starts, counted from 1.
        content: the value; NaN and infinities are None.
        excerpt: the beginning of its text, for errors.
    """

    line: int
    content: Any
    excerpt: str


_decode = DECODER.raw_decode


class Wanted(NamedTuple):
    """What the rows of a file should be.

    Attributes:
        is_row: whether an object has the fields of a row; then an array in it is no array of rows.
        has_field: whether it has any of them, also with another value than a row has.
        example: a row, for messages.
    """

    is_row: Callable[[dict], bool]
    has_field: Callable[[dict], bool]
    example: str


def objects(path: Path, source: Source, kind: str, wanted: Wanted) -> Iterator[Value | RowError]:
    """Yields the values of a file that should be objects, in order; an error for each that cannot be read.

    Both extensions may hold an object per line, an array of objects, objects one after another over several lines, or
    one object with an array of them, such as `{"data": [...]}` or `{"data": {"rows": [...]}}`.

    Args:
        path: the path for error messages.
        source: the content of the file.
        kind: `.json` or `.jsonl`.
        wanted: what its rows should be.

    Raises:
        DataError: the file is not JSON at a place behind which no row can be told from another.
    """
    if _one_per_line(source, kind):
        return _objects_of_lines(path, source)
    window = _Window(path, source.pieces())
    first = window.next()
    if first == "[":
        return _objects_of_array(window)
    if first == "{":
        return _objects_in_sequence(window, wanted)
    raise window.error(f"found {window.excerpt(20)!r}, expected an array of objects, or one object per line")


def _one_per_line(source: Source, kind: str) -> bool:
    """Whether every line is a value of its own, judged by the first two lines that are not blank."""
    lines = [line for line in re.split("[\r\n]+", source.head) if line.strip()]
    first, second = lines[0].strip(), lines[1].strip() if len(lines) > 1 else None
    if kind == ".json":
        closed = second is not None and (second.endswith("}") or len(lines) == 2)  # the head may end in the line
        return closed and second.startswith("{") and first[0] == "{" and _is_json(first)
    if _is_json(first):  # if that is the whole file: a row, an array of rows, or an object with such an array
        return second is not None or first[0] not in "[{"
    # The rest of a row that is cut off would hardly be a value that begins after one of these.
    open_end = second is not None and first[0] in "[{" and first[-1] in "[{,:"
    return not open_end and re.match(r"\[\s*\{", first) is None


def _is_json(text: str) -> bool:
    try:
        return _decode(text)[1] == len(text)
    except (ValueError, RecursionError):
        return False


# --- a value per line ------------------------------------------------------------------------------------------------


def _objects_of_lines(path: Path, source: Source) -> Iterator[Value | RowError]:
    for item in nonempty_lines(path, source):
        if isinstance(item, RowError):
            yield item
            continue
        line, text = item[0], item[1].strip()
        try:
            content, end = _decode(text)
        except (ValueError, RecursionError) as error:
            yield RowError(path, line, f"{_fault(error)}; expected one object per line", _cut(text))
            continue
        behind = text[end:].lstrip()
        if behind:
            mend = "remove the comma, or put all objects between [ and ]" if behind == "," else "break the line there"
            message = f"found {behind[:40]!r} behind the object, expected one object per line: {mend}"
            yield RowError(path, line, message, _cut(text))
        else:
            yield Value(line, content, _cut(text))


def _fault(error: ValueError | RecursionError) -> str:
    """What is wrong with the text of a value."""
    if isinstance(error, RecursionError):
        return "found lists or objects that are nested too deeply"
    if isinstance(error, json.JSONDecodeError):
        near = error.doc[error.pos : error.pos + 20]
        return f"not JSON ({error.msg} at {near!r})" if near else f"not JSON ({error.msg}: the text ends there)"
    return "found a number with more digits than can be read: write it as a string, in quotes"


def _cut(text: str) -> str:
    return readable(text[: SHOWN - 1]) + "…" if len(text) > SHOWN else readable(text)


# --- values over several lines ---------------------------------------------------------------------------------------


class _Window:
    """The part of a text that is needed to decode one value after another.

    Args:
        path: the path for error messages.
        chunks: the text in pieces.
        line: the number of the first line.
    """

    def __init__(self, path: Path, chunks: Iterable[str], line: int = 1) -> None:
        self.path, self.text, self.position = path, "", 0
        self._chunks = iter(chunks)
        self._line, self._counted = line, 0  # the number of the line at a position of the text

    def read(self) -> bool:
        """Reads as much again as is needed already; False at the end of the text."""
        pieces, size = [self.text[self.position :]], 0
        held = len(pieces[0])
        if held > _MAX_VALUE:
            raise self.error(
                f"found a value of more than {_MAX_VALUE:,} characters: is a quote or a bracket never closed?"
            )
        for chunk in self._chunks:
            pieces.append(chunk)
            size += len(chunk)
            if size >= max(_PIECE, held):
                break
        if size == 0:
            return False
        self._line = self.line
        self.text, self.position, self._counted = "".join(pieces), 0, 0
        return True

    @property
    def line(self) -> int:
        """The number of the line at the position."""
        self._line += self.text.count("\n", self._counted, self.position)
        self._counted = self.position
        return self._line

    def next(self) -> str:
        """Goes to the next character that is no space, and returns it; an empty string at the end of the text."""
        while True:
            self.position = _SPACE.match(self.text, self.position).end()
            if self.position < len(self.text):
                return self.text[self.position]
            if not self.read():
                return ""

    def excerpt(self, length: int) -> str:
        """The text at the position."""
        return readable(self.text[self.position : self.position + length])

    def error(self, message: str) -> DataError:
        """The error at the position."""
        return DataError(f"{self.path}:{self.line}: {message}")

    def value(self) -> tuple[Value | RowError, str]:
        """Decodes the value at the position, goes behind it, and returns it with its text.

        Raises:
            DataError: the text is not JSON.
        """
        while True:
            content, fault = None, ""
            try:
                content, end = _decode(self.text, self.position)
                complete = end < len(self.text) or self.text[end - 1] in ']}"'
            except json.JSONDecodeError as error:
                # An error that more text may mend: a string that has not ended yet, or any at the end of the text.
                unterminated = error.msg.startswith("Unterminated")
                if (unterminated or error.pos > len(self.text) - _LITERAL) and self.read():
                    continue
                raise self._not_json(error, unterminated or not self.text[error.pos :].strip()) from error
            except (ValueError, RecursionError) as error:
                end, fault = _end_of_value(self.text, self.position), _fault(error)
                complete = end < len(self.text)
            if complete or not self.read():
                break
        line, text = self.line, self.text[self.position : end]
        self.position = end
        if fault:
            return RowError(self.path, line, fault, _cut(text)), text
        return Value(line, content, _cut(text)), text

    def _not_json(self, error: json.JSONDecodeError, cut_off: bool) -> DataError:
        start = self.line
        self.position = max(self.position, error.pos)
        if cut_off:
            return DataError(
                f"{self.path}:{start}: the file ends inside the value that starts here ({error.msg}): it is cut off, or"
                f" a quote or a bracket is missing: save or copy it again"
            )
        return self.error(f"{_fault(error)}; expected objects, in an array or one per line")


def _end_of_value(text: str, start: int) -> int:
    """Where a value ends that is not decoded: the end of the text if it does not end in it."""
    if text[start] == '"':
        return _TOKEN.match(text, start).end()
    if text[start] not in "[{":
        return _SCALAR.match(text, start).end()
    depth = 0
    for token in _TOKEN.finditer(text, start):
        depth += (token[0] in "[{") - (token[0] in "]}")
        if depth == 0 or token[0] == '"':  # the end of the value, or a string that does not end
            return token.end() if depth == 0 else len(text)
    return len(text)


def _objects_of_array(window: _Window) -> Iterator[Value | RowError]:
    """The values of a file that is an array."""
    yield from _elements(window)
    if window.next():
        raise window.error(
            f"found {window.excerpt(40)!r} behind the closing ']', expected the end of the file: put all objects into"
            f" one array, or one object per line"
        )


def _elements(window: _Window) -> Iterator[Value | RowError]:
    """The values of the array at the position; goes behind it."""
    window.next()
    start, count = window.line, 0
    window.position += 1
    if window.next() == "]":
        window.position += 1
        return
    while True:
        found = window.next()
        if not found:
            raise _cut_off(window, start, count)
        if found in ",]":
            raise window.error(
                f"found {found!r} behind a comma or '[', expected an object: remove the comma, or add the object"
            )
        yield window.value()[0]
        count += 1
        found = window.next()
        if not found:
            raise _cut_off(window, start, count)
        if found not in ",]":
            raise window.error(
                f"found {window.excerpt(40)!r} behind object {count} of the array, expected ',' or ']': put a comma"
                f" between two objects"
            )
        window.position += 1
        if found == "]":
            return


def _cut_off(window: _Window, start: int, count: int) -> DataError:
    return window.error(
        f"the file ends after {count} objects of the array that starts in line {start}, expected ']': it is cut off:"
        f" save or copy it again, or close the array"
    )


def _objects_in_sequence(window: _Window, wanted: Wanted) -> Iterator[Value | RowError]:
    """Objects one after another, or a single object that may hold an array of them."""
    first, text = window.value()
    if not window.next():
        yield from _rows_of_object(window.path, first, text, wanted)
        return
    yield first
    while found := window.next():
        if found == ",":
            raise window.error(
                "found a comma between two objects, expected an array around them: put [ before the first and ] after"
                " the last"
            )
        yield window.value()[0]


# --- one object ------------------------------------------------------------------------------------------------------


def _rows_of_object(path: Path, value: Value | RowError, text: str, wanted: Wanted) -> Iterator[Value | RowError]:
    """The rows of a file that is a single object: the object itself, or the objects of an array in it."""
    content = {} if isinstance(value, RowError) else value.content
    if not content or wanted.is_row(content):
        yield value
        return
    repeated = _repeated(content)
    if repeated is not None:
        raise DataError(
            f"{path}:{value.line}: the key {repeated[:60]!r} occurs twice, expected once: put all objects into one"
            f" array"
        )
    arrays = _arrays_of_objects(content)
    chosen = _chosen_array(arrays, content, wanted)
    if chosen is not None:
        rest = [".".join(keys) for keys in arrays if keys != chosen]
        others = f" (not those of {_listed(rest)})" if rest else ""
        _logger.info("%s: the rows are the objects of %r%s", path, ".".join(chosen), others)
        position = _place_of(text, chosen)
        yield from _elements(_Window(path, [text[position:]], value.line + text.count("\n", 0, position)))
    elif arrays:
        raise DataError(
            f"{path}: found an object with several arrays of objects ({_listed(list(map('.'.join, arrays)))}), expected"
            f" one: save each as a file of its own"
        )
    elif _is_table_of_columns(content, wanted):
        raise DataError(
            f"{path}: found one object with all values of {_listed(list(content))}, expected an object"
            f' per row: df.to_json({path.name!r}, orient="records"), or for a data set of lists:'
            f" pandas.DataFrame(content) first"
        )
    elif any(isinstance(part, list) and part and is_message(part[0]) for part in content.values()):
        yield value  # one conversation
    elif not wanted.has_field(content) and all(isinstance(part, list) and part for part in content.values()):
        kind = {str: "texts", list: "arrays"}.get(type(next(iter(content.values()))[0]), "values")
        raise DataError(
            f"{path}: found one object with lists of {kind} ({_listed(list(content))}), expected an object for each"
            f" example, such as {wanted.example}: write one per line"
        )
    else:
        yield value


def _repeated(content: dict[str, Any], depth: int = _MAX_WRAPPERS) -> str | None:
    """A key that occurs twice, in an object or in those that are around its arrays."""
    if isinstance(content, Repeated):
        return content.names[0]
    inner = (part for part in content.values() if isinstance(part, dict) and depth > 1)
    return next(filter(None, (_repeated(part, depth - 1) for part in inner)), None)


def _arrays_of_objects(content: dict[str, Any], depth: int = _MAX_WRAPPERS) -> list[tuple[str, ...]]:
    """The keys that lead to each array of objects, in objects within objects."""
    found: list[tuple[str, ...]] = []
    for key, part in content.items():
        if isinstance(part, list) and part and isinstance(part[0], dict) and not is_message(part[0]):
            found.append((key,))
        elif isinstance(part, dict) and depth > 1:
            found += [(key, *keys) for keys in _arrays_of_objects(part, depth - 1)]
    return found


def _chosen_array(arrays: list[tuple[str, ...]], content: dict[str, Any], wanted: Wanted) -> tuple[str, ...] | None:
    """The keys of the array that holds the rows: the only one, or the only one of rows, or with a usual name."""
    rows = [keys for keys in arrays if wanted.is_row(_first_of(content, keys))]
    usual = [keys for keys in arrays if keys[-1] in _USUAL_WRAPPERS]
    return next((found[0] for found in (arrays, rows, usual) if len(found) == 1), None)


def _first_of(content: dict[str, Any], keys: Sequence[str]) -> dict[str, Any]:
    array: Any = content
    for key in keys:
        array = array[key]
    first: dict[str, Any] = array[0]
    return first


def _listed(names: list[str]) -> str:
    return ", ".join(repr(name[:40]) for name in names[:6]) + (", ..." if len(names) > 6 else "")


def _place_of(text: str, keys: Sequence[str]) -> int:
    """Where the value starts to which keys lead in the text of an object."""
    position = 0
    for name in keys:
        position, key = position + 1, None
        while True:
            key, position = _decode(text, _BETWEEN.match(text, position).end())
            position = _BETWEEN.match(text, position).end()
            if key == name:
                break
            position = _end_of_value(text, position)
    return position


def _is_table_of_columns(content: dict[str, Any], wanted: Wanted) -> bool:
    """Whether it holds columns, or rows by name, as pandas writes them by default: `{"text": {"0": ..}, ...}`."""
    parts = list(content.values())
    if all(isinstance(part, dict) for part in parts):
        return len(parts) > 1 or all(key.isdecimal() for key in parts[0])
    lists = [part for part in parts if isinstance(part, list)]
    split = {"columns", "data"} <= set(content)  # orient="split"
    equal_lists = len(lists) == len(parts) and len({len(part) for part in lists}) == 1 and any(lists)
    return split or (equal_lists and wanted.has_field(content))
