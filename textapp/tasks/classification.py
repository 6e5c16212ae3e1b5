"""Classification: a text or a pair of texts -> one label, or several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from textapp.errors import ArtifactError, UsageError
from textapp.predictors.predictor import Predictor
from textapp.predictors.requests import Request
from textapp.tasks.task import Listing, Record, Task, expect_shape, one_line, probability, smallest
from textapp.text.cutting import beginning, whole_below
from textapp.untrusted import FLAG, LENGTHS, TEXT, Kind, key, list_of, one_of, shown

if TYPE_CHECKING:
    from textapp.runners.flatfile import SignatureShapes
    from textapp.runners.runner import Outputs, Runner
    from textapp.text.tokenizer import Tokenizer

UNKNOWN = "unknown"
MIN_PROBABILITY = 0.5  # multi-label: labels at or above this probability are answered
MAX_MISTAKES = 20
LABELS = Kind(
    "a list of one or more texts, all different",
    lambda value: list_of(TEXT, at_least=1).fits(value) and len(set(value)) == len(value),
)


@dataclass(frozen=True)
class ClassificationAnswer:
    """The answer to one text.

    Attributes:
        input: the text, or `[text, text_pair]`.
        label: the most probable label, `unknown` below the threshold; a list if a text may have several labels.
        probability: of the most probable label, 0 to 1.
        probabilities: label -> probability.
    """

    input: str | list[str]
    label: str | list[str]
    probability: float
    probabilities: dict[str, float]

    def __str__(self) -> str:
        label = ", ".join(self.label) if isinstance(self.label, list) else self.label
        return f"{label or '-'} ({self.probability:.2f})"

    def line(self) -> str:
        """`label probability text`, separated by tabs."""
        label = ", ".join(self.label) if isinstance(self.label, list) else self.label
        text = " | ".join(self.input) if isinstance(self.input, list) else self.input
        return f"{label or '-'}\t{self.probability:.3f}\t{one_line(text, 100)}"


class ClassificationTask(Task):
    """Turns records into features, and the probabilities of a model into answers.

    Args:
        tokenizer: converts text to ids.
        labels: the labels, in the order of the model's outputs.
        lengths: the buckets, in tokens, ascending.
        multiple: whether a text may have several labels, or none.
        pair: whether a record also has a `text_pair`.
        segments: whether the model takes `segment_ids`.
        threshold: minimum probability, below which the answer is `unknown`; with `multiple`, of the labels answered.
    """

    name = "classification"
    options = ("threshold",)
    measures = {"accuracy": "accuracy", "f1_macro": "macro F1"}

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
        self.fields: tuple[str, ...] = ("text", "text_pair") if pair else ("text",)
        self.segments = segments
        self.threshold = probability("threshold", threshold)
        self._label_ids = {label: index for index, label in enumerate(self.labels)}
        self.signatures = [(f"classify_{length}", length) for length in self.lengths]
        self._short = whole_below(self.lengths[-1])

    @classmethod
    def from_manifest(
        cls,
        manifest: Mapping[str, Any],
        tokenizers: tuple[Tokenizer, Tokenizer],
        **options: Any,
    ) -> ClassificationTask:
        """See `Task`."""
        return cls(
            tokenizers[0],
            labels=key(manifest, "labels", LABELS),
            lengths=key(manifest, "lengths", LENGTHS),
            multiple=key(manifest, "multiple", FLAG),
            pair="text_pair" in key(manifest, "inputs", list_of(one_of("text", "text_pair"), at_least=1)),
            segments="segment_ids"
            in key(manifest, "features", list_of(one_of("token_ids", "segment_ids"), at_least=1)),
            **options,
        )

    def check_model(self, shapes: Mapping[str, SignatureShapes]) -> None:
        """See `Task`."""
        for name, length in self.signatures:
            for feature in self.feature_names:
                expect_shape(shapes[name].inputs, feature, (1, length), name, "lengths and features")
            expect_shape(shapes[name].outputs, "probabilities", (1, len(self.labels)), name, "labels")

    @property
    def feature_names(self) -> list[str]:
        """The inputs of the model."""
        return ["token_ids", "segment_ids"] if self.segments else ["token_ids"]

    def with_lengths(self, lengths: Sequence[int]) -> ClassificationTask:
        """The same task with other buckets."""
        return ClassificationTask(
            self.tokenizer, self.labels, lengths, self.multiple, self.pair, self.segments, self.threshold
        )

    def predictor(self, runner: Runner, manifest: Mapping[str, Any], path: Path, workers: int = 1) -> Predictor:
        """See `Task`."""
        return Predictor(self, runner, manifest, path, workers)

    def record(self, text: Any = None, text_pair: str | None = None) -> Record:
        """Makes a record from a text, a pair of texts (also as a tuple), or a record.

        Raises:
            UsageError: it is none of these, or has a second text although the model takes one, or lacks it.
        """
        record: dict[str, Any]
        if isinstance(text, str):
            if text_pair is None and not self.pair:
                return {"text": text}
            record = {"text": text, "text_pair": text_pair}
        elif isinstance(text, Mapping) and isinstance(text.get("text"), str):
            record = {**text} if text_pair is None else {**text, "text_pair": text_pair}
        elif self.pair and isinstance(text, (list, tuple)) and len(text) == 2:
            record = {"text": text[0], "text_pair": text[1]}
        else:
            expected = "a text, a pair of texts, or a record" if self.pair else "a text or a record"
            several = "; several texts go to batch" if isinstance(text, (list, tuple)) else ""
            raise UsageError(f"found {shown(text)}, expected {expected} such as {{'text': 'a text'}}{several}")
        second = record.get("text_pair")
        if second is not None and not self.pair:
            raise UsageError(f"found a second text, {shown(second)}: this model takes one text; leave it out")
        if self.pair and second is None and isinstance(record["text"], str):
            raise UsageError(
                f"found one text, {shown(record['text'])}, expected two texts, as this model takes pairs: give the"
                " second one, '' if it is empty"
            )
        if second is not None and not isinstance(second, str) or not isinstance(record["text"], str):
            raise UsageError(f"found {shown(record['text'])} and {shown(second)}, expected two texts")
        return record

    def check(self, record: Record) -> None:
        """Accepts every record; texts that are too long are truncated."""

    def requests(self, record: Record) -> list[Request]:
        """One request: `classify_<length>`."""
        features = self.features(record)
        signature, length = smallest(self.signatures, len(features["token_ids"]))
        return [Request(signature, length, features)]

    def features(self, record: Record) -> dict[str, list[int]]:
        """The features of a record: truncated to the longest bucket, not padded, never empty."""
        text = record["text"]
        ids = self.tokenizer.ids(text) if len(text) <= self._short else self._ids(text)  # without a call for most
        return self.joined(ids, self._ids(record.get("text_pair") or "") if self.pair else None)

    def _ids(self, text: str) -> list[int]:
        """The ids of a text; of a very long one those that can be read, and some more."""
        if len(text) <= self._short:
            return self.tokenizer.ids(text)
        return beginning(self.tokenizer, text, self.lengths[-1]).ids

    def joined(self, ids: list[int], pair: list[int] | None = None) -> dict[str, list[int]]:
        """The features from the ids of a text, and of the second text of a pair."""
        ids, segments = self.tokenizer.join(ids, pair, self.lengths[-1])
        if not ids:
            ids, segments = [self.tokenizer.unknown_id], [0]
        return {"token_ids": ids, "segment_ids": segments} if self.segments else {"token_ids": ids}

    def target(self, record: Record) -> int | list[float]:
        """The index of the label; with `multiple` a row with 1.0 at each label."""
        if not self.multiple:
            return self._label_ids[record["label"]]
        row = [0.0] * len(self.labels)
        for label in record["label"]:
            row[self._label_ids[label]] = 1.0
        return row

    def answer(self, record: Record, outputs: Sequence[Outputs]) -> ClassificationAnswer:
        """The answer to a record, from the `probabilities` `[labels]` of its request.

        Raises:
            ArtifactError: there are more or fewer probabilities than labels.
        """
        probabilities = outputs[0]["probabilities"].tolist()
        try:
            probability = max(probabilities)
            label: str | list[str] = self.labels[probabilities.index(probability)]
            if self.multiple:
                minimum = MIN_PROBABILITY if self.threshold is None else self.threshold
                label = [name for name, value in zip(self.labels, probabilities, strict=True) if value >= minimum]
            elif self.threshold is not None and probability < self.threshold:
                label = UNKNOWN
            text = [record["text"], record.get("text_pair") or ""] if self.pair else record["text"]
            return ClassificationAnswer(text, label, probability, dict(zip(self.labels, probabilities, strict=True)))
        except (IndexError, ValueError) as error:  # a check before would take time at every answer
            raise ArtifactError(
                f"the model has {len(probabilities)} outputs, expected one for each of {len(self.labels)} labels: "
                "copy the whole folder again"
            ) from error

    def queries(self, records: Sequence[Record], max_count: int) -> list[Record]:
        """The records themselves."""
        return list(records)

    def score(self, records: Sequence[Record], answers: Sequence[ClassificationAnswer]) -> dict[str, Any]:
        """The quality, 0 to 100, of answers to labelled records."""
        from textapp.metrics import quality

        targets = [record["label"] for record in records]
        predictions: list[Any] = [answer.label for answer in answers]
        probabilities = np.array([list(answer.probabilities.values()) for answer in answers])
        scores = quality.multilabel_scores if self.multiple else quality.classification_scores
        return scores(targets, predictions, self.labels, probabilities)

    def intervals(self, records: Sequence[Record], answers: Sequence[ClassificationAnswer]) -> dict[str, list[float]]:
        """Those of accuracy and macro F1."""
        from textapp.metrics import quality

        predictions: list[Any] = [answer.label for answer in answers]
        found = quality.multilabel_intervals if self.multiple else quality.classification_intervals
        return found([record["label"] for record in records], predictions, self.labels)

    def listing(self, records: Sequence[Record], answers: Sequence[ClassificationAnswer]) -> Listing:
        """The worst mistakes."""
        from textapp.metrics.quality import worst_mistakes

        columns = ["text", *["text_pair"] * self.pair, "label", "predicted", "probability"]
        return Listing("mistakes", "the worst mistakes", columns, worst_mistakes(records, answers, MAX_MISTAKES))
