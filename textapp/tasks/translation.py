"""Translation: a text in one language to the same text in another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from textapp.tasks.writing import RankedAnswer, TextAnswer, WritingTask

if TYPE_CHECKING:
    from textapp.text.tokenizer import Tokenizer


class TranslationTask(WritingTask):
    """Turns sentences into features of the encoder, and the ids that the decoder wrote into answers.

    Args:
        tokenizer: of the source.
        target_tokenizer: of the target; the same one where both share a vocabulary.
        lengths: the buckets of the source in tokens, its end id included, ascending.
        generate_lengths: `(source, new)` of each signature, in tokens; empty before they are known.
        source_language, target_language: `zh`, `en`, ...: the target's says how BLEU cuts it into words.
        overflow: for a source longer than the longest one: `truncate`, with a warning, or `error`.

    Example:
        task = TranslationTask(tokenizer, tokenizer, [16, 32], [(16, 24), (32, 48)])
        task.features({"source": "今天天气很好。"})     # {"token_ids": [..., 3]}
    """

    name = "translation"
    input_field = "source"

    def __init__(
        self,
        tokenizer: Tokenizer,
        target_tokenizer: Tokenizer,
        lengths: Sequence[int],
        generate_lengths: Sequence[Sequence[int]] = (),
        source_language: str = "en",
        target_language: str = "en",
        overflow: str = "truncate",
    ) -> None:
        super().__init__(tokenizer, target_tokenizer, lengths, generate_lengths, overflow)
        self.source_language = source_language
        self.target_language = target_language

    @classmethod
    def from_manifest(
        cls, manifest: Mapping[str, Any], tokenizers: tuple[Tokenizer, Tokenizer], overflow: str = "truncate"
    ) -> TranslationTask:
        source_language, target_language = manifest["languages"]
        return cls(
            *tokenizers,
            lengths=manifest["lengths"],
            generate_lengths=manifest["generate_lengths"],
            source_language=source_language,
            target_language=target_language,
            overflow=overflow,
        )

    def features(self, record: Mapping[str, Any]) -> dict[str, list[int]]:
        """The encoder's input for one record: the source and its special tokens, not padded.

        Raises:
            DataError: the source is too long, and `overflow` is `error`.
        """
        ids = self.tokenizer.ids(record["source"])
        self._check_known(record["source"], ids)
        self._room(record["source"], len(framed(self.tokenizer, ids)), self.most_tokens, "start")
        return self.joined(ids)

    def joined(self, ids: Sequence[int]) -> dict[str, list[int]]:
        """The same from the ids of the source; what is too long is cut."""
        room = self.most_tokens - len(framed(self.tokenizer, []))
        return {"token_ids": framed(self.tokenizer, ids[:room])}

    def target_ids(self, record: Mapping[str, Any]) -> list[int]:
        """The ids that are to be written for the target, without the end."""
        return framed(self.target_tokenizer, self.target_tokenizer.ids(record["target"]))[:-1]

    def answer(self, record: Mapping[str, Any], outputs: Mapping[str, np.ndarray]) -> TextAnswer:
        """The answer to one record; nothing but blanks translates to nothing."""
        if record["source"].strip():
            return super().answer(record, outputs)
        several = np.ndim(outputs["token_ids"]) > 1
        return RankedAnswer(record["source"], "", None, []) if several else TextAnswer(record["source"], "", None)

    def score(self, records: Sequence[Mapping[str, Any]], answers: Sequence[TextAnswer]) -> dict[str, Any]:
        """Quality figures, 0 to 100, of answers to records that have a target."""
        from textapp.metrics.translation import translation_scores

        return translation_scores(
            [record["source"] for record in records],
            [record["target"] for record in records],
            [answer.output for answer in answers],
            self.target_language,
        )


def framed(tokenizer: Tokenizer, ids: Sequence[int]) -> list[int]:
    """The ids of a source or a target with what stands around them: the end, and where a preset has one a start.

    Example: BART's `[713, 16]` is `[0, 713, 16, 2]`; of the tokenizers trained here `[713, 16]` is `[713, 16, 3]`.
    """
    return [*tokenizer.template.start, *ids, tokenizer.end_id]
