"""Texts to learn to write: running text, a file a document, or rows of a table, each perhaps after a prompt."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

from textapp.errors import DataError
from textapp.records.files import expand, kind_of, read_source
from textapp.records.layout import Layout
from textapp.records.readers import Row, RowError, read_rows, scan_lines, scan_rows
from textapp.records.sources import Source, describe

CHARACTERS_AN_EXAMPLE = 100  # of running text, where a recipe asks how many examples there are

_logger = logging.getLogger("textapp")


def load_documents(source: Source, layout: Layout, data_dir: Path) -> list[dict]:
    """The documents of one source, `{"text": ..., "prompt": ... (where the data have one)}`.

    A `.txt` is one document, as it stands, with `\\n` at the end of its lines; in other files a row is one, and a list
    of strings in JSON one whose lines these are.

    Raises:
        DataError: a column is missing, or a row or a line cannot be read.

    Example: for poems such as `{"title": "春曉", "paragraphs": ["春眠不覺曉，", "處處聞啼鳥。"]}` and the columns
    `{"text": ["paragraphs"]}` the first is `{"text": "春眠不覺曉，\\n處處聞啼鳥。"}`.
    """
    records: list[dict] = []
    for path in expand(source, data_dir):
        if kind_of(path) == ".txt":
            records.append({"text": _whole(path)})
        else:
            rows = read_rows(path, layout.columns, layout.header, None, ("text",))
            records += [_record(row) for row in rows]
    return records


def scan_prompts(source: Source, layout: Layout, data_dir: Path) -> Iterator[tuple[int, dict | RowError]]:
    """Beginnings to be continued, in order: the prompt of a row, else its text; of a `.txt` every line."""
    for path in expand(source, data_dir):
        lines = kind_of(path) == ".txt"
        for row in scan_lines(path, "prompt") if lines else scan_rows(path, layout.columns, layout.header):
            if isinstance(row, RowError):
                yield row.line, row
            elif "prompt" in row.values:
                text = row.values.get("text", "")
                yield row.line, {"prompt": row.values["prompt"], **({"text": text} if text.strip() else {})}
            elif "text" in row.values:
                yield row.line, {"prompt": row.values["text"]}
            else:
                yield row.line, RowError(path, row.line, "found neither a prompt nor a text: set --columns prompt=NAME")


def without_empty(records: list[dict], source: Source) -> list[dict]:
    """The documents that have a text, with a warning that counts the others."""
    kept = [record for record in records if record["text"].strip()]
    if len(kept) < len(records):
        dropped = len(records) - len(kept)
        _logger.warning("%s: dropped %d of %d documents: they are empty", describe(source), dropped, len(records))
    if not kept:
        raise DataError(f"{describe(source)}: every document is empty; expected texts to learn from")
    return kept


def split_end(records: Sequence[dict], share: float) -> tuple[list[dict], list[dict]]:
    """Sets the end of running text aside, by characters: a cut within a document leaves one part on each side.

    Example: of `[{"text": "abcdefgh"}, {"text": "ij"}]` a share of 0.3 is `[{"text": "h"}, {"text": "ij"}]`.
    """
    stays = int(sum(len(record["text"]) for record in records) * (1 - share) + 1e-9)
    rest, taken = [], []
    for record in records:
        text = record["text"]
        for part, side in ((text[:stays], rest), (text[stays:], taken)):
            if part:
                side.append({"text": part})
        stays = max(0, stays - len(text))
    return rest, taken


def _whole(path: Path) -> str:
    source = read_source(path)
    if source.broken:
        line, fault = next(iter(source.broken.items()))
        raise DataError(f"{path}:{line}: {fault}")
    return source.text.replace("\r\n", "\n")


def _record(row: Row) -> dict:
    """A row as a document; a prompt that is empty is none."""
    text = row.values["text"].replace("\r\n", "\n").strip("\n")
    prompt = row.values.get("prompt", "").replace("\r\n", "\n")
    return {"prompt": prompt, "text": text} if prompt.strip() else {"text": text}
