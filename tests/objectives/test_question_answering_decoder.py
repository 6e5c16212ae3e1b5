"""What the objective of answers of a language model does otherwise than that of generation."""

from __future__ import annotations

from pathlib import Path

import pytest

from textapp.catalog import recipe_of
from textapp.errors import UsageError
from textapp.objectives.generation import GenerationObjective


def test_an_export_may_lose_points_of_f1_and_has_no_text_signature() -> None:
    objective = recipe_of("question_answering", "generative", "decoder").objective()
    assert isinstance(objective, GenerationObjective)
    assert (objective.measure, objective.scored) == ("f1", ("exact_match", "f1"))
    with pytest.raises(UsageError, match="--text: a question and its context are two strings"):
        objective.text_signature(None, [], Path())  # type: ignore[arg-type]
