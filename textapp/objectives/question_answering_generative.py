"""The objective of question answering in writing: that of translation, from questions and contexts to answers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from textapp.errors import UsageError
from textapp.objectives.signature import Signature, TextSignature
from textapp.objectives.translation import TranslationObjective
from textapp.tasks.generative import GenerativeTask

SCORED_FIGURES = ("exact_match", "f1")  # that an export reports


def no_text_signature() -> UsageError:
    """The error of an export with the signature `text`."""
    return UsageError(
        "--text: a question and its context are two strings, and the signature takes one: leave it out, and use"
        " textapp.load"
    )


class WrittenAnswersObjective(TranslationObjective):
    """See `Objective`."""

    measure, scored = "f1", SCORED_FIGURES

    def text_signature(self, task: GenerativeTask, served: Sequence[Signature], run_folder: Path) -> TextSignature:
        """There is none.

        Raises:
            UsageError: always.
        """
        raise no_text_signature()
