"""Text to token ids and back, with offsets into the original text: one implementation for training and for the device.

The protocol of a tokenizer, and how a saved one is loaded. Each class imports its package only when a tokenizer is
made, so a device needs only the package that its bundle uses.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from textapp.artifact import (
    CHAT_TEMPLATE,
    SENTENCEPIECE_FILE,
    SETTINGS,
    TARGET_TOKENIZER,
    TOKENIZER,
    TOKENIZERS_FILE,
)
from textapp.errors import ArtifactError, TextappError
from textapp.text.base import Encoding
from textapp.text.chat import TOKENS, ChatTemplate, template_fault
from textapp.text.cleaning import STEPS
from textapp.text.huggingface import HuggingFaceTokenizer, check_growth
from textapp.text.sentencepiece import SentencePieceTokenizer
from textapp.text.template import END_ID, START_ID, UNKNOWN_ID, Template
from textapp.untrusted import (
    OBJECT,
    TEXT,
    Document,
    checked,
    key,
    list_of,
    mapping_of,
    one_of,
    read_bytes,
    read_json,
    read_text,
    shown,
    whole,
)

KINDS = ("sentencepiece", "bpe", "characters", "wordpiece", "preset")
PROBE = "a \U000f1234"  # a letter and a character that no vocabulary has: some faults show only then
MAX_SPECIAL = 64  # tokens at one place of a template
_TEMPLATE_KEYS = ("start", "middle", "end", "second_segment")


class Tokenizer(Protocol):
    """What the rest of textapp may rely on.

    Attributes:
        kind: `sentencepiece`, `bpe`, `characters`, `wordpiece` or `preset`.
        vocabulary_size: number of tokens; every id is below it.
        pad_id: id of padding; no text contains it.
        unknown_id: id of the unknown token.
        start_id: id of the token before a generated text; no text contains it.
        end_id: id of the token after it.
        other_end_ids: ids of further tokens that a preset ends a text with.
        never_ids: ids that are never generated because they are not text; empty for a preset, which was trained on its
            own special tokens.
        template: the special tokens that the model expects around a text; see `Template`.
        chat_template: how the model was trained to read conversations; None if nobody says.
        cleaning: the cleaning steps, wherever they run.
        python_steps: those of them that run in Python, outside the tokenizer's own files.
    """

    kind: str
    vocabulary_size: int
    pad_id: int
    unknown_id: int
    start_id: int
    end_id: int
    other_end_ids: list[int]
    never_ids: list[int]
    chat_template: ChatTemplate | None
    template: Template
    cleaning: tuple[str, ...]
    python_steps: tuple[str, ...]

    def ids(self, text: str) -> list[int]:
        """The token ids of a text, without special tokens; faster than `encode`. Empty for an empty text."""

    def many_ids(self, texts: Sequence[str]) -> list[list[int]]:
        """What `ids` gives for each of many texts; faster, as for the texts of a training."""

    def marked_ids(self, text: str) -> list[int]:
        """The token ids of a text in which special tokens are written as such: `<|im_start|>` is one id."""

    def marked(self, text: str) -> Encoding:
        """The ids of `marked_ids` with their offsets into `text`."""

    def special_texts(self) -> list[str]:
        """The special tokens that `marked_ids` reads as one id each, as they are written."""

    def encode(self, text: str) -> Encoding:
        """The token ids with their offsets into `text`."""

    def decode(self, ids: Sequence[int]) -> str:
        """The (cleaned) text of token ids; padding and other special tokens are skipped."""

    def join(self, ids: list[int], pair: list[int] | None, length: int) -> tuple[list[int], list[int]]:
        """Adds the special tokens that the model expects and truncates to `length`; see `Template.join`."""

    def pieces(self) -> list[str]:
        """The vocabulary, by id."""

    def piece_bytes(self) -> list[bytes]:
        """What each piece writes, by id: UTF-8, or a part of a character; empty for special tokens."""

    def save(self, folder: Path) -> None:
        """Writes the tokenizer's files into `folder`, which is created if missing."""


def load_tokenizer(folder: Path) -> Tokenizer:
    """Loads a tokenizer from the folder that `save` wrote, which may come from a stranger.

    Raises:
        ArtifactError: a file is missing or cannot be read, or its ids do not fit the vocabulary.
    """
    folder = Path(folder)
    settings = _read_settings(folder / SETTINGS)
    special = key(settings, "template", OBJECT)
    template = Template(**{name: _template_part(folder / SETTINGS, special, name) for name in _TEMPLATE_KEYS})
    shared = {"kind": key(settings, "kind", one_of(*KINDS)), "pad_id": key(settings, "pad_id", whole())}
    shared["cleaning"] = key(settings, "cleaning", list_of(one_of(*STEPS)))
    # Older tokenizers were saved without these, when all had the same.
    defaults = {"start_id": START_ID, "end_id": END_ID, "unknown_id": UNKNOWN_ID}
    ids = {
        name: checked(settings.get(name, default), whole(), f"{folder / SETTINGS}: key '{name}'")
        for name, default in defaults.items()
    }
    shared |= {"template": template, "start_id": ids["start_id"], "end_id": ids["end_id"]}
    file = folder / SENTENCEPIECE_FILE
    if not file.is_file():
        file = folder / TOKENIZERS_FILE
    tokenizer: Tokenizer
    try:
        if file.name == SENTENCEPIECE_FILE:
            tokenizer = SentencePieceTokenizer(read_bytes(file), **shared)
        else:
            check_growth(read_json(file), file)
            tokenizer = HuggingFaceTokenizer(read_text(file), unknown_id=ids["unknown_id"], **shared)
        tokenizer.decode(tokenizer.ids(PROBE))
    except FileNotFoundError as error:
        raise ArtifactError(
            f"{folder}: not a tokenizer; expected {SENTENCEPIECE_FILE} or {TOKENIZERS_FILE}: "
            "copy the whole folder again"
        ) from error
    except (TextappError, ImportError, KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # `tokenizers` raises bare exceptions, and Rust's panics are not even those
        raise ArtifactError(
            f"{file}: cannot be read as a tokenizer ({type(error).__name__}: {shown(str(error))}): "
            "copy the whole folder again"
        ) from error
    tokenizer.other_end_ids = _few_ids(folder / SETTINGS, settings, "other_end_ids", "other_end_ids")
    _check_ids(tokenizer, folder / SETTINGS)
    tokenizer.chat_template = _chat_template(folder, settings)
    return tokenizer


def _chat_template(folder: Path, settings: Document) -> ChatTemplate | None:
    file = folder / CHAT_TEMPLATE
    if not file.is_file():
        return None
    source = read_text(file)
    if fault := template_fault(source):
        raise ArtifactError(f"{file}: {fault}: copy the whole folder again")
    where = f"{folder / SETTINGS}: key 'special_tokens'"
    tokens = checked(settings.get("special_tokens", {}), mapping_of(TEXT), where)
    return ChatTemplate(source, {name: tokens[name] for name in TOKENS if name in tokens})


def _read_settings(file: Path) -> Document:
    try:
        content = read_json(file)
    except FileNotFoundError as error:
        raise ArtifactError(
            f"{file}: no such file, expected that of a tokenizer: copy the whole folder again"
        ) from error
    settings = Document(checked(content, OBJECT, str(file)))
    settings.source = file
    return settings


def _template_part(file: Path, template: Mapping[str, Any], name: str) -> Any:
    if name == "second_segment":
        return checked(template.get(name, 1), one_of(0, 1), f"{file}: key 'template.{name}'")
    return tuple(_few_ids(file, template, name, f"template.{name}"))


def _few_ids(file: Path, values: Mapping[str, Any], name: str, full_name: str) -> list[int]:
    """A list of ids, empty if there is none.

    Args:
        file: for messages.
        values: of the file, or a part of it.
        name: of the list.
        full_name: with the part that holds it, for messages.

    Raises:
        ArtifactError: it holds something else, or too many.
    """
    ids: list[int] = checked(values.get(name, []), list_of(whole()), f"{file}: key '{full_name}'")
    if len(ids) > MAX_SPECIAL:
        raise ArtifactError(f"{file}: key '{full_name}': found {len(ids)} ids, expected at most {MAX_SPECIAL}")
    return ids


def _check_ids(tokenizer: Tokenizer, file: Path) -> None:
    """Checks that the special ids are ids of the vocabulary."""
    size, template = tokenizer.vocabulary_size, tokenizer.template
    named = {name: getattr(tokenizer, name) for name in ("pad_id", "unknown_id", "start_id", "end_id")}
    named |= {f"template.{name}": token for name in ("start", "middle", "end") for token in getattr(template, name)}
    named |= {f"other_end_ids[{place}]": token for place, token in enumerate(tokenizer.other_end_ids)}
    for name, token in named.items():
        if not 0 <= token < size:
            raise ArtifactError(
                f"{file}: key '{name}': found the id {token}, expected one of the {size} ids of the vocabulary: "
                "copy the whole folder again"
            )


def load_tokenizers(folder: Path) -> tuple[Tokenizer, Tokenizer]:
    """Loads the source and target tokenizers of a run or a bundle; the same object twice if it has only one.

    Raises:
        ArtifactError: as `load_tokenizer`.
    """
    source = load_tokenizer(Path(folder) / TOKENIZER)
    target = Path(folder) / TARGET_TOKENIZER
    return source, load_tokenizer(target) if target.is_dir() else source
