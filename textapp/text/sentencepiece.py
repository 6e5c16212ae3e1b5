"""The tokenizer of a SentencePiece model. The package is imported when a tokenizer is made."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

from textapp.artifact import SENTENCEPIECE_FILE
from textapp.text.base import BaseTokenizer, Encoding, original_offsets, without_surrogates
from textapp.text.cleaning import check_steps, clean, clean_text
from textapp.text.known_words import KnownWords
from textapp.text.piece_bytes import SENTENCEPIECE
from textapp.text.template import END_ID, START_ID, Template

# Steps that SentencePiece's own normaliser does once it does NFKC; full-width forms are a part of NFKC.
_IN_NORMALISER = ("full_width", "nfkc", "lowercase", "whitespace")


class SentencePieceTokenizer(BaseTokenizer):
    """A SentencePiece model (Kudo and Richardson, 2018): unigram, BPE or characters.

    Args:
        model: the serialised model proto.
        kind: `sentencepiece`, `bpe`, `characters` or `preset`.
        cleaning: the cleaning steps; with `nfkc` among them the model's own normaliser does all but html and urls.
        template: the special tokens around a text.
        pad_id: id of padding; None for the model's own.
        start_id, end_id: ids of the start and end tokens of a generated text.

    Attributes:
        model: the serialised model proto.
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

        self.model = model
        self._processor = sentencepiece.SentencePieceProcessor(model_proto=model)
        pad_id = self._processor.pad_id() if pad_id is None else pad_id
        unknown_id = self._processor.unk_id()
        super().__init__(kind, len(self._processor), pad_id, unknown_id, cleaning, template, start_id, end_id)
        self.python_steps = python_steps(self.cleaning)
        self._encode_ids = _fast_encode(self._processor)

    def ids(self, text: str) -> list[int]:
        return self._cleaned_ids(clean_text(text, self.python_steps) if self.python_steps else text)

    def many_ids(self, texts: Sequence[str]) -> list[list[int]]:
        words = self._words
        if words is None:
            return super().many_ids(texts)
        if self.python_steps:
            texts = [clean_text(text, self.python_steps) for text in texts]
        return words.rows(texts)

    @functools.cached_property
    def _words(self) -> KnownWords | None:
        """The words seen so far; None if the ids of a text may differ from those of its words.

        In BPE they are the same if no piece goes over a space: no merge in a word depends on the others then. The
        unigram model adds up rounded scores along the text, by which a word that can be cut in two ways of one score
        is cut.
        """
        if self.kind != "bpe" or any("\u2581" in piece[1:] for piece in self.pieces()):
            return None
        one, other = self._encode_ids("a"), self._encode_ids("b")
        # Spaces at the ends and double ones are dropped, and every word gets the mark of a space before it.
        return KnownWords(self._cleaned_ids) if self._encode_ids(" a  b ") == one + other else None

    def _cleaned_ids(self, text: str) -> list[int]:
        try:
            return self._encode_ids(text)
        except (RuntimeError, UnicodeError):
            return self._encode_ids(without_surrogates(text))

    def marked_ids(self, text: str) -> list[int]:
        specials = self._specials
        # As published: the text behind a special token begins a word, as the whole text does.
        parts = self._parts(text)
        return [token for part in parts for token in ([specials[part]] if part in specials else self.ids(part))]

    def marked(self, text: str) -> Encoding:
        ids: list[int] = []
        offsets: list[tuple[int, int]] = []
        begin = 0
        for part in self._parts(text):
            special = self._specials.get(part)
            found = Encoding([special], [(0, len(part))]) if special is not None else self.encode(part)
            ids += found.ids
            offsets += [(begin + start, begin + end) for start, end in found.offsets]
            begin += len(part)
        return Encoding(ids, offsets)

    def _parts(self, text: str) -> list[str]:
        """A text divided into its special tokens and what is between them."""
        longest_first = sorted(self._specials, key=len, reverse=True)
        if not longest_first:
            return [text] if text else []
        return [part for part in re.split(f"({'|'.join(map(re.escape, longest_first))})", text) if part]

    def special_texts(self) -> list[str]:
        return list(self._specials)

    @functools.cached_property
    def _specials(self) -> dict[str, int]:
        """The ids of the control tokens, by their texts."""
        processor = self._processor
        return {processor.id_to_piece(each): each for each in range(self.vocabulary_size) if processor.is_control(each)}

    def encode(self, text: str) -> Encoding:
        cleaned = clean(without_surrogates(text), self.python_steps)
        mapping = self._processor.encode(cleaned.text, out_type="offset_mapping")
        return Encoding(mapping["ids"], original_offsets(cleaned, mapping["offsets"]))

    def decode(self, ids: Sequence[int]) -> str:
        return self._processor.decode([int(token_id) for token_id in ids])

    def pieces(self) -> list[str]:
        return [self._processor.id_to_piece(token_id) for token_id in range(self.vocabulary_size)]

    def piece_bytes(self) -> list[bytes]:
        processor = self._processor
        silent = (processor.is_control, processor.is_unknown, processor.is_unused)
        return [
            b"" if any(kind(number) for kind in silent) else SENTENCEPIECE.bytes_of(piece)
            for number, piece in enumerate(self.pieces())
        ]

    def save(self, folder: Path) -> None:
        self._save_settings(folder)
        (folder / SENTENCEPIECE_FILE).write_bytes(self.model)


def python_steps(cleaning: Collection[str]) -> tuple[str, ...]:
    """The cleaning steps that run in Python because SentencePiece's normaliser does not do them."""
    if "nfkc" not in cleaning:
        return check_steps(cleaning)
    return tuple(step for step in check_steps(cleaning) if step not in _IN_NORMALISER)


def _fast_encode(processor: Any) -> Callable[[str], list[int]]:
    """The C++ function behind `processor.encode`, a quarter faster without its argument handling; else `encode`."""
    low_level: Any = getattr(getattr(processor, "_processor", None), "_EncodeAsIds", None)

    def encode(text: str) -> list[int]:
        # no sampling (-1 and 0.1 are its unused settings), no start token, no end token, not reversed
        return low_level(text, False, -1, 0.1, False, False, False)

    try:
        same = encode("a b") == processor.encode("a b")
    except TypeError:
        same = False
    return encode if same else processor.encode
