"""Text to token ids and back, with offsets into the original text: one implementation for training and for the device.

Two classes, one for each package that may stand behind a tokenizer folder. The packages are imported when a
tokenizer is made, so that a device needs only the one that its bundle uses.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from textapp.artifact import TARGET_TOKENIZER, TOKENIZER
from textapp.errors import ArtifactError
from textapp.text.cleaning import Cleaned, check_steps, clean, clean_text

SETTINGS = "settings.json"
SENTENCEPIECE_FILE = "sentencepiece.model"
TOKENIZERS_FILE = "tokenizer.json"
# Of the tokenizers that are trained here; a preset's has its own.
PAD_ID, UNKNOWN_ID, START_ID, END_ID = range(4)

# What SentencePiece's own normaliser does once it does NFKC: full-width forms are a part of NFKC.
_IN_NORMALISER = ("full_width", "nfkc", "lowercase", "whitespace")
_SURROGATES = re.compile("[\ud800-\udfff]")


class Encoding(NamedTuple):
    """The tokens of a text.

    Attributes:
        ids: the token ids, without special tokens.
        offsets: for each token the part of the original text that it stands for, `[start, end)` in code points.
    """

    ids: list[int]
    offsets: list[tuple[int, int]]


@dataclass(frozen=True)
class Template:
    """The special tokens around one text or two: `start a end`, or `start a middle b end`.

    Attributes:
        start, middle, end: token ids.
        second_segment: the segment id of the second text and of the end after it, 0 or 1.
    """

    start: tuple[int, ...] = ()
    middle: tuple[int, ...] = ()
    end: tuple[int, ...] = ()
    second_segment: int = 1

    def join(self, ids: Sequence[int], pair: Sequence[int] | None, length: int) -> tuple[list[int], list[int]]:
        """Puts special tokens around token ids and cuts to `length` tokens.

        Args:
            ids: the first text.
            pair: the second text; None for a single text.
            length: most tokens in the answer. Of a pair the longer text is cut first.

        Returns:
            The token ids, and a segment id for each.

        Example:
            Template((101,), (102,), (102,)).join([7, 8], [9], 8) == ([101, 7, 8, 102, 9, 102], [0, 0, 0, 0, 1, 1])
        """
        if pair is None:
            room = max(0, length - len(self.start) - len(self.end))
            joined = [*self.start, *ids[:room], *self.end][:length]
            return joined, [0] * len(joined)
        room = max(0, length - len(self.start) - len(self.middle) - len(self.end))
        keep_pair = min(len(pair), max(room // 2, room - len(ids)))
        first = [*self.start, *ids[: room - keep_pair], *self.middle]
        joined = [*first, *pair[:keep_pair], *self.end][:length]
        segments = [0] * len(first) + [self.second_segment] * (keep_pair + len(self.end))
        return joined, segments[: len(joined)]


class Tokenizer(Protocol):
    """What the rest of textapp may rely on.

    Attributes:
        kind: `sentencepiece`, `bpe`, `characters`, `wordpiece` or `preset`.
        vocabulary_size: in tokens; every id is below it.
        pad_id: fills a batch; no text ever gives it.
        unknown_id: stands for what the vocabulary lacks.
        start_id: stands before a text that is written; no text gives it.
        end_id: stands after it.
        never_ids: what is no text and so is never written; empty of a preset, which has learnt what to write.
        template: the special tokens that the model expects around a text; see `Template`.
        cleaning: the cleaning steps that run before or in it.
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
        """The token ids of a text, without special tokens: the quick way. Empty for an empty text."""

    def encode(self, text: str) -> Encoding:
        """The same ids, with offsets into `text`."""

    def decode(self, ids: Sequence[int]) -> str:
        """The text of token ids, as cleaned; padding and other special tokens give nothing."""

    def join(self, ids: list[int], pair: list[int] | None, length: int) -> tuple[list[int], list[int]]:
        """Adds the special tokens that the model expects and cuts to `length`; see `Template.join`."""

    def pieces(self) -> list[str]:
        """The vocabulary, by id."""

    def save(self, folder: Path) -> None:
        """Writes the tokenizer's files into `folder`, which is made when it is missing."""


class _Base:
    """What both kinds share: the settings and the special tokens."""

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
        self.cleaning = check_steps(cleaning)
        self.python_steps = self.cleaning
        self.template = template

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
            "cleaning": self.cleaning,
            "template": asdict(self.template),
        }
        (folder / SETTINGS).write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")


class SentencePieceTokenizer(_Base):
    """A SentencePiece model (Kudo and Richardson, 2018): unigram, byte pairs or characters.

    Args:
        model: the serialised model proto.
        kind: `sentencepiece`, `bpe`, `characters` or `preset`.
        cleaning: the steps; where `nfkc` is among them the model's own normaliser does all but html and urls.
        template: the special tokens.
        pad_id: None for the model's own.
        start_id, end_id: around a text that is written.
    """

    def __init__(
        self,
        model: bytes,
        kind: str,
        cleaning: Collection[str],
        template: Template,
        pad_id: int | None = None,
        start_id: int = START_ID,
        end_id: int = END_ID,
    ) -> None:
        import sentencepiece

        self._model = model
        self._processor = sentencepiece.SentencePieceProcessor(model_proto=model)
        pad_id = self._processor.pad_id() if pad_id is None else pad_id
        unknown_id = self._processor.unk_id()
        super().__init__(kind, len(self._processor), pad_id, unknown_id, cleaning, template, start_id, end_id)
        self.python_steps = python_steps(self.cleaning)
        self._encode_ids = _quick_encode(self._processor)

    def ids(self, text: str) -> list[int]:
        if self.python_steps:
            text = clean_text(text, self.python_steps)
        try:
            return self._encode_ids(text)
        except (RuntimeError, UnicodeError):
            return self._encode_ids(without_surrogates(text))

    def encode(self, text: str) -> Encoding:
        cleaned = clean(without_surrogates(text), self.python_steps)
        mapping = self._processor.encode(cleaned.text, out_type="offset_mapping")
        return Encoding(mapping["ids"], _original_offsets(cleaned, mapping["offsets"]))

    def decode(self, ids: Sequence[int]) -> str:
        return self._processor.decode([int(token_id) for token_id in ids])

    def pieces(self) -> list[str]:
        return [self._processor.id_to_piece(token_id) for token_id in range(self.vocabulary_size)]

    def save(self, folder: Path) -> None:
        self._save_settings(folder)
        (folder / SENTENCEPIECE_FILE).write_bytes(self._model)


class TokenizersTokenizer(_Base):
    """A pipeline of the package `tokenizers`: WordPiece trained here, or what came with a preset.

    Args:
        pipeline: a `tokenizers.Tokenizer`, as JSON.
        kind: `wordpiece` or `preset`.
        cleaning: the steps, all of them done in Python before the pipeline.
        template: the special tokens.
        pad_id: the id of padding.
        unknown_id: the id of what the vocabulary lacks.
        start_id, end_id: around a text that is written.
    """

    def __init__(
        self,
        pipeline: str,
        kind: str,
        cleaning: Collection[str],
        template: Template,
        pad_id: int,
        unknown_id: int,
        start_id: int = START_ID,
        end_id: int = END_ID,
    ) -> None:
        import tokenizers

        self._pipeline = tokenizers.Tokenizer.from_str(pipeline)
        self._pipeline.no_padding()
        self._pipeline.no_truncation()
        # "[PAD]" or "</s>" that a user typed is text like any other, not a special token.
        self._pipeline.encode_special_tokens = True
        size = max(self._pipeline.get_vocab().values()) + 1  # a preset's ids may have gaps
        super().__init__(kind, size, pad_id, unknown_id, cleaning, template, start_id, end_id)

    def ids(self, text: str) -> list[int]:
        if self.python_steps:
            text = clean_text(text, self.python_steps)
        try:
            return self._pipeline.encode(text, add_special_tokens=False).ids
        except TypeError:
            return self._pipeline.encode(without_surrogates(text), add_special_tokens=False).ids

    def encode(self, text: str) -> Encoding:
        cleaned = clean(without_surrogates(text), self.python_steps)
        encoding = self._pipeline.encode(cleaned.text, add_special_tokens=False)
        return Encoding(encoding.ids, _original_offsets(cleaned, encoding.offsets))

    def decode(self, ids: Sequence[int]) -> str:
        return self._pipeline.decode([int(token_id) for token_id in ids], skip_special_tokens=True)

    def pieces(self) -> list[str]:
        return [self._pipeline.id_to_token(token_id) or "" for token_id in range(self.vocabulary_size)]

    def save(self, folder: Path) -> None:
        self._save_settings(folder)
        (folder / TOKENIZERS_FILE).write_text(self._pipeline.to_str(), encoding="utf-8")


def load_tokenizer(folder: Path) -> Tokenizer:
    """Reads what `save` wrote.

    Raises:
        ArtifactError: a file is missing or not readable.
    """
    folder = Path(folder)
    try:
        settings = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
        template = Template(**{name: _tuple(value) for name, value in settings["template"].items()})
        shared = {name: settings[name] for name in ("kind", "cleaning", "pad_id")}
        # Tokenizers were saved without these when all of them had the same.
        shared |= {"start_id": settings.get("start_id", START_ID), "end_id": settings.get("end_id", END_ID)}
        shared["template"] = template
        if (folder / SENTENCEPIECE_FILE).is_file():
            model = (folder / SENTENCEPIECE_FILE).read_bytes()
            return SentencePieceTokenizer(model, **shared)
        pipeline = (folder / TOKENIZERS_FILE).read_text(encoding="utf-8")
        return TokenizersTokenizer(pipeline, unknown_id=settings["unknown_id"], **shared)
    except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise ArtifactError(
            f"{folder}: not a tokenizer ({type(error).__name__}: {error}); expected {SETTINGS} and "
            f"{SENTENCEPIECE_FILE} or {TOKENIZERS_FILE}: copy the whole folder again"
        ) from error


def load_tokenizers(folder: Path) -> tuple[Tokenizer, Tokenizer]:
    """The tokenizers of a run or a bundle: of what is read, and of what is written; the same one where they share it.

    Raises:
        ArtifactError: as `load_tokenizer`.
    """
    source = load_tokenizer(Path(folder) / TOKENIZER)
    target = Path(folder) / TARGET_TOKENIZER
    return source, load_tokenizer(target) if target.is_dir() else source


def python_steps(cleaning: Collection[str]) -> tuple[str, ...]:
    """The cleaning steps that SentencePiece's normaliser leaves to Python."""
    if "nfkc" not in cleaning:
        return check_steps(cleaning)
    return tuple(step for step in check_steps(cleaning) if step not in _IN_NORMALISER)


def without_surrogates(text: str) -> str:
    """Replaces half surrogate pairs, which JSON may carry but UTF-8 may not, by U+FFFD: the length stays."""
    return text if text.isascii() else _SURROGATES.sub("\ufffd", text)


def _quick_encode(processor: Any) -> Callable[[str], list[int]]:
    """The call behind `processor.encode`, without a quarter of the time that its arguments take; else `encode`."""
    low_level = getattr(getattr(processor, "_processor", None), "_EncodeAsIds", None)

    def encode(text: str) -> list[int]:
        # sampling off (-1 and 0.1 are its unused settings), no start, no end, not reversed
        return low_level(text, False, -1, 0.1, False, False, False)

    try:
        same = encode("a b") == processor.encode("a b")
    except TypeError:
        same = False
    return encode if same else processor.encode


def _original_offsets(cleaned: Cleaned, offsets: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Leads offsets in the cleaned text back to the original, without the space that opens a word's first token."""
    spans = []
    for start, end in offsets:
        part = cleaned.text[start:end]
        bare = part.lstrip()
        spans.append(cleaned.span(start + len(part) - len(bare) if bare else start, end))
    return spans


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
