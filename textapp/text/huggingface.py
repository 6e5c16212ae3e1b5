"""The tokenizer of a pipeline of the package `tokenizers`, which is imported when a tokenizer is made."""

from __future__ import annotations

import base64
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from textapp.artifact import TOKENIZERS_FILE
from textapp.errors import ArtifactError
from textapp.text.base import BaseTokenizer, Encoding, original_offsets, without_surrogates
from textapp.text.cleaning import clean, clean_text
from textapp.text.piece_bytes import spelling_of
from textapp.text.template import END_ID, START_ID, Template

MAX_GROWTH = 256  # characters that the steps of a pipeline may make of one; the longest of NFKC are 18


class HuggingFaceTokenizer(BaseTokenizer):
    """A pipeline of the package `tokenizers`: WordPiece trained here, or the tokenizer of a preset.

    Args:
        pipeline: a `tokenizers.Tokenizer`, as JSON.
        kind: `wordpiece` or `preset`.
        cleaning: the cleaning steps; all of them run in Python before the pipeline.
        template: the special tokens around a text.
        pad_id: id of padding.
        unknown_id: id of the unknown token.
        start_id, end_id: ids of the start and end tokens of a generated text.
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
        # "[PAD]" or "</s>" typed by a user is ordinary text, not a special token.
        self._pipeline.encode_special_tokens = True
        self._marked: Any = None  # the same pipeline, for texts with special tokens; a chat makes it
        size = max(self._pipeline.get_vocab().values()) + 1  # a preset's ids may have gaps
        super().__init__(kind, size, pad_id, unknown_id, cleaning, template, start_id, end_id)

    def ids(self, text: str) -> list[int]:
        if self.python_steps:
            text = clean_text(text, self.python_steps)
        try:
            return self._pipeline.encode(text, add_special_tokens=False).ids
        except TypeError:
            return self._pipeline.encode(without_surrogates(text), add_special_tokens=False).ids

    def many_ids(self, texts: Sequence[str]) -> list[list[int]]:
        if self.python_steps:
            texts = [clean_text(text, self.python_steps) for text in texts]
        try:
            found = self._pipeline.encode_batch_fast(texts, add_special_tokens=False)
        except TypeError:
            texts = [without_surrogates(text) for text in texts]
            found = self._pipeline.encode_batch_fast(texts, add_special_tokens=False)
        return [encoding.ids for encoding in found]

    def marked_ids(self, text: str) -> list[int]:
        return self.marked(text).ids

    def marked(self, text: str) -> Encoding:
        if self._marked is None:  # threads may use the other one at the same time
            import tokenizers

            self._marked = tokenizers.Tokenizer.from_str(self._pipeline.to_str())
        encoding = self._marked.encode(without_surrogates(text), add_special_tokens=False)
        return Encoding(encoding.ids, encoding.offsets)

    def special_texts(self) -> list[str]:
        added = self._pipeline.get_added_tokens_decoder().values()
        return [token.content for token in added if token.special]

    def encode(self, text: str) -> Encoding:
        cleaned = clean(without_surrogates(text), self.python_steps)
        encoding = self._pipeline.encode(cleaned.text, add_special_tokens=False)
        return Encoding(encoding.ids, original_offsets(cleaned, encoding.offsets))

    def decode(self, ids: Sequence[int]) -> str:
        return self._pipeline.decode([int(token_id) for token_id in ids], skip_special_tokens=True)

    def pieces(self) -> list[str]:
        return [self._pipeline.id_to_token(token_id) or "" for token_id in range(self.vocabulary_size)]

    def piece_bytes(self) -> list[bytes]:
        decoder = self._pipeline.decoder
        spelling = spelling_of(None if decoder is None else json.loads(decoder.__getstate__()))
        special = {number for number, token in self._pipeline.get_added_tokens_decoder().items() if token.special}
        special |= {self.pad_id, self.unknown_id, self.start_id, self.end_id}
        pieces = enumerate(self.pieces())
        return [b"" if number in special else spelling.bytes_of(piece) for number, piece in pieces]

    @property
    def pipeline(self) -> str:
        """The pipeline as JSON."""
        return self._pipeline.to_str()

    def save(self, folder: Path) -> None:
        self._save_settings(folder)
        (folder / TOKENIZERS_FILE).write_text(self.pipeline, encoding="utf-8")


def check_growth(pipeline: Any, file: Path) -> None:
    """Checks that no sequence of replacements makes texts grow without bounds: 30 doublings would fill the memory.

    Args:
        pipeline: the content of a tokenizer.json.
        file: its name, for the message.

    Raises:
        ArtifactError: a text could grow more than `MAX_GROWTH` times.
    """
    if not isinstance(pipeline, Mapping):
        raise ArtifactError(f"{file}: found no JSON object, expected a tokenizer: copy the whole folder again")
    for part in ("normalizer", "pre_tokenizer", "decoder"):
        growth = 1.0
        for step in _steps(pipeline.get(part)):
            growth *= _growth(step)
            if growth > MAX_GROWTH:
                raise ArtifactError(
                    f"{file}: key '{part}': its replacements make a text {growth:g} times longer, expected at most "
                    f"{MAX_GROWTH} times: use another tokenizer"
                )


def _steps(step: Any) -> Iterator[Mapping[str, Any]]:
    """The steps of a pipeline, in their order, out of all sequences."""
    waiting = [step]
    while waiting:
        step = waiting.pop()
        if isinstance(step, list):
            waiting += reversed(step)
        elif isinstance(step, Mapping):
            inner = [step[name] for name in ("normalizers", "pretokenizers", "decoders") if name in step]
            waiting += inner
            if not inner:
                yield step


def _growth(step: Mapping[str, Any]) -> float:
    """How many characters a step can make of one."""
    content, pattern, kind = step.get("content"), step.get("pattern"), step.get("type")
    if kind == "Replace" and isinstance(content, str):
        text = pattern.get("String") if isinstance(pattern, Mapping) else None
        # an empty pattern, or a regular expression that matches nothing, matches between all characters
        return max(1.0, len(content) / len(text)) if isinstance(text, str) and text else len(content) + 1.0
    if kind == "Prepend" and isinstance(step.get("prepend"), str):
        return len(step["prepend"]) + 1.0
    if kind == "ByteLevel":  # a character for each byte of UTF-8
        return 4.0
    if kind == "Precompiled" and isinstance(step.get("precompiled_charsmap"), str):
        return _longest_replacement(step["precompiled_charsmap"])
    return 1.0


def _longest_replacement(charsmap: str) -> float:
    """The longest replacement in a table of SentencePiece: the size of its trie, the trie, then texts that end in 0."""
    try:
        table = base64.b64decode(charsmap)
    except ValueError:  # the library reports it
        return 1.0
    texts = table[4 + int.from_bytes(table[:4], "little") :].split(b"\0")
    return float(max(1, *(len(text.decode("utf-8", "replace")) for text in texts)))
