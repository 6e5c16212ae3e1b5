"""Objects of JSON as files of examples have them: with keys that occur twice, and with NaN, which is no value."""

from __future__ import annotations

import json
import re
from typing import Any

BROKEN = re.compile("[\0\ud800-\udfff]")  # characters that JSON can escape, and that no text has


class Repeated(dict):
    """An object with keys that occur twice and have different values; it holds the last ones.

    Attributes:
        names: these keys.
    """

    names: list[str]

    def twice(self) -> str:
        """What is wrong with the object, and the mend."""
        name = self.names[0][:60]
        return f"the key {name!r} occurs twice in an object with different values, expected one: delete or rename one"


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) == len(pairs):
        return content
    first: dict[str, Any] = {}
    names = [name for name, value in pairs if not equal(first.setdefault(name, value), value)]
    if not names:
        return content
    repeated = Repeated(content)
    repeated.names = names
    return repeated


def equal(one: Any, other: Any) -> bool:
    """Whether two values are the same; true is not 1. Values too deep to be compared are not."""
    try:
        return type(one) is type(other) and one == other
    except RecursionError:
        return False


DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_constant=lambda _: None)


def whole(text: str) -> Any:
    """The value that a whole text is, with `Repeated` objects and without NaN, as in files of rows.

    Raises:
        ValueError: it is not JSON.
        RecursionError: it is nested too deeply.
    """
    return DECODER.decode(text)


def is_message(value: Any) -> bool:
    """Whether a value is a message of a conversation: such a list is one example, and its messages are none."""
    return isinstance(value, dict) and any(keys <= value.keys() for keys in ({"role", "content"}, {"from", "value"}))
