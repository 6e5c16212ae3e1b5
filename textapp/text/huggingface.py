"""The tokenizer of a pipeline of the package `tokenizers`, which is imported when a tokenizer is made."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from textapp.text.base import BaseTokenizer, Encoding, original_offsets, without_surrogates
from textapp.text.cleaning import clean, clean_text
from textapp.text.template import END_ID, START_ID, Template

TOKENIZERS_FILE = "tokenizer.json"


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
        return Encoding(encoding.ids, original_offsets(cleaned, encoding.offsets))

    def decode(self, ids: Sequence[int]) -> str:
        return self._pipeline.decode([int(token_id) for token_id in ids], skip_special_tokens=True)

    def pieces(self) -> list[str]:
        return [self._pipeline.id_to_token(token_id) or "" for token_id in range(self.vocabulary_size)]

    def save(self, folder: Path) -> None:
        self._save_settings(folder)
        (folder / TOKENIZERS_FILE).write_text(self._pipeline.to_str(), encoding="utf-8")
