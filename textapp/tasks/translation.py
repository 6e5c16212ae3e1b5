"""Translation: a text in one language -> the same text in another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from textapp.tasks.generative import PAIRS, Generated, GenerativeTask, RankedAnswer, TextAnswer
from textapp.tasks.task import Listing, Record
from textapp.text.cutting import beginning
from textapp.untrusted import LENGTHS, TEXT, key, list_of

if TYPE_CHECKING:
    from textapp.decoding.scoring import Window
    from textapp.predictors.requests import Features
    from textapp.runners.runner import Outputs
    from textapp.text.tokenizer import Tokenizer


class TranslationTask(GenerativeTask):
    """Turns sentences into features of the encoder, and generated ids into answers.

    Args:
        tokenizer: of the source.
        target_tokenizer: of the target; the same one if both share a vocabulary.
        lengths: the buckets of the source in tokens, including its end id, ascending.
        generate_lengths: `(source, new)` tokens of each signature; empty before they are known.
        source_language, target_language: `zh`, `en`, ...; that of the target determines how BLEU tokenizes.
        overflow: for a source longer than the longest bucket: `truncate` it, with a warning, or report an `error`.

    Example:
        task = TranslationTask(tokenizer, tokenizer, [16, 32], [(16, 24), (32, 48)])
        task.features({"source": "今天天气很好。"})     # {"token_ids": [..., 3]}
    """

    name = "translation"
    measures = {"bleu": "BLEU", "chrf": "chrF", "perplexity": "perplexity"}
    text_measures = ("perplexity", "loss")
    fields: tuple[str, ...] = ("source",)
    input_field, target_field = "source", "target"

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
        cls, manifest: Mapping[str, Any], tokenizers: tuple[Tokenizer, Tokenizer], **options: Any
    ) -> TranslationTask:
        source_language, target_language = key(manifest, "languages", list_of(TEXT, exactly=2))
        return cls(
            *tokenizers,
            lengths=key(manifest, "lengths", LENGTHS),
            generate_lengths=key(manifest, "generate_lengths", PAIRS),
            source_language=source_language,
            target_language=target_language,
            **options,
        )

    def features(self, record: Record) -> dict[str, list[int]]:
        """The input of the encoder for a record: the source with its special tokens, not padded.

        Raises:
            DataError: the source is too long, and `overflow` is `error`.
        """
        part = beginning(self.tokenizer, record["source"], self.max_tokens)
        self._check_known(part)
        self._check_length(record["source"], len(framed(self.tokenizer, part.ids)), "start", part.whole)
        return self.joined(part.ids)

    def joined(self, ids: Sequence[int]) -> dict[str, list[int]]:
        """The features from the ids of the source, truncated if it is too long."""
        room = self.max_tokens - len(framed(self.tokenizer, []))
        return {"token_ids": framed(self.tokenizer, ids[:room])}

    def features_of(self, ids: list[int]) -> dict[str, Any]:
        """The features of ids that `framed` returned."""
        return {"token_ids": ids}

    @property
    def max_new_tokens(self) -> int:
        """Maximum tokens of a translation."""
        return max(new for _, new in self.generate_lengths)

    def first_position(self, num_tokens: int) -> int:
        """The position after the start id, which the decoder reads first."""
        return 1

    def filler(self, features: Features) -> Features:
        """An empty source, for which nothing is generated."""
        return {"token_ids": []}

    def windows(self, owner: int, record: Record) -> tuple[list[Window], int]:
        """One window: the target after its source."""
        from textapp.decoding.scoring import Window

        ids = self.target_ids(record)
        targets = [*ids, self.end_id][: self.max_new_tokens]
        truncated = len(targets) <= len(ids)
        characters = len(self.decode(targets)) if truncated else len(record[self.target_field])
        source = self.features(record)["token_ids"]
        return [Window(owner, source, [self.start_id, *targets[:-1]], targets, 0)], characters

    def reference_ids(self, record: Record) -> list[int]:
        """The ids of the target and the end id."""
        return [*self.target_ids(record), self.end_id]

    def target_ids(self, record: Record) -> list[int]:
        """The ids of the target as the model should generate them, without the end id."""
        return framed(self.target_tokenizer, self.target_tokenizer.ids(record[self.target_field]))[:-1]

    def answer(self, record: Record, outputs: Sequence[Outputs]) -> Generated:
        """The answer to one record; a blank source has an empty translation."""
        source = record[self.input_field]
        if source.strip():
            return super().answer(record, outputs)
        several = np.ndim(outputs[0]["token_ids"]) > 1
        return RankedAnswer(source, "", None, []) if several else TextAnswer(source, "", None)

    def score(self, records: Sequence[Record], answers: Sequence[TextAnswer]) -> dict[str, Any]:
        """The quality, 0 to 100, of answers to records with a target."""
        from textapp.metrics.translation import translation_scores

        return translation_scores(
            [record["source"] for record in records],
            [record["target"] for record in records],
            [answer.output for answer in answers],
            self.target_language,
        )

    def intervals(self, records: Sequence[Record], answers: Sequence[TextAnswer]) -> dict[str, list[float]]:
        """Those of BLEU and chrF."""
        from textapp.metrics.translation import translation_intervals

        targets = [[record["target"]] for record in records]
        return translation_intervals([answer.output for answer in answers], targets, self.target_language)

    def listing(self, records: Sequence[Record], answers: Sequence[TextAnswer]) -> Listing:
        """The translations, the worst first."""
        from textapp.metrics.translation import worst_translations

        rows = worst_translations(records, answers, self.target_language, len(records))
        return Listing("outputs", "the worst translations", list(rows[0]), rows)


def framed(tokenizer: Tokenizer, ids: Sequence[int]) -> list[int]:
    """Adds the special tokens to the ids of a source or a target: the end, and the start if a preset has one.

    Example: `[713, 16]` becomes `[0, 713, 16, 2]` for BART, and `[713, 16, 3]` for the tokenizers trained here.
    """
    return [*tokenizer.template.start, *ids, tokenizer.end_id]
