"""The objective of translation."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from textapp.batches.sequences import TokenBatches
from textapp.errors import DataError
from textapp.models import GeneratorSettings, build_generator
from textapp.objectives.generative import GenerativeObjective, until_end
from textapp.objectives.lessons import SequenceLesson, no_unlabelled
from textapp.objectives.signature import Signature
from textapp.objectives.text_validation import SHOWN_SAMPLES, TextValidation, strided
from textapp.prepared import Prepared
from textapp.records.shards import preceded
from textapp.records.token_ids import Sides
from textapp.tasks.task import Record
from textapp.tasks.translation import TranslationTask

log = logging.getLogger("textapp")
SCORED = 500  # maximum number of validation sentences that are translated after each epoch
BATCH_SIZE = 64  # sentences per batch, in validation and if not given in tokens

# The characters that `str.strip` removes; `tf.strings.strip` removes only ASCII whitespace.
_BLANKS = r"[\s\v\x{1c}-\x{1f}\x{85}\p{Z}]*"


class TranslationObjective(GenerativeObjective):
    """See `Objective`; `Prepared.data` has the `Sides` of train and validation."""

    measure, scored = "bleu", ("bleu", "chrf")

    def _build(self, prepared: Prepared, inference: bool) -> keras.Model:
        task, shared = prepared.task, prepared.task.target_tokenizer is prepared.task.tokenizer
        settings = GeneratorSettings(
            vocabulary_size=task.target_tokenizer.vocabulary_size,
            pad_id=task.target_tokenizer.pad_id,
            start_id=task.start_id,
            end_id=task.end_id,
            max_length=task.max_new_tokens + 1,
            source_vocabulary_size=None if shared else task.tokenizer.vocabulary_size,
            max_source_length=task.lengths[-1],
            never_ids=task.target_tokenizer.never_ids,
            other_end_ids=task.target_tokenizer.other_end_ids,
        )
        return build_generator(prepared.config.model, settings, inference)

    def batches(self, prepared: Prepared) -> TokenBatches:
        """Batches of the pairs that fit the buckets; the others are dropped, with a warning."""
        return self._of_pairs(prepared, _fitting(prepared))

    def _of_pairs(self, prepared: Prepared, sides: Sides) -> TokenBatches:
        training = prepared.config.training
        batches = _batches(prepared, sides, training.batch_size or BATCH_SIZE, training.static_shapes)
        batches.log_shapes()
        return batches

    def lesson(self, prepared: Prepared, unlabelled: Sequence[Record] = ()) -> SequenceLesson:
        """See `Objective`; of the pairs that fit the buckets."""
        no_unlabelled(prepared, unlabelled)
        task, sides = prepared.task, _fitting(prepared)

        def make(targets: Sequence[np.ndarray]) -> TokenBatches:
            return self._of_pairs(prepared, Sides(sides.sources, targets))

        return SequenceLesson(
            sides.sources, sides.targets, task.lengths, task.tokenizer.pad_id, task.max_new_tokens, task.end_ids,
            self.loss(prepared), make,
        )  # fmt: skip

    def validation(self, prepared: Prepared, model: keras.Model) -> TextValidation:
        """See `Objective`."""
        task = prepared.task
        sides = prepared.data["validation"].truncated(task.lengths[-1], task.max_new_tokens)
        records = strided(prepared.splits.validation, SCORED)
        source = _batches(prepared, sides, BATCH_SIZE)
        return TextValidation(model, self.predictor(model, task), source, records, strided(records, SHOWN_SAMPLES))

    def manifest(self, prepared: Prepared) -> dict[str, Any]:
        """See `Objective`."""
        task = prepared.task
        return {
            "inputs": list(task.fields),
            "features": ["token_ids"],
            "generate_lengths": [list(pair) for pair in task.generate_lengths],
            "shared_tokenizer": task.target_tokenizer is task.tokenizer,
        }

    def _text_call(
        self, task: TranslationTask, generate: Signature, source: Any, target: Any
    ) -> Callable[[Any], dict[str, Any]]:
        def translate(text: Any) -> dict[str, Any]:
            ids = source.tokenize(text)[:, : task.max_tokens - 1]
            ids = tf.concat([ids, tf.fill([tf.shape(text)[0], 1], task.tokenizer.end_id)], axis=1)
            outputs = generate.call({"token_ids": ids.to_tensor(default_value=task.tokenizer.pad_id)})
            blank = tf.strings.regex_full_match(text, _BLANKS)
            translations = target.detokenize(until_end(outputs, task.end_ids))
            return {"text": tf.where(blank, "", translations), "score": outputs["score"]}

        return translate


def _fitting(prepared: Prepared) -> Sides:
    """The training pairs that fit the buckets.

    Raises:
        DataError: none does.
    """
    task, sides = prepared.task, prepared.data["train"]
    fitting = sides.within(task.lengths[-1], task.max_new_tokens)
    dropped = len(sides.sources) - len(fitting.sources)
    if not len(fitting.sources):
        raise DataError(
            f"none of {dropped:,} training pairs has a source of at most {task.lengths[-1]} tokens and a "
            f"target of at most {task.max_new_tokens}: raise lengths and generate_lengths"
        )
    if dropped:
        log.warning(
            "dropped %s of %s training pairs: a source of more than %s tokens or a target of more than %s",
            f"{dropped:,}", f"{len(sides.sources):,}", task.lengths[-1], task.max_new_tokens,
        )  # fmt: skip
    return fitting


def _batches(prepared: Prepared, sides: Sides, batch_size: int, static_shapes: bool = False) -> TokenBatches:
    task = prepared.task
    inputs = preceded(sides.targets, task.start_id)
    return TokenBatches(
        {"token_ids": sides.sources, "target_ids": inputs}, sides.targets, task.tokenizer.pad_id,
        batch_tokens=prepared.config.training.batch_tokens, batch_size=batch_size, seed=prepared.config.seed,
        max_lengths={"token_ids": task.lengths[-1], "target_ids": task.max_new_tokens}, static_shapes=static_shapes,
    )  # fmt: skip
