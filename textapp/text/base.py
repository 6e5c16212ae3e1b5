"""What the tokenizer classes share: their settings, special tokens, and offsets into the original text."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

from textapp.artifact import CHAT_TEMPLATE, SETTINGS
from textapp.text.chat import ChatTemplate
from textapp.text.cleaning import Cleaned, check_steps
from textapp.text.template import Template

_SURROGATES = re.compile("[\ud800-\udfff]")


class Encoding(NamedTuple):
    """The tokens of a text.

    Attributes:
        ids: the token ids, without special tokens.
        offsets: for each token its part of the original text, `[start, end)` in code points.
    """

    ids: list[int]
    offsets: list[tuple[int, int]]


class BaseTokenizer:
    """The attributes of `textapp.text.tokenizer.Tokenizer`, `join`, and the settings file.

    Args:
        kind: of the tokenizer, see `config.parts`.
        vocabulary_size: number of ids.
        pad_id, unknown_id, start_id, end_id: ids of the special tokens.
        cleaning: names of the cleaning steps.
        template: the special tokens around a text or a pair.
    """

    def __init__(
        self,
        kind: str,
        vocabulary_size: int,
        pad_id: int,
        unknown_id: int,
        cleaning: Collection[str],
        template: Template,
        start_id: int,
        end_id: int,
    ) -> None:
        self.kind = kind
        self.vocabulary_size = vocabulary_size
        self.pad_id = pad_id
        self.unknown_id = unknown_id
        self.start_id, self.end_id = start_id, end_id
        self.never_ids = [] if kind == "preset" else sorted({pad_id, unknown_id, start_id} - {end_id})
        self.other_end_ids: list[int] = []
        self.chat_template: ChatTemplate | None = None
        self.cleaning = check_steps(cleaning)
        self.python_steps = self.cleaning
        self.template = template

    def ids(self, text: str) -> list[int]:
        raise NotImplementedError

    def many_ids(self, texts: Sequence[str]) -> list[list[int]]:
        return [self.ids(text) for text in texts]

    def join(self, ids: list[int], pair: list[int] | None, length: int) -> tuple[list[int], list[int]]:
        return self.template.join(ids, pair, length)

    def _save_settings(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        settings = {
            "kind": self.kind,
            "pad_id": self.pad_id,
            "unknown_id": self.unknown_id,
            "start_id": self.start_id,
            "end_id": self.end_id,
            **({"other_end_ids": self.other_end_ids} if self.other_end_ids else {}),
            "cleaning": self.cleaning,
            "template": asdict(self.template),
        }
        if self.chat_template is not None:
            settings["special_tokens"] = dict(self.chat_template.tokens)
            (folder / CHAT_TEMPLATE).write_text(self.chat_template.source, encoding="utf-8", newline="")
        (folder / SETTINGS).write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")


def without_surrogates(text: str) -> str:
    """Replaces lone surrogates, which JSON allows and UTF-8 does not, by U+FFFD; the length stays the same."""
    return text if text.isascii() else _SURROGATES.sub("\ufffd", text)


def original_offsets(cleaned: Cleaned, offsets: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Maps offsets in the cleaned text to offsets in the original, without a token's leading space."""
    spans = []
    for start, end in offsets:
        part = cleaned.text[start:end]
        stripped = part.lstrip()
        spans.append(cleaned.span(start + len(part) - len(stripped) if stripped else start, end))
    return spans
