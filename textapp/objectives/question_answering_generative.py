"""The objective of question answering in writing: that of translation, from questions and contexts to answers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from textapp.errors import UsageError
from textapp.objectives.generative import GenerativeObjective
from textapp.objectives.signature import Signature, TextSignature
from textapp.objectives.translation import TranslationObjective
from textapp.tasks.generative import GenerativeTask


class AnswersObjective(GenerativeObjective):
    """What objectives of tasks that write answers have in common, before a base class of another task."""

    measure, scored = "f1", ("exact_match", "f1")

    # Those of generation are for prompts and texts.
    figures, _check_records = GenerativeObjective.figures, GenerativeObjective._check_records
    check_litert_lm = GenerativeObjective.check_litert_lm

    def text_signature(self, task: GenerativeTask, served: Sequence[Signature], run_folder: Path) -> TextSignature:
        """There is none.

        Raises:
            UsageError: always.
        """
        raise UsageError(
            "--text: a question and its context are two strings, and the signature takes one: leave it out, and use"
            " textapp.load"
        )


class WrittenAnswersObjective(AnswersObjective, TranslationObjective):
    """See `Objective`."""
