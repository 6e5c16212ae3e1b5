"""Conversations as the documents of a language model, which learns the assistant's messages."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from textapp.arrays import IGNORED
from textapp.artifact import CHAT_TEMPLATE, TOKENIZER
from textapp.config import Config
from textapp.errors import ConfigError, DataError
from textapp.predictors.chat import chat_template
from textapp.predictors.conversations import ConversationReader, Turns
from textapp.recipes.preparing import Encoder
from textapp.recipes.recipe import Records
from textapp.records.documents import MESSAGES
from textapp.records.messages import Message
from textapp.records.shards import TokenShards
from textapp.records.token_ids import Document, IdsOnDisk
from textapp.text.tokenizer import Tokenizer

log = logging.getLogger("textapp")
ANSWERS, TOKENS = "answers", "token_ids"  # features of shards, besides the messages


def check_converses(config: Config, tokenizer: Tokenizer) -> None:
    """Checks that a tokenizer can write conversations; what its template ends an answer with becomes an end id.

    Args:
        config: of the run.
        tokenizer: of the model, before it is saved.

    Raises:
        ConfigError: it has no chat template, or one that cannot be used.
        UsageError: Jinja is not installed.
    """
    path = config.tokenizer.path or (config.model.path if config.model.pretrained else None)
    if tokenizer.chat_template is None and path is None:
        raise ConfigError(
            "data.columns.messages: found conversations for a model from random weights, which has no chat template; "
            "expected a preset that has one: model: {architecture: preset, path: FOLDER}"
        )
    if tokenizer.chat_template is None:
        raise ConfigError(
            f"model.path: {path}: found a preset without a chat template, expected one for conversations "
            f"(data.columns.messages): put {CHAT_TEMPLATE} into its folder, or take the preset's instruct form"
        )
    try:
        end_id = ConversationReader(tokenizer, chat_template(tokenizer, None, path)).end_id
    except DataError as error:
        raise ConfigError(
            f"model.path: {path}: {error} (to train with it, put another {CHAT_TEMPLATE} into its folder)"
        ) from error
    if end_id not in (tokenizer.end_id, *tokenizer.other_end_ids):
        tokenizer.other_end_ids = [*tokenizer.other_end_ids, end_id]
        log.info("the chat template ends an answer with %s: it ends a generated text, too", tokenizer.pieces()[end_id])


class Conversations:
    """The conversations of a run as documents.

    Args:
        tokenizer: with a chat template.
        folder: of the run, where token ids are kept.
        records: of each split, with `messages` and `where`.
        prepared: those of train, if they were prepared.

    Raises:
        DataError: the template refuses a conversation (with its line).
    """

    def __init__(
        self, tokenizer: Tokenizer, folder: Path, records: Mapping[str, Records], prepared: TokenShards | None = None
    ) -> None:
        self._reader = _reader(tokenizer)
        self._ids = IdsOnDisk(folder, self._packed, folder / TOKENIZER)
        self._whole = {name: self._turns(each) for name, each in records.items()}
        self._messages: dict[str, Sequence[Sequence[Message]]] = {
            name: [record["messages"] for record in each] for name, each in records.items()
        }
        if prepared is not None:
            self._whole["train"], self._messages["train"] = stored_turns(prepared), StoredMessages(prepared)

    def counts(self) -> tuple[list[int], list[int]]:
        """The tokens of each training conversation, and those of its last answer."""
        turns = self._whole["train"]
        return [len(each.ids) for each in turns], [end - start for start, end in (each.answers[-1] for each in turns)]

    def documents(self, context: int) -> dict[str, list[Document]]:
        """The documents of each split. Longer conversations are divided between turns, which is told.

        Args:
            context: maximum number of tokens that a document has.

        Raises:
            DataError: no training conversation has an answer within the context.
        """
        documents = {name: self._divided(name, context) for name in self._whole}
        if self._whole["train"] and not documents["train"]:
            raise DataError(
                f"data.train: no conversation has an answer in its first {context} tokens, the context: set lengths to"
                " more, or shorten the messages"
            )
        return documents

    def _divided(self, name: str, context: int) -> list[Document]:
        documents, divided, cut = [], 0, 0
        for number, turns in enumerate(self._whole[name]):
            if len(turns.ids) <= context + 1:
                documents.append(document(turns))
                continue
            parts = self._reader.within(self._messages[name][number], context + 1)
            divided += 1
            ended = [part.ids[part.answers[-1][1] - 1] == self._reader.end_id for part in parts]
            cut += not all(ended) or sum(len(part.answers) for part in parts) < len(turns.answers)
            documents += map(document, parts)
        if divided:
            log.warning(
                "%s of %s conversations of %s are longer than the context of %s tokens: they are divided between turns,"
                " each part with the system message; %s have a turn that alone is longer, which is cut at its end",
                f"{divided:,}", f"{len(self._whole[name]):,}", name, context, f"{cut:,}",
            )  # fmt: skip
        return documents

    def _turns(self, records: Records) -> list[Turns]:
        texts = [json.dumps([record["messages"], record["where"]], ensure_ascii=False) for record in records]
        return [_unpacked(row) for row in self._ids(texts)]

    def _packed(self, text: str) -> list[int]:
        """The number of answers, their places, and the ids of a conversation."""
        turns = _read(self._reader, *json.loads(text))
        return [len(turns.answers), *(place for answer in turns.answers for place in answer), *turns.ids]


def conversation_encoder(tokenizer: Tokenizer) -> Encoder:
    """Conversations to their ids and the places of the answers, with their messages, by which long ones are divided.

    Args:
        tokenizer: with a chat template.
    """

    def encode(records: Any) -> dict[str, list[list[int]]]:
        turns = turns_of(tokenizer, records)
        return {
            ANSWERS: [[place for answer in each.answers for place in answer] for each in turns],
            MESSAGES: [list(json.dumps(record["messages"]).encode()) for record in records],
            TOKENS: [each.ids for each in turns],
        }

    return Encoder(encode, {TOKENS: tokenizer.unknown_id})


def stored_turns(prepared: TokenShards) -> list[Turns]:
    """The conversations of a prepared folder; their ids are in memory."""
    ids, places = prepared.rows(TOKENS), (row.tolist() for row in prepared.column(ANSWERS))
    return [
        Turns(row.tolist(), list(zip(answers[::2], answers[1::2], strict=True)))
        for row, answers in zip(ids, places, strict=True)
    ]


class StoredMessages(Sequence[Sequence[Message]]):
    """The messages of a prepared folder, each read when it is asked for.

    Args:
        prepared: the folder.
    """

    def __init__(self, prepared: TokenShards) -> None:
        self._rows = prepared.column(MESSAGES)

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: Any) -> Any:
        return json.loads(bytes(self._rows[index].tolist()))


def turns_of(tokenizer: Tokenizer, records: Records) -> list[Turns]:
    """The token ids of conversations, and which of them are the assistant's.

    Raises:
        DataError: the template refuses a conversation (with its line).
    """
    reader = _reader(tokenizer)
    return [_read(reader, record["messages"], record["where"]) for record in records]


def _reader(tokenizer: Tokenizer) -> ConversationReader:
    return ConversationReader(tokenizer, chat_template(tokenizer, None, "the model"))


def _read(reader: ConversationReader, messages: Sequence[Message], where: str) -> Turns:
    try:
        return reader.turns(messages)
    except DataError as error:
        raise DataError(f"{where}: {error}") from error


def _unpacked(row: np.ndarray) -> Turns:
    count = 1 + 2 * int(row[0])
    places = row[1:count].tolist()
    return Turns(row[count:].tolist(), list(zip(places[::2], places[1::2], strict=True)))


def document(turns: Turns) -> Document:
    """A conversation as inputs and targets; only the tokens of its answers are targets.

    Example: ids `[5, 6, 7, 8, 9]` with an answer `(2, 4)` become the inputs `[5, 6, 7]` and the targets `[-1, 7, 8]`.
    """
    end = turns.answers[-1][1]
    targets = np.full(end - 1, IGNORED, np.int32)
    for start, behind in turns.answers:
        targets[start - 1 : behind - 1] = turns.ids[start:behind]
    return Document(np.array(turns.ids[: end - 1], np.int32), targets)


def facts(turns: list[Turns]) -> dict[str, Any]:
    """How many answers conversations have, and the tokens that a model learns."""
    return {
        "answers": sum(len(each.answers) for each in turns),
        "answer_tokens": sum(end - start for each in turns for start, end in each.answers),
    }
