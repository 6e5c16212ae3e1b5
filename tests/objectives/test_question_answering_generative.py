"""What the objective of written answers does otherwise than that of translation."""

from __future__ import annotations

from pathlib import Path

import pytest

from textapp.catalog import recipe_of
from textapp.errors import UsageError
from textapp.objectives.translation import TranslationObjective


def test_an_export_may_lose_points_of_f1_and_reports_exact_match_too() -> None:
    objective = recipe_of("question_answering", "generative").objective()
    assert isinstance(objective, TranslationObjective)
    assert (objective.measure, objective.scored) == ("f1", ("exact_match", "f1"))
    assert (TranslationObjective.measure, TranslationObjective.scored) == ("bleu", ("bleu", "chrf"))


def test_a_text_signature_is_refused() -> None:
    with pytest.raises(UsageError, match="--text: a question and its context are two strings"):
        recipe_of("question_answering", "generative").objective().text_signature(None, [], Path())
