"""`textapp chat`: a conversation with a language model in the terminal, or with the lines of standard input."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from itertools import takewhile
from pathlib import Path
from threading import Thread
from typing import Any

from textapp.commands import tables
from textapp.commands.typed import given_text, piped_lines, typed_lines
from textapp.decoding.options import decoding_options
from textapp.errors import DataError, TextappError, UsageError, plural
from textapp.loading import load
from textapp.predictors.chat import ChatAnswer
from textapp.predictors.predictor import Predictor
from textapp.records.files import read_source
from textapp.records.json_objects import Repeated, whole
from textapp.records.messages import ASSISTANT, SYSTEM, USER, Message
from textapp.records.rows import RowError
from textapp.terminal import printable

PROMPT = "you> "
RESET, EXIT = "/reset", "/exit"
_WARM_TOKENS = 4  # the first one is that of another signature than those after it
_HELP = f"{RESET} begins anew, {EXIT} or Ctrl-D leaves, Ctrl-C stops an answer"


def chat(
    path: Path,
    system: str | None = None,
    template: Path | None = None,
    threads: int = 1,
    runtime: str = "auto",
    trusted: bool = False,
    overflow: str | None = None,
    decoding: Mapping[str, Any] | None = None,
) -> int:
    """Answers what is typed, or each line of standard input, as the messages of one conversation.

    Args:
        path: a run folder or a bundle of a language model.
        system: what the model is told before the first message.
        template: a file with a chat template in place of the model's.
        threads: CPU threads per answer.
        runtime: the interpreter for a .tflite file.
        trusted: open a SavedModel, which is a program.
        overflow: for a conversation that is too long: `truncate` leaves out its oldest turns, `error` refuses it.
        decoding: options of `DecodingOptions` by name.

    Returns:
        The number of messages that are in error.

    Raises:
        UsageError: the model cannot chat, or an option is not allowed.
        DataError: the template cannot be read, or no message of standard input had an answer.
    """
    decoding = dict(decoding or {})
    decoding_options(decoding)  # reports a wrong option before a model is opened
    if system is not None and not system.strip():
        raise UsageError("--system: found an empty text, expected what to tell the model: leave it out")
    if isinstance(told := given_text(system or "", "--system"), RowError):
        raise UsageError(str(told))
    system = told or None
    source = None if template is None else "".join(read_source(template, "utf-8").pieces())
    predictor = load(path, threads=threads, runtime=runtime, trusted=trusted, overflow=overflow)
    conversation = Conversation(predictor, system, source, decoding)
    if not sys.stdin.isatty():
        taken = [conversation.take(line) for line in takewhile(lambda line: line != EXIT, piped_lines("message"))]
        if (bad := taken.count(False)) == len(taken) > 0:
            raise DataError(f"no message had an answer ({bad} given): see above")
        if bad:
            tables.warn(f"{plural(bad, 'message')} had no answer because of an error: see above")
        return bad
    tables.note(_HELP)
    conversation.warm_up()
    for line in typed_lines(PROMPT):
        if line == EXIT:
            break
        if line:
            conversation.take(line, interruptible=True)
    return 0


def check_chats(predictor: Predictor, decoding: Mapping[str, Any], template: str | None = None) -> None:
    """Checks that a model can chat.

    Args:
        predictor: of any model.
        decoding: options by name.
        template: a chat template in place of the model's.

    Raises:
        UsageError: it cannot, or an option is not allowed.
    """
    if not predictor.streams:
        raise UsageError(
            f"{predictor.path}: is a model of {predictor.task.name}, expected a language model: use textapp predict"
        )
    talker: Any = predictor
    talker.check_chat(template, **decoding)


def chat_answers(
    predictor: Any, lines: Iterable[str | RowError], decoding: Mapping[str, Any]
) -> Iterator[ChatAnswer | dict[str, str]]:
    """Answers conversations, each for itself.

    Args:
        predictor: of a language model.
        lines: each a message of the user, or in JSON the messages of a conversation, or an object with `messages`.
        decoding: options by name.

    Returns:
        The answers, or `{input, error}`.
    """
    for line in lines:
        try:
            if isinstance(line, RowError):
                raise line
            yield predictor.chat(_messages(line), **decoding)
        except DataError as error:
            yield {"input": line.input if isinstance(line, RowError) else line, "error": str(error)}


def _messages(line: str) -> Any:
    """The messages of a line; one that is no JSON of messages is itself a message.

    Raises:
        DataError: a key occurs twice.
    """
    try:
        value = whole(line)
    except (ValueError, RecursionError):
        value = None
    if isinstance(value, Repeated) and "messages" in value:
        raise DataError(value.twice())
    if isinstance(value, dict) and "messages" in value:
        return value["messages"]
    if isinstance(value, list) and (not value or isinstance(value[0], dict)):
        return value
    return [{"role": USER, "content": line}]


class Conversation:
    """The messages so far, and what answers them.

    Args:
        predictor: of a language model.
        system: what the model is told first; None: nothing.
        template: a chat template in place of the model's.
        decoding: options by name.

    Raises:
        UsageError: the model cannot chat.
    """

    def __init__(
        self, predictor: Predictor, system: str | None, template: str | None, decoding: Mapping[str, Any]
    ) -> None:
        check_chats(predictor, decoding, template)
        self._predictor: Any = predictor
        self._template, self._decoding = template, decoding
        self._first: list[Message] = [] if system is None else [{"role": SYSTEM, "content": system}]
        self._messages = list(self._first)
        self._warming: Thread | None = None

    def warm_up(self) -> None:
        """Begins to read what comes before the first message while that is typed: in a new process the model has to be
        brought into memory, and what it is told first may be long."""
        self._warming = Thread(target=self._read_ahead)
        self._warming.start()

    def _read_ahead(self) -> None:
        messages = [*self._first, {"role": USER, "content": "a"}]
        with suppress(TextappError):  # the first message will have it, too
            for _ in self._predictor.stream_chat(messages, self._template, max_new_tokens=_WARM_TOKENS):
                pass

    def take(self, line: str | RowError, interruptible: bool = False) -> bool:
        """Obeys a command, or answers a message and prints the answer while it is generated.

        Args:
            line: what was typed.
            interruptible: whether Ctrl-C stops the answer alone.

        Returns:
            Whether there was no error.
        """
        if line == RESET:
            self._messages = list(self._first)
            tables.note("the conversation begins anew")
            return True
        try:
            if isinstance(line, RowError):
                raise line
            self._answer([*self._messages, {"role": USER, "content": line}], interruptible)
        except DataError as error:
            _print(f"error: {error}\n")
            return False
        return True

    def _answer(self, messages: list[Message], interruptible: bool) -> None:
        written: list[str] = []
        pieces = self._predictor.stream_chat(messages, self._template, **self._decoding)
        stopped = False
        try:
            if self._warming:
                self._warming.join()
            for piece in pieces:
                written.append(piece)
                _print(piece)
        except KeyboardInterrupt:
            if not interruptible:
                raise
            stopped = True
        except DataError:  # it does not have the form that was asked for
            _print("\n" * bool(written))
            raise
        _print("\n")
        if stopped:
            tables.note("stopped")
        if written or not stopped:  # what was stopped before it began is as if it had not been asked
            self._messages = [*messages, {"role": ASSISTANT, "content": "".join(written)}]


def _print(text: str) -> None:
    sys.stdout.write(printable(text, sys.stdout))
    sys.stdout.flush()
