"""The JSON schema that answers have to satisfy: read from a file or a text, and checked as far as JSON goes."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from textapp.errors import OptionError
from textapp.untrusted import shown, unique_keys

MAX_BYTES = 1 << 20
MAX_LEVELS = 600  # llguidance goes down all of them at once, and about 2,000 overflow the stack of a thread
_EXPECTED = 'a JSON Schema, such as {"type": "object", ..}, as JSON or as a file that holds it'
_NAME = "json_schema"


def schema_text(given: Any) -> str:
    """The schema as JSON.

    Args:
        given: the schema as a mapping, as JSON, or the path of a file.

    Raises:
        OptionError: it is none of these, or nothing satisfies it as it contains itself without an end.
    """
    schema = _read(given)
    if not isinstance(schema, (dict, bool)):
        raise OptionError(f"{_NAME}: found {shown(schema)}, expected {_EXPECTED}", _NAME)
    try:
        text = json.dumps(schema, ensure_ascii=False, allow_nan=False)
        targets = {reference: _target(schema, reference) for reference in set(_references(schema))}
        if sum(map(_levels, (schema, *targets.values()))) > MAX_LEVELS:
            raise _too_deep()
        endless = not _has_end(schema, targets)
    except (TypeError, ValueError) as error:
        raise OptionError(f"{_NAME}: found what JSON does not have ({error}), expected {_EXPECTED}", _NAME) from error
    except RecursionError as error:
        raise _too_deep() from error
    if endless:
        raise OptionError(
            f"{_NAME}: found {shown(text)}, but no value satisfies it, as each would contain another one without an "
            "end: leave a key out of required, or allow null",
            _NAME,
        )
    return text


def _read(given: Any) -> Any:
    if isinstance(given, (Mapping, bool)):
        return dict(given) if isinstance(given, Mapping) else given
    if not isinstance(given, (str, os.PathLike)):
        return given
    if isinstance(given, str) and (given.lstrip()[:1] in ("{", "[") or given.strip() in ("true", "false")):
        return _parsed(given, "")
    path = Path(given)
    try:
        if not path.is_file():
            found = "which is a folder" if given and path.is_dir() else "which is no file"
            raise OptionError(f"{_NAME}: found {str(given)!r:.200}, {found}, expected {_EXPECTED}", _NAME)
        if (size := path.stat().st_size) > MAX_BYTES:
            raise OptionError(f"{_NAME}: {path}: found {size:,} bytes, expected at most {MAX_BYTES:,}", _NAME)
        return _parsed(path.read_text(encoding="utf-8-sig"), f"{path}: ")
    except (OSError, UnicodeDecodeError) as error:
        raise OptionError(f"{_NAME}: {path}: cannot be read ({error}), expected {_EXPECTED}", _NAME) from error


def _parsed(text: str, where: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=unique_keys)
    except ValueError as error:
        raise OptionError(
            f"{_NAME}: {where}found {shown(text)}, which is not JSON ({error}), expected {_EXPECTED}", _NAME
        ) from error
    except RecursionError as error:
        raise _too_deep() from error


def _too_deep() -> OptionError:
    return OptionError(
        f"{_NAME}: found objects nested too deeply, expected at most {MAX_LEVELS} levels in all that $ref names: use "
        "fewer parts",
        _NAME,
    )


def _levels(value: Any) -> int:
    """How deeply lists and objects are nested."""
    parts = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ()
    return 1 + max(map(_levels, parts), default=0)


def _has_end(schema: Any, targets: Mapping[str, Any]) -> bool:
    """Whether some value of finite size may satisfy a schema, as far as references to itself are concerned.

    Args:
        schema: the schema.
        targets: reference -> what it names; None: nothing.
    """
    finite = {reference for reference, target in targets.items() if target is None}  # a fault that is reported later
    users: dict[str, set[str]] = {reference: set() for reference in targets}
    for user, target in targets.items():
        for reference in _references(target):
            users[reference].add(user)
    waiting = list(targets)  # each is looked at again only when one that it refers to is found to end
    while waiting:
        reference = waiting.pop()
        if reference not in finite and _ends(targets[reference], finite):
            finite.add(reference)
            waiting += users[reference]
    return _ends(schema, finite)


def _ends(schema: Any, finite: set[str]) -> bool:
    """Whether a value of finite size may satisfy a schema if those of these references are finite."""
    if not isinstance(schema, Mapping) or "const" in schema or "enum" in schema:
        return True
    if isinstance(reference := schema.get("$ref"), str) and reference not in finite:
        return False
    if not all(_ends(part, finite) for part in _parts(schema, "allOf")):
        return False
    for key in ("anyOf", "oneOf"):
        if (parts := _parts(schema, key)) and not any(_ends(part, finite) for part in parts):
            return False
    if schema.get("type") in ("object", ["object"]):
        properties, required = schema.get("properties"), schema.get("required")
        if isinstance(properties, Mapping) and isinstance(required, list):
            return all(_ends(properties.get(name), finite) for name in required if isinstance(name, str))
    if schema.get("type") in ("array", ["array"]) and isinstance(least := schema.get("minItems"), int):
        first = _parts(schema, "prefixItems")
        rest = [schema.get("items")] if least > len(first) else []
        return all(_ends(part, finite) for part in [*first[: max(0, least)], *rest])
    return True


def _parts(schema: Mapping[str, Any], key: str) -> list[Any]:
    parts = schema.get(key)
    return parts if isinstance(parts, list) else []


def _references(schema: Any) -> Iterator[str]:
    if isinstance(schema, Mapping):
        if isinstance(schema.get("$ref"), str):
            yield schema["$ref"]
        for part in schema.values():
            yield from _references(part)
    elif isinstance(schema, list):
        for part in schema:
            yield from _references(part)


def _target(schema: Any, reference: str) -> Any:
    """What a reference within a schema, such as `#/$defs/node`, leads to; None if it leads elsewhere."""
    if reference == "#":
        return schema
    if not reference.startswith("#/"):
        return None
    for name in reference[2:].split("/"):
        name = name.replace("~1", "/").replace("~0", "~")
        if not isinstance(schema, Mapping) or name not in schema:
            return None
        schema = schema[name]
    return schema
