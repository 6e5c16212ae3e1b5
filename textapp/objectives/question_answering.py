"""The objective of question answering: the logits of the first and the last token of an answer."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from textapp.batches.pipeline import Batch, BucketBatches, Examples
from textapp.errors import UsageError
from textapp.layers import PaddingMask, SpanLogits
from textapp.metrics.question_answering import answer_scores, best_threshold
from textapp.models import build_reader
from textapp.objectives.checks.question_answering import QuestionAnsweringCheck
from textapp.objectives.lengths import finer_lengths
from textapp.objectives.lessons import SpanLesson, no_unlabelled, span_mask
from textapp.objectives.objective import Loss, Objective, bucket_batches
from textapp.objectives.signature import Signature, Tensors, TextSignature
from textapp.predictors.predictor import Predictor
from textapp.prepared import Prepared
from textapp.runners.keras import KerasRunner
from textapp.runners.saved_model import TOKENS_SIGNATURE
from textapp.tasks.question_answering import END, START, Question, QuestionAnsweringTask, answer_languages, references
from textapp.tasks.task import Record
from textapp.text.word_forms import WordForms, word_forms

# Measured on a reader of two blocks: the masks' -1e9 leaves no int8 step for the scores beside it; with a mask of -30
# 83 % of the spans stay equal (dynamic: 93 %) in twice the time. In the loop of an LSTM the converter crashes.
INT8_REFUSED = (
    "quantize int8: the scores and masks of a reader have no common range that int8 could hold: take dynamic, whose"
    " weights and matrix products are int8, too"
)


class QuestionAnsweringObjective(Objective):
    """See `Objective`; `Prepared.data["train"]` is what `training_windows` returns."""

    quantizations = ("none", "float16", "dynamic")
    refusals = {"int8": INT8_REFUSED}
    decodes = False

    def build(self, prepared: Prepared) -> keras.Model:
        """A model: `token_ids` and `segment_ids` `[batch, length]` to logits `[batch, length, 2]`."""
        tokenizer, train = prepared.task.tokenizer, prepared.data.get("train")
        if prepared.config.model.pretrained:
            return self._build(prepared)
        windows = train.features["token_ids"] if train else []  # for frequencies; an untrained model can do without
        return self._build(prepared, word_forms(tokenizer.pieces(), tokenizer.unknown_id, windows))

    def build_inference(self, prepared: Prepared) -> keras.Model:
        """See `Objective`; the forms of words are among the weights that it is given."""
        return self._build(prepared)

    def _build(self, prepared: Prepared, forms: WordForms | None = None) -> keras.Model:
        config, tokenizer = prepared.config, prepared.task.tokenizer
        reader = build_reader(config.model, tokenizer.vocabulary_size, tokenizer.pad_id, config.lengths[-1], forms)
        inputs = {name: keras.Input((None,), dtype="int32", name=name) for name in prepared.task.feature_names}
        mask = PaddingMask(tokenizer.pad_id, name="padding_mask")(inputs["token_ids"])
        sequence = keras.layers.Dropout(config.model.dropout, name="head_dropout")(reader(inputs))
        logits = SpanLogits(name="logits", dtype="float32")(sequence, inputs["segment_ids"], mask)
        return keras.Model(inputs, logits, name="question_answering")

    def batches(self, prepared: Prepared) -> BucketBatches:
        """See `Objective`."""
        train = prepared.data["train"]
        batches = bucket_batches(prepared, Examples(train.features, train.targets))
        batches.log_shapes()
        return batches

    def loss(self, prepared: Prepared) -> Loss:
        """The mean cross-entropy of the first and the last token, among the context's and that of no answer."""
        has_start = _has_start(prepared)

        def of_batch(batch: Batch, logits: Any) -> Any:
            return span_loss(batch["targets"], logits, has_start)

        return of_batch

    def lesson(self, prepared: Prepared, unlabelled: Sequence[Record] = ()) -> SpanLesson:
        """See `Objective`."""
        no_unlabelled(prepared, unlabelled)
        features, lengths = prepared.data["train"].features, prepared.config.lengths
        pad_id = prepared.task.tokenizer.pad_id
        return SpanLesson(
            self.batches(prepared), self.loss(prepared), features, lengths, pad_id, _has_start(prepared)
        )  # fmt: skip

    def validation(self, prepared: Prepared, model: keras.Model) -> Callable[[], dict[str, float]]:
        """F1 and exact match, 0 to 100."""
        questions = [Question(record) for record in prepared.splits.validation]

        def measure() -> dict[str, float]:
            scores = self.figures(prepared, model, questions)
            return {name: scores[name] for name in ("f1", "exact_match")}

        return measure

    def figures(self, prepared: Prepared, model: keras.Model, records: Sequence[Record]) -> dict[str, Any]:
        """See `Objective`."""
        return prepared.task.score(records, self._answers(prepared.task, model, records))

    def settled(self, prepared: Prepared, model: keras.Model) -> Prepared:
        """With the threshold of no answer that gives the best F1 on validation, if some questions have no answer."""
        task, records = prepared.task, prepared.splits.validation
        known = [bool(record["answers"]) for record in records]
        if task.no_answer_threshold is None or all(known):
            return prepared
        answers = self._answers(task.changed(no_answer_threshold=None), model, records)
        texts = [answer.answer for answer in answers]
        languages = answer_languages(records, task.language)
        _, overlap = answer_scores(texts, [references(record) for record in records], languages)
        threshold, _ = best_threshold([-answer.score for answer in answers], overlap, known)
        return dataclasses.replace(prepared, task=task.changed(no_answer_threshold=min(1.0, max(0.0, -threshold))))

    def _answers(self, task: QuestionAnsweringTask, model: keras.Model, records: Sequence[Record]) -> list[Any]:
        return Predictor(task, self.runner(model, task), {}, Path()).batch(records)

    def manifest(self, prepared: Prepared) -> dict[str, Any]:
        """See `Objective`."""
        task = prepared.task
        return {
            "inputs": list(task.fields),
            "features": task.feature_names,
            "stride": task.stride,
            "max_answer_tokens": task.max_answer_tokens,
            "max_windows": task.max_windows,
            "no_answer_threshold": task.no_answer_threshold,
            "whole_words": task.whole_words,
        }

    def runner(self, model: keras.Model, task: QuestionAnsweringTask) -> KerasRunner:
        """See `Objective`."""
        return KerasRunner(dict.fromkeys((name for name, _ in task.signatures), _answer(model)))

    def export_task(self, task: QuestionAnsweringTask, records: Sequence[Record]) -> QuestionAnsweringTask:
        """See `Objective`."""
        counts = [len(request.features["token_ids"]) for record in records for request in task.requests(record)]
        return task.changed(lengths=finer_lengths(task.lengths, counts))

    def signatures(self, model: keras.Model, task: QuestionAnsweringTask, batch_size: int = 1) -> list[Signature]:
        """`answer_<L>` for each bucket: features `[1, L]` to `start_logits` and `end_logits` `[1, L]`."""
        return [
            Signature(name, {feature: (1, length) for feature in task.feature_names}, _answer(model))
            for name, length in task.signatures
        ]

    def served_signatures(self, model: keras.Model, task: QuestionAnsweringTask) -> list[Signature]:
        """`tokens`: features `[batch, length]`, both open, to the logits."""
        return [Signature(TOKENS_SIGNATURE, dict.fromkeys(task.feature_names, (None, None)), _answer(model))]

    def text_signature(
        self, task: QuestionAnsweringTask, served: Sequence[Signature], run_folder: Path
    ) -> TextSignature:
        """There is none.

        Raises:
            UsageError: always.
        """
        raise UsageError(
            "--text: a graph of TensorFlow cannot map the tokens of an answer back to the characters of its context:"
            " leave it out, and use textapp.load"
        )

    def quantize_model(
        self, model: keras.Model, quantize: str, task: Any, records: Sequence[Record]
    ) -> dict[str, Any] | None:
        """Nothing depends on the number format."""
        return None

    def check(
        self, model: keras.Model, task: QuestionAnsweringTask, records: Sequence[Record], max_drop: float,
        batch_size: int = 1,
    ) -> QuestionAnsweringCheck:  # fmt: skip
        """See `Objective`."""
        return QuestionAnsweringCheck(self.runner(model, task), task, records, max_drop)


def span_loss(targets: Any, logits: Any, has_start: bool) -> Any:
    """The mean cross-entropy of the first and the last token of an answer.

    Args:
        targets: int32 `[batch, 4]`, see `training_windows`.
        logits: float32 `[batch, length, 2]`.
        has_start: see `span_mask`.

    Returns:
        `[batch]` float32.
    """
    scores = logits + span_mask(targets, tf.shape(logits)[1], has_start)[:, :, None]
    losses = [tf.nn.sparse_softmax_cross_entropy_with_logits(targets[:, side], scores[:, :, side]) for side in (0, 1)]
    return (losses[0] + losses[1]) / 2


def _has_start(prepared: Prepared) -> bool:
    return bool(prepared.task.tokenizer.template.start)


def _answer(model: keras.Model) -> Callable[[Tensors], dict[str, Any]]:
    def answer(features: Tensors) -> dict[str, Any]:
        logits = model(dict(features), training=False)
        return {START: logits[:, :, 0], END: logits[:, :, 1]}

    return answer
