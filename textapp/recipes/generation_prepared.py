"""The training texts of a language model as token ids on disk: what is written, and the documents that are read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import numpy as np

from textapp.arrays import IGNORED
from textapp.config import Config
from textapp.errors import ConfigError
from textapp.recipes.generation_defaults import conversations, running_text
from textapp.recipes.preparing import Encoder
from textapp.records.documents import MESSAGES
from textapp.records.shards import TokenShards
from textapp.records.token_ids import Document, one_stream
from textapp.tasks.generation import GenerationTask
from textapp.text.tokenizer import Tokenizer

PROMPTS, TOKENS = "prompts", "token_ids"  # features; those of lines have no prompts


class Lines(Sequence[dict[str, Any]]):
    """The lines of texts, as which running text is tokenised, each with its end; they are made anew each time.

    Args:
        records: with texts, or with their lines.
    """

    def __init__(self, records: Iterable[Mapping[str, Any]]) -> None:
        self._records, self._count = records, -1

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return ({"text": line} for record in self._records for line in record["text"].splitlines(keepends=True))

    def __len__(self) -> int:
        if self._count < 0:
            self._count = sum(1 for _ in self)
        return self._count

    def __getitem__(self, index: Any) -> Any:
        return next(islice(self, index, None))


def unprepared(config: Config) -> str | None:
    """See `PreparableRecipe`."""
    if running_text(config) and (config.model.pretrained or (config.tokenizer and config.tokenizer.kind == "preset")):
        return (
            "data.train: found running text for a preset, whose tokenizer reads it as a whole, expected documents, such"
            " as a .jsonl: train from the text"
        )
    return None


def encoder(tokenizer: Tokenizer, running: bool) -> Encoder:
    """Lines to their ids, or documents to theirs between start and end id, with the ids of the prompt apart.

    Args:
        tokenizer: of the texts.
        running: whether the records are lines.
    """
    task = GenerationTask(tokenizer, [1])

    def encode(records: Sequence[Mapping[str, Any]]) -> dict[str, list[list[int]]]:
        texts = tokenizer.many_ids([record["text"] for record in records])
        if running:
            return {TOKENS: texts}
        prompts = tokenizer.many_ids([record.get("prompt") or "" for record in records])
        whole = [[task.start_id, *prompt, *text, task.end_id] for prompt, text in zip(prompts, texts, strict=True)]
        return {PROMPTS: prompts, TOKENS: whole}

    return Encoder(encode, {TOKENS: tokenizer.unknown_id})


def check_kind(prepared: TokenShards, config: Config) -> None:
    """Checks that lines were prepared for running text, messages for conversations, and documents for others.

    Raises:
        ConfigError: they were not.
    """
    kinds = {MESSAGES: "conversations", PROMPTS: "documents", TOKENS: "running text"}
    found = next(name for name in kinds if name in prepared.features)
    expected = MESSAGES if conversations(config) else TOKENS if running_text(config) else PROMPTS
    if found != expected:
        raise ConfigError(
            f"data.prepared: {prepared.folder}: was prepared from {kinds[found]}, expected {kinds[expected]}, as the "
            "files of this config are: give those of its preparation as data.train"
        )


def prompted(prepared: TokenShards) -> bool:
    """Whether a document of a prepared folder has a prompt."""
    return PROMPTS in prepared.features and bool(prepared.lengths(PROMPTS).any())


def stored_documents(prepared: TokenShards) -> list[Document]:
    """The documents of a prepared folder, or its lines as one; their ids are in memory."""
    rows = prepared.rows(TOKENS)
    if PROMPTS not in prepared.features:
        return [one_stream(np.asarray(rows.flat))]
    documents = []
    for row, count in zip(rows, prepared.lengths(PROMPTS).tolist(), strict=True):
        targets = row[1:]
        if count:
            targets = targets.copy()
            targets[:count] = IGNORED
        documents.append(Document(row[:-1], targets))
    return documents
