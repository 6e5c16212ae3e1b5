"""The messages of a conversation in a file: who says what, in the forms that data sets have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from textapp.errors import DataError, did_you_mean
from textapp.records.json_objects import BROKEN, Repeated, whole
from textapp.untrusted import shown

SYSTEM, USER, ASSISTANT = "system", "user", "assistant"
ROLES = (SYSTEM, USER, ASSISTANT)
MAX_CHARACTERS = 1 << 20  # of a message; far more than a context holds
# The names of roles in data sets of the form `{"from": "human", "value": "a text"}`.
_SPEAKERS = {
    "system": SYSTEM, "human": USER, "user": USER, "gpt": ASSISTANT, "chatgpt": ASSISTANT, "bing": ASSISTANT,
    "bard": ASSISTANT, "model": ASSISTANT, "assistant": ASSISTANT,
}  # fmt: skip
# Keys that change what is said or learnt; all others, such as an id, are not read.
_MEANINGFUL = ("tool_calls", "tool_call_id", "function_call", "images", "audio", "weight")
_EXAMPLE = '[{"role": "user", "content": "a text"}, {"role": "assistant", "content": "its answer"}]'

Message = Mapping[str, str]


def check_turn(where: str, role: str, before: str | None) -> None:
    """Checks that a message of a role may come after one of the role before.

    Args:
        where: the message, for the error.
        role: its role.
        before: the role of the message before; None: it is the first one.

    Raises:
        DataError: it may not.
    """
    expected = {None: (SYSTEM, USER), SYSTEM: (USER,), USER: (ASSISTANT,), ASSISTANT: (USER,)}[before]
    if role not in expected:
        place = "at the beginning" if before is None else f"after {before!r}"
        raise DataError(
            f"{where}.role: found {role!r} {place}, expected {' or '.join(map(repr, expected))}: one system message "
            "may come first, then user and assistant in turn"
        )


def conversation(value: Any) -> list[dict[str, str]]:
    """The messages of a row of a file, as `{"role", "content"}`; a system message without text is left out.

    Args:
        value: a list of `{"role", "content"}` or of `{"from", "value"}`, or its JSON. A content may be a list of parts
            `{"type": "text", "text": ...}`, which are joined.

    Raises:
        DataError: it is something else, a message is empty, or the roles are not in turn.

    Example: `conversation([{"from": "human", "value": "Hi"}])` is `[{"role": "user", "content": "Hi"}]`.
    """
    if isinstance(value, str):
        value = _parsed(value)
    if not isinstance(value, list):
        raise DataError(f"messages: found {shown(value)}, expected a list such as {_EXAMPLE}")
    messages: list[dict[str, str]] = []
    before = None
    for place, found in enumerate(value):
        where = f"messages[{place}]"
        message = _message(where, found)
        if place == 0 and message["role"] == SYSTEM and not message["content"].strip():
            continue
        check_turn(where, message["role"], before)
        if not message["content"].strip():
            raise DataError(f"{where}: found a message without text, expected some: write it, or delete the row")
        messages.append(message)
        before = message["role"]
    if not messages:
        raise DataError(f"messages: found no message, expected some, such as {_EXAMPLE}")
    return messages


def answered(messages: Sequence[Message]) -> list[Message]:
    """The messages up to the last answer of the assistant.

    Raises:
        DataError: there is no answer.
    """
    last = max((place for place, message in enumerate(messages) if message["role"] == ASSISTANT), default=None)
    if last is None:
        raise DataError(
            "messages: found no message of the assistant, expected one or more, from which a model learns: add it, or "
            "delete the row"
        )
    return list(messages[: last + 1])


def asked(messages: Sequence[Message]) -> list[Message]:
    """The messages that wait for an answer: without the last one, if that is an answer."""
    return list(messages[:-1] if messages[-1]["role"] == ASSISTANT else messages)


def spoken(messages: Sequence[Message]) -> str:
    """All that is said, a message on each line."""
    return "\n".join(message["content"] for message in messages)


def _parsed(text: str) -> Any:
    """The value of a cell of a table, which holds the messages as JSON."""
    try:
        return whole(text)
    except (ValueError, RecursionError):
        return text


def _message(where: str, message: Any) -> dict[str, str]:
    if not isinstance(message, Mapping):
        raise DataError(f"{where}: found {shown(message)}, expected a message of a list such as {_EXAMPLE}")
    if isinstance(message, Repeated):
        raise DataError(f"{where}: {message.twice()}")
    for key in _MEANINGFUL:
        if message.get(key) not in (None, [], {}, "", 1):
            raise DataError(f"{where}: found the key {key!r}, which is not supported: delete it, or the row")
    if "role" not in message and {"from", "value"} <= message.keys():
        role, content, names = message["from"], message["value"], ("from", "value")
        known = _SPEAKERS
    elif {"role", "content"} <= message.keys():
        role, content, names = message["role"], message["content"], ("role", "content")
        known = dict(zip(ROLES, ROLES, strict=True))
    else:
        raise DataError(f"{where}: found {shown(message)}, expected a message of a list such as {_EXAMPLE}")
    if not isinstance(role, str) or role not in known:
        hint = did_you_mean(role, known) if isinstance(role, str) else ""
        raise DataError(f"{where}.{names[0]}: found {shown(role)}, expected one of {', '.join(known)}{hint}")
    text = _text(f"{where}.{names[1]}", content)
    if len(text) > MAX_CHARACTERS:
        raise DataError(f"{where}.{names[1]}: found {len(text):,} characters, expected at most {MAX_CHARACTERS:,}")
    return {"role": known[role], "content": text}


def _text(where: str, content: Any) -> str:
    """The text of a message, or of its parts."""
    if not isinstance(content, list):
        return _checked_text(where, content)
    texts = []
    for place, part in enumerate(content):
        if isinstance(part, Repeated):
            raise DataError(f"{where}[{place}]: {part.twice()}")
        kind = part.get("type") if isinstance(part, Mapping) else None
        if kind != "text":
            found = f"a part of the type {shown(kind)}" if kind is not None else shown(part)
            raise DataError(
                f'{where}[{place}]: found {found}, expected {{"type": "text", "text": "..."}}: only texts are read'
            )
        texts.append(_checked_text(f"{where}[{place}].text", part.get("text")))
    return "".join(texts)


def _checked_text(where: str, text: Any) -> str:
    if not isinstance(text, str):
        raise DataError(f"{where}: found {shown(text)}, expected a text: give text alone")
    broken = None if text.isascii() and "\0" not in text else BROKEN.search(text)
    if broken is not None:
        raise DataError(f"{where}: found \\u{ord(broken[0]):04x}, which no text has: delete it")
    return text
