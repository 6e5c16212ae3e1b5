"""Text to token ids and back, with offsets into the original text: one implementation for training and for the device.

The protocol of a tokenizer, and how a saved one is loaded. Each class imports its package only when a tokenizer is
made, so a device needs only the package that its bundle uses.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from textapp.artifact import TARGET_TOKENIZER, TOKENIZER
from textapp.errors import ArtifactError
from textapp.text.base import SETTINGS, Encoding
from textapp.text.huggingface import TOKENIZERS_FILE, HuggingFaceTokenizer
from textapp.text.sentencepiece import SENTENCEPIECE_FILE, SentencePieceTokenizer
from textapp.text.template import END_ID, START_ID, Template


class Tokenizer(Protocol):
    """What the rest of textapp may rely on.

    Attributes:
        kind: `sentencepiece`, `bpe`, `characters`, `wordpiece` or `preset`.
        vocabulary_size: number of tokens; every id is below it.
        pad_id: id of padding; no text contains it.
        unknown_id: id of the unknown token.
        start_id: id of the token before a generated text; no text contains it.
        end_id: id of the token after it.
        never_ids: ids that are never generated because they are not text; empty for a preset, which was trained on its
            own special tokens.
        template: the special tokens that the model expects around a text; see `Template`.
        cleaning: the cleaning steps, wherever they run.
        python_steps: those of them that run in Python, outside the tokenizer's own files.
    """

    kind: str
    vocabulary_size: int
    pad_id: int
    unknown_id: int
    start_id: int
    end_id: int
    never_ids: list[int]
    template: Template
    cleaning: tuple[str, ...]
    python_steps: tuple[str, ...]

    def ids(self, text: str) -> list[int]:
        """The token ids of a text, without special tokens; faster than `encode`. Empty for an empty text."""

    def encode(self, text: str) -> Encoding:
        """The token ids with their offsets into `text`."""

    def decode(self, ids: Sequence[int]) -> str:
        """The (cleaned) text of token ids; padding and other special tokens are skipped."""

    def join(self, ids: list[int], pair: list[int] | None, length: int) -> tuple[list[int], list[int]]:
        """Adds the special tokens that the model expects and truncates to `length`; see `Template.join`."""

    def pieces(self) -> list[str]:
        """The vocabulary, by id."""

    def save(self, folder: Path) -> None:
        """Writes the tokenizer's files into `folder`, which is created if missing."""


def load_tokenizer(folder: Path) -> Tokenizer:
    """Loads a tokenizer from the folder that `save` wrote.

    Raises:
        ArtifactError: a file is missing or cannot be read.
    """
    folder = Path(folder)
    try:
        settings = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
        template = Template(**{name: _tuple(value) for name, value in settings["template"].items()})
        shared = {name: settings[name] for name in ("kind", "cleaning", "pad_id")}
        # Older tokenizers were saved without these, when all had the same.
        shared |= {"start_id": settings.get("start_id", START_ID), "end_id": settings.get("end_id", END_ID)}
        shared["template"] = template
        if (folder / SENTENCEPIECE_FILE).is_file():
            model = (folder / SENTENCEPIECE_FILE).read_bytes()
            return SentencePieceTokenizer(model, **shared)
        pipeline = (folder / TOKENIZERS_FILE).read_text(encoding="utf-8")
        return HuggingFaceTokenizer(pipeline, unknown_id=settings["unknown_id"], **shared)
    except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise ArtifactError(
            f"{folder}: not a tokenizer ({type(error).__name__}: {error}); expected {SETTINGS} and "
            f"{SENTENCEPIECE_FILE} or {TOKENIZERS_FILE}: copy the whole folder again"
        ) from error


def load_tokenizers(folder: Path) -> tuple[Tokenizer, Tokenizer]:
    """Loads the source and target tokenizers of a run or a bundle; the same object twice if it has only one.

    Raises:
        ArtifactError: as `load_tokenizer`.
    """
    source = load_tokenizer(Path(folder) / TOKENIZER)
    target = Path(folder) / TARGET_TOKENIZER
    return source, load_tokenizer(target) if target.is_dir() else source


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
