"""The objective of generation: language models."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from textapp.batches.pipeline import BatchSource
from textapp.batches.sequences import PackedBatches, StreamBatches, TokenBatches
from textapp.errors import DataError
from textapp.metrics.generation import perplexity
from textapp.models import GeneratorSettings, build_generator, packs
from textapp.objectives import litert_lm
from textapp.objectives.checks.prompts import prompts
from textapp.objectives.generative import GenerativeObjective, until_end
from textapp.objectives.lessons import TokenLesson, no_unlabelled
from textapp.objectives.signature import Signature
from textapp.objectives.text_validation import SHOWN_SAMPLES, TextValidation, strided
from textapp.prepared import Prepared
from textapp.records.token_ids import Document, pieces
from textapp.tasks.generation import GenerationTask
from textapp.tasks.task import Record

SCORED = 200  # maximum number of prompts that are answered and scored after training
BATCH_SIZE = 32  # documents or windows per batch, if not given in tokens


class GenerationObjective(GenerativeObjective):
    """See `Objective`; `Prepared.data` has the `Document`s of train and validation; a text stream is one."""

    measure = "perplexity"
    max_drops = {"int4": 6.0}

    def _build(self, prepared: Prepared, inference: bool) -> keras.Model:
        task, tokenizer = prepared.task, prepared.task.tokenizer
        settings = GeneratorSettings(
            vocabulary_size=tokenizer.vocabulary_size,
            pad_id=tokenizer.pad_id,
            start_id=task.start_id,
            end_id=task.end_id,
            max_length=task.lengths[-1],
            never_ids=tokenizer.never_ids,
            other_end_ids=tokenizer.other_end_ids,
        )
        return build_generator(prepared.config.model, settings, inference)

    def batches(self, prepared: Prepared) -> BatchSource:
        """Windows of a text stream; documents packed into rows if the model can separate them, else one per row."""
        config, task, documents = prepared.config, prepared.task, prepared.data["train"]
        context = task.lengths[-1]
        rows = config.training.batch_size or max(1, config.training.batch_tokens // context)
        if task.running_text:
            return StreamBatches(documents[0].inputs, context, rows, config.seed)
        parts = list(pieces(documents, context))
        if not packs(config.model):
            batches = one_per_row(prepared, parts, config.training.static_shapes)
            batches.log_shapes()
            return batches
        inputs, targets = [part.inputs for part in parts], [part.targets for part in parts]
        return PackedBatches(inputs, targets, task.tokenizer.pad_id, context, rows, config.seed)

    def lesson(self, prepared: Prepared, unlabelled: Sequence[Record] = ()) -> TokenLesson:
        """See `Objective`; the teacher reads a text stream in windows that overlap by half a context."""
        no_unlabelled(prepared, unlabelled)
        task, documents = prepared.task, prepared.data["train"]
        context = task.lengths[-1]
        if task.running_text:
            stream = documents[0].inputs
            starts, skipped = overlapping(len(stream), context)
            windows = [stream[start : start + context] for start in starts]
        else:
            windows = [part.inputs for part in pieces(documents, context)]
            starts = [0, *np.cumsum([len(window) for window in windows])[:-1].tolist()]
            skipped = [0] * len(windows)
        tokenizer = task.tokenizer
        return TokenLesson(
            self.batches(prepared), self.loss(prepared), windows, starts, skipped, tokenizer.vocabulary_size,
            tokenizer.pad_id,
        )  # fmt: skip

    def validation(self, prepared: Prepared, model: keras.Model) -> TextValidation:
        """See `Objective`."""
        task = prepared.task
        parts = list(pieces(prepared.data["validation"], task.lengths[-1]))
        if not parts:
            raise DataError(
                "data.validation: found less than two tokens, expected more text: give a file or a larger share"
            )
        shown = task.queries(prepared.splits.validation, SHOWN_SAMPLES)[:SHOWN_SAMPLES]
        return TextValidation(model, self.predictor(model, task), one_per_row(prepared, parts), shown=shown)

    def figures(self, prepared: Prepared, model: keras.Model, records: Sequence[Record]) -> dict[str, Any]:
        """Perplexity of the texts, and scores of the answers to their prompts, if any."""
        predictor = self.predictor(model, prepared.task)
        figures: dict[str, Any] = {"examples": len(records), **perplexity(predictor.score_texts(records))}
        prompted = strided([record for record in records if record.get("prompt")], SCORED)
        if prompted:
            figures["answers"] = prepared.task.score(prompted, predictor.batch(prompted))
        return figures

    def manifest(self, prepared: Prepared) -> dict[str, Any]:
        """See `Objective`."""
        task = prepared.task
        return {
            "inputs": ["prompt"],
            "features": ["token_ids", "num_tokens"],
            "generate_lengths": [list(pair) for pair in task.generate_lengths],
            "shared_tokenizer": True,
            "running_text": task.running_text,
            "context": task.lengths[-1],
        }

    def _check_records(self, task: GenerationTask, records: Sequence[Record], min_count: int) -> list[Record]:
        return prompts(task, records, min_count)

    def check_litert_lm(self, model: keras.Model, task: GenerationTask) -> None:
        """See `Objective`."""
        litert_lm.check_served(model, task)

    def litert_lm_signatures(self, model: keras.Model, task: GenerationTask) -> list[Signature]:
        """See `Objective`."""
        return litert_lm.signatures(model, task)

    def _text_call(
        self, task: GenerationTask, generate: Signature, source: Any, target: Any
    ) -> Callable[[Any], dict[str, Any]]:
        def continue_text(text: Any) -> dict[str, Any]:
            ids = source.tokenize(text)
            first = tf.constant(task.joined([])[:1], tf.int32)
            if not task.running_text:
                ids = tf.concat([tf.fill([tf.shape(text)[0], 1], task.start_id), ids], axis=1)
            else:  # an empty prompt needs a token as context
                empty = tf.cast(tf.equal(ids.row_lengths(), 0), tf.int64)
                fill = tf.RaggedTensor.from_row_lengths(tf.fill([tf.reduce_sum(empty)], first[0]), empty)
                ids = tf.concat([ids, fill], axis=1)
            ids = ids[:, -task.max_tokens :]
            counts = tf.cast(ids.row_lengths(), tf.int32)
            features = {"token_ids": ids.to_tensor(default_value=task.tokenizer.pad_id), "num_tokens": counts}
            outputs = generate.call(features)
            new = until_end(outputs, task.end_ids)
            before, whole = source.detokenize(ids), source.detokenize(tf.concat([ids, new], axis=1))
            length = tf.minimum(tf.strings.length(before), tf.strings.length(whole))
            after = tf.strings.substr(whole, length, tf.strings.length(whole))
            extends = tf.equal(tf.strings.substr(whole, tf.zeros_like(length), length), before)
            return {"text": tf.where(extends, after, source.detokenize(new)), "score": outputs["score"]}

        return continue_text


def overlapping(count: int, length: int) -> tuple[list[int], list[int]]:
    """Windows over a text, each of which begins in the middle of the one before, as far as they go in whole windows.

    Args:
        count: tokens of the text, at least `length`.
        length: tokens of a window.

    Returns:
        the first token of each window, and how many of its tokens the window before has already.

    Example: `overlapping(10, 4)` is `([0, 2, 4, 6], [0, 2, 2, 2])`, `overlapping(9, 4)` ends with a window at 5.
    """
    step = max(1, length // 2)
    starts = list(dict.fromkeys([*range(0, count - length, step), count - length]))
    skipped = [0, *(one + length - other for one, other in zip(starts, starts[1:], strict=False))]
    return starts, skipped


def one_per_row(prepared: Prepared, documents: Sequence[Document], static_shapes: bool = False) -> TokenBatches:
    """Batches of documents, each in a row of its own.

    Args:
        prepared: with the config and the task.
        documents: of at most as many tokens as the context.
        static_shapes: see `TokenBatches`.
    """
    training, task = prepared.config.training, prepared.task
    return TokenBatches(
        {"token_ids": [document.inputs for document in documents]}, [document.targets for document in documents],
        task.tokenizer.pad_id, batch_tokens=training.batch_tokens, batch_size=training.batch_size or BATCH_SIZE,
        seed=prepared.config.seed, max_lengths={"token_ids": task.lengths[-1]}, static_shapes=static_shapes,
    )  # fmt: skip
