"""Texts for language models: a text stream, one document per file, or rows of a table, each with an optional prompt.

A row may also be a conversation. Its record is `{"prompt", "text", "messages", "where"}`: the last message of the user,
its answer, all messages, and the file and the line, for messages to people.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from textapp.errors import DataError
from textapp.records.files import expand, kind_of, read_source
from textapp.records.layout import Layout
from textapp.records.messages import answered, asked, conversation
from textapp.records.readers import read_rows, scan_lines, scan_rows
from textapp.records.rows import Row, RowError
from textapp.records.sources import Source, describe

MESSAGES = "messages"  # the field of a conversation
CHARACTERS_PER_EXAMPLE = 100  # how many characters of a text stream count as one example

_logger = logging.getLogger("textapp")


def load_documents(source: Source, layout: Layout, data_dir: Path) -> list[dict]:
    """Loads the documents of one source: `{"text": ..., "prompt": ... (if the data have one)}`.

    A `.txt` is one document, unchanged but for `\\n` as line end; in other files each row is one. A JSON list
    of strings is joined to a text with these lines.

    Args:
        source: the files.
        layout: the columns of their rows.
        data_dir: the folder that relative paths start at.

    Raises:
        DataError: a column is missing, or a row or a line cannot be read.

    Example: for poems such as `{"title": "春曉", "paragraphs": ["春眠不覺曉，", "處處聞啼鳥。"]}` and the columns
    `{"text": ["paragraphs"]}` the first is `{"text": "春眠不覺曉，\\n處處聞啼鳥。"}`.
    """
    return list(read_documents(source, layout, data_dir))


def read_documents(source: Source, layout: Layout, data_dir: Path) -> Iterator[dict]:
    """Yields what `load_documents` returns, while it reads.

    Args:
        source, layout, data_dir: as for `load_documents`.

    Raises:
        DataError: as for `load_documents`.
    """
    for path in expand(source, data_dir):
        if kind_of(path) == ".txt":
            yield {"text": _whole(path, layout.encoding)}
        else:
            yield from map(_record, read_rows(path, layout, ("text",)))


def read_text_lines(source: Source, layout: Layout, data_dir: Path) -> Iterator[dict]:
    """Yields the lines of `.txt` files, each with its end, as `{"text": ...}`: behind each other they are the texts.

    Args:
        source, layout, data_dir: as for `load_documents`.

    Raises:
        DataError: a line cannot be read.
    """
    for path in expand(source, data_dir):
        text = read_source(path, layout.encoding)
        for number, line in enumerate(text.lines(), start=1):
            if number in text.broken:
                raise DataError(f"{path}:{number}: {text.broken[number]}")
            yield from ({"text": part} for part in line.replace("\r\n", "\n").splitlines(keepends=True))


def load_conversations(source: Source, layout: Layout, data_dir: Path) -> list[dict[str, Any]]:
    """The conversations of one source.

    Args:
        source, layout, data_dir: as for `read_conversations`.
    """
    return list(read_conversations(source, layout, data_dir))


def read_conversations(source: Source, layout: Layout, data_dir: Path) -> Iterator[dict[str, Any]]:
    """Yields the conversations of one source, each up to its last answer; see `conversation`.

    Args:
        source: the files.
        layout: the column of their messages; in a table its cells hold them as JSON.
        data_dir: the folder that relative paths start at.

    Raises:
        DataError: a file has no such column, a row is no conversation, or nothing is answered in it (with its line).

    Example: the line `{"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]}`
    becomes a record with the prompt `Hi` and the text `Hello`.
    """
    for field in ("text", "prompt"):
        names = layout.columns.get(field, ())
        if isinstance(names, int) or not set(names) <= set(layout.usual.get(field, ())):
            raise DataError(f"data.columns: found messages and {field}, expected one of them: leave {field} out")
    columns = {MESSAGES: layout.columns[MESSAGES]}
    for path in expand(source, data_dir):
        if kind_of(path) == ".txt":
            raise DataError(f"{path}: found lines of text, expected conversations in a .jsonl, .json, .csv or .tsv")
        for row in read_rows(path, replace(layout, columns=columns), (MESSAGES,)):
            try:
                messages = answered(conversation(row.values[MESSAGES]))
            except DataError as error:
                raise RowError(path, row.line, str(error)) from error
            yield _conversation_record(messages, path, row.line)


def _conversation_record(messages: Sequence[Any], path: Path, line: int) -> dict[str, Any]:
    waiting = asked(messages)
    answer = {"text": messages[-1]["content"]} if len(waiting) < len(messages) else {}
    return {"prompt": waiting[-1]["content"], **answer, MESSAGES: list(messages), "where": f"{path}:{line}"}


def scan_prompts(source: Source, layout: Layout, data_dir: Path) -> Iterator[tuple[int, dict | RowError]]:
    """Yields `(line, record)` for each prompt: the prompt of a row, else its text; in a `.txt` every line is one.

    If the layout has a column of messages, a row with it is a conversation that waits for its last answer.

    Args:
        source: the files.
        layout: the columns of their rows.
        data_dir: the folder that relative paths start at.
    """
    for path in expand(source, data_dir):
        lines = kind_of(path) == ".txt"
        for row in scan_lines(path, "prompt", layout.encoding) if lines else scan_rows(path, layout):
            if isinstance(row, RowError):
                yield row.line, row
            elif MESSAGES in row.values:
                yield row.line, _scanned(row.values[MESSAGES], path, row.line)
            elif "prompt" in row.values:
                text = row.values.get("text", "")
                yield row.line, {"prompt": row.values["prompt"], **({"text": text} if text.strip() else {})}
            elif "text" in row.values:
                yield row.line, {"prompt": row.values["text"]}
            else:
                mend = "set --columns prompt=NAME, or messages=NAME for conversations"
                yield row.line, RowError(path, row.line, f"found neither prompt nor text: {mend}")


def _scanned(value: Any, path: Path, line: int) -> dict[str, Any] | RowError:
    try:
        return _conversation_record(conversation(value), path, line)
    except DataError as error:
        return RowError(path, line, str(error))


def without_empty(records: list[dict], source: Source) -> list[dict]:
    """Drops the documents without text, and warns how many these are.

    Raises:
        DataError: no document has text.
    """
    filled = [record for record in records if record["text"].strip()]
    if len(filled) < len(records):
        dropped = len(records) - len(filled)
        _logger.warning("%s: dropped %d of %d documents: they are empty", describe(source), dropped, len(records))
    if not filled:
        raise DataError(f"{describe(source)}: every document is empty; expected texts to train on")
    return filled


def split_end(records: Sequence[dict], share: float) -> tuple[list[dict], list[dict]]:
    """Splits off the end of a text stream, measured in characters; a document at the cut is divided.

    Returns:
        The records before the cut and those after it.

    Example: a share of 0.3 of `[{"text": "abcdefgh"}, {"text": "ij"}]` gives `[{"text": "abcdefg"}]` and
    `[{"text": "h"}, {"text": "ij"}]`.
    """
    remaining = int(sum(len(record["text"]) for record in records) * (1 - share) + 1e-9)
    before, after = [], []
    for record in records:
        text = record["text"]
        for part, side in ((text[:remaining], before), (text[remaining:], after)):
            if part:
                side.append({"text": part})
        remaining = max(0, remaining - len(text))
    return before, after


def _whole(path: Path, encoding: str) -> str:
    return "".join(read_source(path, encoding).pieces()).replace("\r\n", "\n")


def _record(row: Row) -> dict:
    """A row as a document; an empty prompt is left out."""
    text = row.values["text"].replace("\r\n", "\n").strip("\n")
    prompt = row.values.get("prompt", "").replace("\r\n", "\n")
    return {"prompt": prompt, "text": text} if prompt.strip() else {"text": text}
