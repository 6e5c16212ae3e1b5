"""Conversations: messages that are checked, made to fit into the context, and turned into token ids."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from textapp.errors import DataError, UsageError, did_you_mean, require
from textapp.records.json_objects import Repeated
from textapp.records.messages import ASSISTANT, MAX_CHARACTERS, ROLES, USER, Message, check_turn
from textapp.text.chat import ChatTemplate, template_fault
from textapp.untrusted import shown

if TYPE_CHECKING:
    from textapp.text.tokenizer import Tokenizer

_PROBE = "Hello"
_EXPECTED = '{"role": "user", "content": "a text"}'
# Stands inside a special token that a user typed, until the template is rendered; no text of people has this character.
GUARD = "\ufdd0"


@dataclass(frozen=True)
class ChatAnswer:
    """The answer to the last message of a conversation.

    Attributes:
        input: that message.
        output: the answer.
        dropped: number of messages, the oldest ones, that were left out as the conversation was too long.
    """

    input: str
    output: str
    dropped: int

    def __str__(self) -> str:
        return self.output

    @property
    def message(self) -> dict[str, str]:
        """The answer as a message, to go on with."""
        return {"role": ASSISTANT, "content": self.output}

    def line(self) -> str:
        """The output, unchanged."""
        return self.output


def checked_messages(messages: Any) -> list[Message]:
    """Returns the messages of a conversation that waits for an answer.

    Raises:
        DataError: they are no list of messages, or their roles are not in turn.
    """
    if isinstance(messages, (str, bytes, Mapping)) or not isinstance(messages, Sequence):
        raise DataError(f"messages: found {shown(messages)}, expected a list of messages such as {_EXPECTED}")
    if not messages:
        raise DataError(f"messages: found an empty list, expected one or more messages such as {_EXPECTED}")
    before = None
    for place, message in enumerate(messages):
        _check_message(f"messages[{place}]", message)
        check_turn(f"messages[{place}]", message["role"], before)
        before = message["role"]
    if before != USER:
        raise DataError(f"messages: found one of the role {before!r} at the end, expected 'user': add what to answer")
    return [{"role": message["role"], "content": message["content"]} for message in messages]


def _check_message(where: str, message: Any) -> None:
    if not isinstance(message, Mapping) or not {"role", "content"} <= message.keys():
        raise DataError(f"{where}: found {shown(message)}, expected a message such as {_EXPECTED}")
    if isinstance(message, Repeated):
        raise DataError(f"{where}: {message.twice()}")
    for name in message:
        if name not in ("role", "content"):
            raise DataError(f"{where}: found the key {shown(name)}, expected role and content alone: remove it")
    role, content = message["role"], message["content"]
    if role not in ROLES:
        hint = did_you_mean(role, ROLES) if isinstance(role, str) else ""
        raise DataError(f"{where}.role: found {shown(role)}, expected one of {', '.join(ROLES)}{hint}")
    if not isinstance(content, str):
        raise DataError(f"{where}.content: found {shown(content)}, expected a text: give text alone")
    if len(content) > MAX_CHARACTERS:
        raise DataError(f"{where}.content: found {len(content):,} characters, expected at most {MAX_CHARACTERS:,}")
    if role == USER and not content.strip():
        raise DataError(f"{where}.content: found a message without text, expected some: write one")


def chat_template(tokenizer: Tokenizer, given: str | None, path: Any) -> ChatTemplate:
    """The chat template of a model.

    Args:
        tokenizer: of the model.
        given: a template in its place; None: the model's own.
        path: of the run or the bundle, for messages.

    Raises:
        UsageError: there is none, it is empty or too long, or Jinja is not installed.
    """
    own: ChatTemplate | None = getattr(tokenizer, "chat_template", None)
    require("jinja2", "chat")
    if given is None:
        if own is None:
            raise UsageError(
                f"{path}: found a model without a chat template, expected one: give it with template (--template FILE),"
                " or put chat_template.jinja into the preset's folder and make the run anew"
            )
        return own
    if fault := template_fault(given):
        raise UsageError(f"template: {fault}")
    if own is not None:
        return ChatTemplate(given, own.tokens)
    pieces = tokenizer.pieces()
    return ChatTemplate(given, {"bos_token": pieces[tokenizer.start_id], "eos_token": pieces[tokenizer.end_id]})


def unusable(tokenizer: Tokenizer) -> str | None:
    """Why the chat template of a model cannot be used: it does not render a message, or leaves it out; else None.

    Args:
        tokenizer: of the model; without a template there is no fault, and without Jinja none is found.
    """
    template: ChatTemplate | None = getattr(tokenizer, "chat_template", None)
    if template is None or find_spec("jinja2") is None:
        return None
    try:
        return left_out(template)
    except DataError as error:
        return str(error)


def left_out(template: ChatTemplate) -> str | None:
    """What a template leaves out of a message; None if nothing.

    Raises:
        DataError: it cannot be rendered.
    """
    rendered = template.render([{"role": USER, "content": _PROBE}])
    if _PROBE.casefold() in rendered.casefold():
        return None
    return f"found {shown(rendered)} for the message {_PROBE!r}, expected the message in it"


def prompt_ids(tokenizer: Tokenizer, template: ChatTemplate, messages: Sequence[Message]) -> list[int]:
    """The token ids of a conversation, up to the place where the answer begins.

    Special tokens of the template are one id each; those that stand in a message are text, as in any other text.

    Args:
        tokenizer: of the model.
        template: of the model.
        messages: as `checked_messages` returned them.

    Raises:
        DataError: the template cannot be rendered, or gives no text.
    """
    rendered = template.render(guarded(tokenizer, messages))
    ids = [token_id for part in rendered.split(GUARD) if part for token_id in tokenizer.marked_ids(part)]
    if not ids:
        raise DataError("the model's chat template gives no text for this conversation: give another one")
    return ids


def guarded(tokenizer: Tokenizer, messages: Sequence[Message]) -> list[dict[str, str]]:
    """The messages with `GUARD` inside each special token that was typed, so that it is read as text.

    Args:
        tokenizer: with the special tokens.
        messages: as `checked_messages` returned them.
    """
    specials = sorted((text for text in tokenizer.special_texts() if len(text) > 1), key=len, reverse=True)
    pattern = re.compile("|".join(map(re.escape, specials)) or "(?!)")
    return [{**message, "content": _guarded(message["content"], pattern)} for message in messages]


def _guarded(text: str, specials: re.Pattern[str]) -> str:
    """A text whose special tokens are broken by a character that is taken out before the text is tokenised."""
    text = text.replace(GUARD, "")
    while specials.search(text):
        text = specials.sub(lambda match: f"{match[0][0]}{GUARD}{match[0][1:]}", text)
    return text


def fitted(
    messages: Sequence[Message], ids_of: Callable[[Sequence[Message]], list[int]], limit: int, truncate: bool
) -> tuple[list[int], int]:
    """The token ids of a conversation without as many of its oldest turns as it takes to fit.

    A turn is a message of the user with its answer. The system message and the last message stay.

    Args:
        messages: as `checked_messages` returned them.
        ids_of: the token ids of messages.
        limit: maximum number of tokens.
        truncate: whether turns may be left out.

    Returns:
        The ids, and the number of messages that were left out.

    Raises:
        DataError: it has more tokens, and no turn may be left out.
    """
    ids = ids_of(messages)
    if len(ids) <= limit:
        return ids, 0
    if not truncate and sum(message["role"] == USER for message in messages) > 1:
        raise DataError(
            f"the conversation has {len(ids)} tokens, but the model reads at most {limit} before an answer: leave out "
            "its first turns, set overflow to truncate, or lower max_new_tokens"
        )
    found, dropped = without_oldest(messages, ids_of, limit)
    if len(found) > limit:
        raise DataError(
            f"the last message, with the system message and the template, has {len(found)} tokens, but the model reads "
            f"at most {limit} before an answer: shorten it, or lower max_new_tokens"
        )
    return found, dropped


def without_oldest(
    messages: Sequence[Message], ids_of: Callable[[Sequence[Message]], list[int]], limit: int
) -> tuple[list[int], int]:
    """The token ids of a conversation that is too long, without as many of its oldest turns as it takes to fit.

    Args:
        messages: as `checked_messages` returned them.
        ids_of: the token ids of messages.
        limit: maximum number of tokens.

    Returns:
        The ids, more than `limit` if the last turn alone has more, and the number of messages that were left out.
    """
    starts = [place for place, message in enumerate(messages) if message["role"] == USER] or [0]

    def without(turns: int) -> list[int]:
        return ids_of([*messages[: starts[0]], *messages[starts[turns] :]])

    too_few, fits = 0, len(starts) - 1
    found = without(fits)
    while len(found) <= limit and fits - too_few > 1:
        middle = (fits + too_few) // 2
        tried = without(middle)
        if len(tried) <= limit:
            fits, found = middle, tried
        else:
            too_few = middle
    return found, starts[fits] - starts[0]
