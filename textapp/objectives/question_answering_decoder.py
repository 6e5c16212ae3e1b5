"""The objective of question answering by a language model: that of generation, with a loss on the answers alone."""

from __future__ import annotations

from typing import Any

import keras

from textapp.objectives.generation import GenerationObjective, one_per_row
from textapp.objectives.question_answering_generative import AnswersObjective
from textapp.objectives.text_validation import SHOWN_SAMPLES, TextValidation, strided
from textapp.prepared import Prepared

SCORED = 200  # maximum number of validation questions that are answered after each epoch


class PromptedAnswersObjective(AnswersObjective, GenerationObjective):
    """See `Objective`; `Prepared.data` has a `Document` for each question, whose targets are its answer."""

    def validation(self, prepared: Prepared, model: keras.Model) -> TextValidation:
        """See `Objective`."""
        task, records = prepared.task, strided(prepared.splits.validation, SCORED)
        source = one_per_row(prepared, prepared.data["validation"])
        return TextValidation(model, self.predictor(model, task), source, records, strided(records, SHOWN_SAMPLES))

    def manifest(self, prepared: Prepared) -> dict[str, Any]:
        """See `Objective`."""
        return {**super().manifest(prepared), "inputs": list(prepared.task.fields)}
