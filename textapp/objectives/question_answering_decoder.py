"""The objective of question answering by a language model: that of generation, with a loss on the answers alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras

from textapp.metrics.generation import perplexity
from textapp.objectives.generation import GenerationObjective, one_per_row
from textapp.objectives.question_answering_generative import SCORED_FIGURES, no_text_signature
from textapp.objectives.signature import Signature, TextSignature
from textapp.objectives.text_validation import SHOWN_SAMPLES, TextValidation, strided
from textapp.prepared import Prepared
from textapp.tasks.generative import GenerativeTask
from textapp.tasks.task import Record

SCORED = 200  # maximum number of validation questions that are answered after each epoch


class PromptedAnswersObjective(GenerationObjective):
    """See `Objective`; `Prepared.data` has a `Document` for each question, whose targets are its answer."""

    measure, scored = "f1", SCORED_FIGURES

    def validation(self, prepared: Prepared, model: keras.Model) -> TextValidation:
        """See `Objective`."""
        task, records = prepared.task, strided(prepared.splits.validation, SCORED)
        source = one_per_row(prepared, prepared.data["validation"])
        return TextValidation(model, self.predictor(model, task), source, records, strided(records, SHOWN_SAMPLES))

    def figures(self, prepared: Prepared, model: keras.Model, records: Sequence[Record]) -> dict[str, Any]:
        """See `Objective`."""
        predictor = self.predictor(model, prepared.task)
        texts = perplexity(predictor.score_texts(records))
        scores = prepared.task.score(records, predictor.batch(records))
        return {**scores, "loss": texts["loss"], "perplexity": texts["perplexity"]}

    def manifest(self, prepared: Prepared) -> dict[str, Any]:
        """See `Objective`."""
        return {**super().manifest(prepared), "inputs": list(prepared.task.fields)}

    def text_signature(self, task: GenerativeTask, served: Sequence[Signature], run_folder: Path) -> TextSignature:
        """There is none.

        Raises:
            UsageError: always.
        """
        raise no_text_signature()

    def _check_records(self, task: GenerativeTask, records: Sequence[Record], min_count: int) -> list[Record]:
        return list(records)
