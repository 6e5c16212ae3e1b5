"""Rows of `.jsonl` and `.json` files: an object a line, or an array of objects."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

from textapp.errors import DataError
from textapp.records.columns import missing_column, names_of
from textapp.records.dialects import normalised
from textapp.records.files import Source
from textapp.records.layout import Columns
from textapp.records.rows import Row, RowError, nonempty_lines, readable


def json_rows(
    path: Path, source: Source, kind: str, columns: Columns, required: Collection[str]
) -> Iterator[Row | RowError]:
    """Yields a row for each object.

    Args:
        path: the path for error messages.
        source: the content of the file.
        kind: `.json` or `.jsonl`.
        columns: field -> keys that may hold it.
        required: the fields that every row must have.

    Raises:
        DataError: a column is a number, no object has a required key, or a `.json` file is not an array.
    """
    for field, column in columns.items():
        if isinstance(column, int):
            raise DataError(
                f"{path}: found column {column} for {field}; JSON has names: set columns: {{{field}: NAME}}"
            )
    items = list(_objects_of_lines(path, source) if kind == ".jsonl" else _objects_of_array(path, source))
    for field in required:
        _check_key(path, field, names_of(columns[field]), [item[1] for item in items if not isinstance(item, RowError)])
    for item in items:
        if isinstance(item, RowError):
            yield item
            continue
        line, content = item
        try:
            yield Row(line, _values(path, line, content, columns, required))
        except RowError as error:
            yield error


def _check_key(path: Path, field: str, names: Sequence[str], objects: Sequence[Any]) -> None:
    """Raises a DataError if no object has a field: then the config is wrong, not a row."""
    objects = [content for content in objects if isinstance(content, dict)]
    wanted = {normalised(name) for name in names}
    if objects and not any(normalised(key) in wanted for content in objects for key in content):
        raise missing_column(path, field, names, list(objects[0]))


def _objects_of_lines(path: Path, source: Source) -> Iterator[tuple[int, Any] | RowError]:
    for item in nonempty_lines(path, source):
        if isinstance(item, RowError):
            yield item
            continue
        line, content = item
        try:
            yield line, json.loads(content)
        except (ValueError, RecursionError) as error:
            yield RowError(path, line, f"not JSON ({error}); expected one object per line", content)


def _objects_of_array(path: Path, source: Source) -> Iterator[tuple[int, Any]]:
    """Yields the objects of a `.json` array, each with the line where it starts."""
    decoder, text, space = json.JSONDecoder(), "".join(source.pieces()), re.compile(r"[\s,]*")
    position = len(text) - len(text.lstrip())
    if text[position] != "[":
        found = text[position : position + 20]
        raise DataError(
            f"{path}: found {found!r}, expected an array of objects (one object per line: rename the file to .jsonl)"
        )
    line, counted, position = 1, 0, position + 1
    while True:
        position = space.match(text, position).end()
        line, counted = line + text.count("\n", counted, position), position
        if text[position : position + 1] == "]":
            return
        try:
            content, position = decoder.raw_decode(text, position)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{path}:{line}: not JSON ({error}); expected an array of objects") from error
        yield line, content


def _values(path: Path, line: int, content: Any, columns: Columns, required: Collection[str]) -> dict[str, Any]:
    if not isinstance(content, dict):
        raise RowError(path, line, f"found {type(content).__name__}, expected an object", readable(str(content)))
    by_name = {normalised(key): value for key, value in content.items()}
    values: dict[str, Any] = {}
    for field, column in columns.items():
        names = names_of(column)
        key = next((normalised(name) for name in names if normalised(name) in by_name), None)
        if key is not None:
            value = by_name[key]
            several = field == "label" and isinstance(value, list)  # each is a label, whatever characters it has
            values[field] = (
                [_string(path, line, field, part) for part in value] if several else _string(path, line, field, value)
            )
        elif field in required:
            message = str(missing_column(path, field, names, list(content))).removeprefix(f"{path}: ")
            raise RowError(path, line, message, readable(json.dumps(content, ensure_ascii=False)))
    return values


def _string(path: Path, line: int, field: str, value: Any) -> str:
    """A JSON value as a string: 1.0 is `1`, true is `true`, null is empty, a list is joined by newlines."""
    if isinstance(value, str):
        # No tokenizer accepts a lone surrogate, which JSON can escape.
        return value if value.isascii() else value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, list):
        return "\n".join(_string(path, line, field, part) for part in value)
    raise RowError(path, line, f"{field} is {json.dumps(value)[:60]}; expected a string, a number or a list of them")
