"""Rows of `.jsonl` and `.json` files: the fields of their objects, by keys or by paths such as `review.body`."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterator, Sequence
from functools import cached_property, lru_cache
from itertools import chain, islice
from pathlib import Path
from typing import Any

from textapp import languages
from textapp.errors import DataError, plural
from textapp.records.columns import missing_column, names_of, other_names
from textapp.records.dialects import normalised
from textapp.records.files import Source
from textapp.records.json_objects import BROKEN, Repeated, equal, is_message
from textapp.records.json_text import Value, Wanted, objects
from textapp.records.label_cells import flag
from textapp.records.layout import Columns
from textapp.records.rows import Row, RowError

_FIRST_ROWS = 1000  # in which every required field must be found once
_SHOWN_NAMES = 1000
_SHOWN_DEPTH = 3
_SIDES = ("source", "target")
_NO_LISTS = "paths do not enter lists: write an object for each text, with the text at a key of its own"
_LISTS = ("answer", "start")  # fields whose values stay apart, as each may have several lines
_AS_IT_IS = ("messages",)  # fields whose values are objects


class _RowFault(Exception):
    """What is wrong with an object, without its place."""


def json_rows(
    path: Path, source: Source, kind: str, columns: Columns, required: Collection[str]
) -> Iterator[Row | RowError]:
    """Yields a row for each object.

    A name of a column is a key, or a path into nested objects: `review.body` is `{"review": {"body": ...}}` if no key
    is called so. In `{"translation": {"zh": ..., "en": ...}}` the languages of the columns are found without a path.

    Args:
        path: the path for error messages.
        source: the content of the file.
        kind: `.json` or `.jsonl`.
        columns: field -> keys that may hold it.
        required: the fields that every row must have.

    Raises:
        DataError: a column is a number, none of the first objects has a required key, or the file is not JSON.
    """
    for field, column in columns.items():
        if isinstance(column, int):
            raise DataError(
                f"{path}: found column {column} for {field}; JSON has names: set columns: {{{field}: NAME}}"
            )

    def is_row(content: dict[str, Any]) -> bool:
        keys = _Keys(content)
        try:
            found = {field: _value(keys, field, columns) for field in required or columns}
        except _RowFault:  # an error of this row, then
            return True
        plain = [
            each is not None and (field in _AS_IT_IS or not isinstance(each[1], list | dict))
            for field, each in found.items()
        ]
        return all(plain) if required else any(plain)

    def has_field(content: dict[str, Any]) -> bool:
        return any(_has(_Keys(content), field, columns) for field in columns)

    items = objects(path, source, kind, Wanted(is_row, has_field, _example(columns, required)))
    for item in _with_fields(path, items, columns, required):
        if isinstance(item, RowError):
            yield item
            continue
        try:
            yield Row(item.line, _values(path, item.content, columns, required))
        except _RowFault as fault:
            yield RowError(path, item.line, str(fault), item.excerpt)


def _with_fields(
    path: Path, items: Iterator[Value | RowError], columns: Columns, required: Collection[str]
) -> Iterator[Value | RowError]:
    """The items; a DataError if no object of the first rows has a required field: then the config is wrong, not a row.

    Where only some rows lack it, each of them is an error of its own.
    """
    held: list[Value | RowError] = []
    first, missing = None, list(required)
    while missing and len(held) < _FIRST_ROWS and (item := next(items, None)) is not None:
        held.append(item)
        if isinstance(item, Value) and isinstance(item.content, dict):
            first = item.content if first is None else first
            keys = _Keys(item.content)
            missing = [field for field in missing if not _has(keys, field, columns)]
    if missing and first is not None:
        names = tuple(names_of(columns[missing[0]]))
        fault = _missing(path, missing[0], names, _shown_names(first), other_names(columns, missing[0]))
        raise DataError(f"{fault}{_into_list(_Keys(first), names)}{_conversation(first, columns)}")
    yield from chain(held, items)


def _values(path: Path, content: Any, columns: Columns, required: Collection[str]) -> dict[str, Any]:
    if isinstance(content, list) and content and isinstance(content[0], dict):
        raise _RowFault(f"found an array of {len(content)} objects, expected an object: write one per line")
    if not isinstance(content, dict):
        raise _RowFault(f"found {_kind(content)}, expected an object: write {_example(columns, required)}")
    if isinstance(content, Repeated):
        raise _RowFault(content.twice())
    keys, values = _Keys(content), dict[str, Any]()
    for field, column in columns.items():
        found = _value(keys, field, columns)
        if found is not None and field == "label" and isinstance(found[1], list):
            values[field] = [_string(field, found[0], part) for part in found[1]]  # each is a label, whatever it holds
        elif found is not None and field in _AS_IT_IS:
            values[field] = found[1]
        elif found is not None and field in _LISTS:
            name, value = found
            parts = value if isinstance(value, list) else [value]
            values[field] = [_string(field, name, part) for part in parts]
        elif found is not None:
            values[field] = _string(field, *found)
        elif field in required:
            names = tuple(names_of(column))
            fault = _missing(path, field, names, _shown_names(content), other_names(columns, field))
            message = str(fault).removeprefix(f"{path}: ")
            raise _RowFault(f"{message}{_into_list(keys, names)}")
    return values


def _example(columns: Columns, required: Collection[str]) -> str:
    """A row as a message shows it: `{"text": "...", "label": "..."}`."""
    names: dict[str, str] = {}
    for field in required or columns:  # of the columns with a 0/1 for each label, the first
        names.setdefault(field.partition(":")[0], (names_of(columns[field]) or [field])[0][:40])
    return json.dumps(dict.fromkeys(names.values(), "..."), ensure_ascii=False)


def _kind(content: Any) -> str:
    """What JSON calls a value that is no object."""
    if isinstance(content, list):
        return f"an array of {plural(len(content), 'value')}"
    kinds = {str: "a string", bool: "true or false", type(None): "null"}
    return kinds.get(type(content), "a number")


def _into_list(keys: _Keys, names: Sequence[str]) -> str:
    """What to do where a path leads into a list; empty if none does."""
    for name in names:
        for place in (place for place, character in enumerate(name) if character == "."):
            found = _at(keys, name[:place])
            if found is not None and isinstance(found[0], list):
                return f"; {name[:place][:40]!r} is a list, and {_NO_LISTS}"
    return ""


def _conversation(content: dict[str, Any], columns: Columns) -> str:
    """What to do where a row of texts has a list of messages; empty if it has none."""
    lists = ((key, value) for key, value in content.items() if isinstance(value, list))
    name = next((key for key, value in lists if any(map(is_message, value))), None)
    if name is None or "text" not in columns or "label" in columns:
        return ""
    return f"; {name[:40]!r} is a list of messages: for conversations set columns: {{messages: {name[:40]}}}"


@lru_cache(maxsize=16)  # the same for all rows with the same keys
def _missing(path: Path, field: str, names: tuple[str, ...], found: tuple[str, ...], taken: frozenset) -> DataError:
    return missing_column(path, field, names, found, numbers=False, taken=taken)


# --- fields of an object ---------------------------------------------------------------------------------------------


class _Keys:
    """An object, and the search for its keys."""

    def __init__(self, content: dict[str, Any]) -> None:
        self.content = content

    @cached_property
    def _normalised(self) -> dict[str, list[str]]:
        keys: dict[str, list[str]] = {}
        for key in self.content:
            keys.setdefault(normalised(key), []).append(key)
        return keys

    def find(self, name: str) -> str | None:
        """The key with a name: as it is written, else in any case.

        Raises:
            _RowFault: several keys have it, and different values.
        """
        keys = [name] if name in self.content else self._normalised.get(normalised(name), [])
        if isinstance(self.content, Repeated) and set(keys) & set(self.content.names):
            raise _RowFault(self.content.twice())
        return self.only(keys)

    def only(self, keys: list[str]) -> str | None:
        """The one of some keys; the first if all have the same value."""
        if len(keys) > 1 and not all(equal(self.content[key], self.content[keys[0]]) for key in keys):
            raise _RowFault(
                f"found the keys {' and '.join(repr(key[:40]) for key in keys[:3])} with different values, expected one"
                f" of them: name it exactly in columns"
            )
        return keys[0] if keys else None


def _has(keys: _Keys, field: str, columns: Columns) -> bool:
    try:
        return _value(keys, field, columns) is not None
    except _RowFault:
        return True


def _value(keys: _Keys, field: str, columns: Columns) -> tuple[str, Any] | None:
    """The name and the value of a field: of the first name that is found, but an object only if nothing else is."""
    names, nested, lists = names_of(columns[field]), None, field in _LISTS
    for name in names:
        found = _at(keys, name, lists)
        if found is not None and not isinstance(found[0], dict) and not (lists and _of_objects(found[0])):
            return name, found[0]
        if found is not None and nested is None:
            nested = name, found[0]
    return _in_language(keys, names, columns) or nested if field in _SIDES else nested


def _of_objects(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(part, dict) for part in value)


def _at(keys: _Keys, name: str, lists: bool = False) -> tuple[Any] | None:
    """The value at a key, or at a path: in a tuple, because it may be None; None if there is none.

    Args:
        keys: of an object.
        name: the key, or the path.
        lists: whether a path enters lists of objects, and has the value of each: `answers.text` of SQuAD's answers.
    """
    key = keys.find(name)
    if key is not None:
        return (keys.content[key],)
    empty = None
    for place in [place for place, character in enumerate(name) if character == "."]:
        parent = keys.find(name[:place])
        if parent is None:
            continue
        value = keys.content[parent]
        if isinstance(value, dict) and (found := _at(_Keys(value), name[place + 1 :], lists)) is not None:
            return found
        if lists and _of_objects(value):
            parts = [_at(_Keys(part), name[place + 1 :]) for part in value]
            if any(part is not None for part in parts):
                return ([None if part is None else part[0] for part in parts],)
        if value is None:
            empty = (None,)
    return empty


def _in_language(keys: _Keys, names: Sequence[str], columns: Columns) -> tuple[str, Any] | None:
    """The text of a side in an object of languages, as data sets of Hugging Face have it.

    Args:
        keys: the row.
        names: of the side, among them its language.
        columns: of both sides: the object has one of their names.

    Example: `zh` in `{"translation": {"zh": "..", "en": ".."}}`, because `translation` is a name of the target.
    """
    for parent in [name for side in _SIDES for name in names_of(columns.get(side, []))]:
        key = keys.find(parent)
        if key is None or not isinstance(keys.content[key], dict):
            continue
        texts = _Keys(keys.content[key])
        for name in names:
            language = languages.normalized(name)
            found = texts.find(name) or texts.only(
                [each for each in texts.content if languages.normalized(each) == language]
            )
            if found is not None:
                return f"{key}.{found}", texts.content[found]
    return None


def _shown_names(content: dict[str, Any]) -> tuple[str, ...]:
    """The keys of an object, those of nested objects as paths: `id`, `review.body`."""
    return tuple(islice(_paths(content, "", _SHOWN_DEPTH), _SHOWN_NAMES))


def _paths(content: dict[str, Any], prefix: str, depth: int) -> Iterator[str]:
    for key, value in content.items():
        if isinstance(value, dict) and value and depth > 1:
            yield from _paths(value, f"{prefix}{key}.", depth - 1)
        else:
            yield prefix + key


# --- values ----------------------------------------------------------------------------------------------------------


def _string(field: str, name: str, value: Any) -> str:
    """A value as a string: 1.0 is `1`, true is `true`, null is empty, a list is joined by newlines."""
    if not isinstance(value, list):
        return _scalar(field, name, value)
    strings, open_lists = [], [iter(value)]
    while open_lists:
        part = next(open_lists[-1], open_lists)
        if part is open_lists:
            open_lists.pop()
        elif isinstance(part, list):
            open_lists.append(iter(part))
        else:
            if isinstance(part, dict):
                raise _RowFault(
                    f"{field} is a list of objects with the keys {_listed(part)}; expected a string, a number or a list"
                    f" of them, and {_NO_LISTS}"
                )
            strings.append(_scalar(field, name, part))
    return "\n".join(strings)


def _scalar(field: str, name: str, value: Any) -> str:
    if isinstance(value, str):
        broken = BROKEN.search(value) if not value.isascii() or "\0" in value else None
        if broken is not None and broken[0] == "\0":
            raise _RowFault(f"found \\u0000 in {name[:40]!r}, a zero byte, which no text has: delete it")
        if broken is not None:
            raise _RowFault(
                f"found \\u{ord(broken[0]):04x} in {name[:40]!r}, half of a character: write both halves, or delete it"
            )
        return value
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        if not math.isfinite(value):  # 1e999
            return ""
        return str(int(value)) if value.is_integer() else str(value)
    if isinstance(value, int):
        return str(value)
    found = f"{field} is an object with the keys {_listed(value)}; expected a string, a number or a list of them"
    paths = [f"{name}.{key[:40]}" for key in list(value)[:6]] or [f"{name}.NAME"]
    if field == "label" and value and all(flag(_flag_text(each)) is not None for each in value.values()):
        columns = f"[{', '.join(paths)}{', ...' if len(value) > len(paths) else ''}]"
        raise _RowFault(f"{found}: set labels: multiple and columns: {{label: {columns}}}, if each is a 0/1")
    raise _RowFault(f"{found}: set columns: {{{field}: {paths[0]}}}")


def _flag_text(value: Any) -> str:
    return "" if value is None else str(value) if isinstance(value, str | int | float) else "(none)"


def _listed(content: dict[str, Any]) -> str:
    return ", ".join(repr(key[:40]) for key in list(content)[:6]) or "(none)"
