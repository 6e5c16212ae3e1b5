"""Classification: a text (or a pair) to one label, or to several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from textapp.text.tokenizer import Tokenizer

UNKNOWN = "unknown"
SEVERAL_FROM = 0.5  # with several labels a text, those from this probability on are answered


@dataclass(frozen=True)
class ClassificationAnswer:
    """The answer to one text.

    Attributes:
        input: the text, or `[text, text_pair]`.
        label: the likeliest label, `unknown` below the threshold; a list where a text may have several.
        probability: of the likeliest label, 0 to 1.
        probabilities: of every label.
    """

    input: str | list[str]
    label: str | list[str]
    probability: float
    probabilities: dict[str, float]


class ClassificationTask:
    """Turns records into features and a model's probabilities into answers.

    Args:
        tokenizer: text to ids.
        labels: the labels, in the order of the model's outputs.
        lengths: the buckets, in tokens, ascending.
        multiple: a text may have several labels (or none).
        pair: a record has a `text_pair` beside its `text`.
        segments: the model takes `segment_ids`.
        threshold: answer `unknown` below this probability; with `multiple`, the labels from it on.
    """

    name = "classification"

    def __init__(
        self,
        tokenizer: Tokenizer,
        labels: Sequence[str],
        lengths: Sequence[int],
        multiple: bool = False,
        pair: bool = False,
        segments: bool = False,
        threshold: float | None = None,
    ) -> None:
        self.tokenizer = tokenizer
        self.labels = list(labels)
        self.lengths = list(lengths)
        self.multiple = multiple
        self.pair = pair
        self.segments = segments
        self.threshold = threshold
        self._label_ids = {label: index for index, label in enumerate(self.labels)}
        self._signatures = [(f"classify_{length}", length) for length in self.lengths]

    @classmethod
    def from_manifest(
        cls, manifest: Mapping[str, Any], tokenizer: Tokenizer, threshold: float | None = None
    ) -> ClassificationTask:
        return cls(
            tokenizer,
            labels=manifest["labels"],
            lengths=manifest["lengths"],
            multiple=manifest["multiple"],
            pair="text_pair" in manifest["inputs"],
            segments="segment_ids" in manifest["features"],
            threshold=threshold,
        )

    def features(self, record: Mapping[str, Any]) -> dict[str, list[int]]:
        """The model's inputs for one record, cut to the longest bucket, not padded, never empty."""
        ids = self.tokenizer.ids(record["text"])
        return self.joined(ids, self.tokenizer.ids(record.get("text_pair") or "") if self.pair else None)

    def joined(self, ids: list[int], pair: list[int] | None = None) -> dict[str, list[int]]:
        """The same from the ids of the text, and of the second text of a pair."""
        ids, segments = self.tokenizer.join(ids, pair, self.lengths[-1])
        if not ids:
            ids, segments = [self.tokenizer.unknown_id], [0]
        return {"token_ids": ids, "segment_ids": segments} if self.segments else {"token_ids": ids}

    def signature(self, num_tokens: int) -> tuple[str, int]:
        """The name and the length of the smallest signature that takes `num_tokens`, else of the longest."""
        for signature in self._signatures:
            if num_tokens <= signature[1]:
                return signature
        return self._signatures[-1]

    def target(self, record: Mapping[str, Any]) -> int | list[float]:
        """The index of the label; with several labels a text, 1.0 at each of them."""
        if not self.multiple:
            return self._label_ids[record["label"]]
        row = [0.0] * len(self.labels)
        for label in record["label"]:
            row[self._label_ids[label]] = 1.0
        return row

    def answer(self, record: Mapping[str, Any], outputs: Mapping[str, np.ndarray]) -> ClassificationAnswer:
        """The answer to one record. `outputs["probabilities"]` has the shape `[labels]`."""
        probabilities = outputs["probabilities"].tolist()
        probability = max(probabilities)
        label: str | list[str] = self.labels[probabilities.index(probability)]
        if self.multiple:
            least = SEVERAL_FROM if self.threshold is None else self.threshold
            label = [name for name, value in zip(self.labels, probabilities, strict=True) if value >= least]
        elif self.threshold is not None and probability < self.threshold:
            label = UNKNOWN
        text = [record["text"], record.get("text_pair") or ""] if self.pair else record["text"]
        return ClassificationAnswer(text, label, probability, dict(zip(self.labels, probabilities, strict=True)))

    def score(self, records: Sequence[Mapping[str, Any]], answers: Sequence[ClassificationAnswer]) -> dict[str, Any]:
        """Quality figures, 0 to 100, of answers to records that have a label."""
        from textapp.metrics import quality

        targets = [record["label"] for record in records]
        predictions = [answer.label for answer in answers]
        probabilities = np.array([list(answer.probabilities.values()) for answer in answers])
        scores = quality.multilabel_scores if self.multiple else quality.classification_scores
        return scores(targets, predictions, self.labels, probabilities)
