"""What is told of a student that its task cannot use: the recipe's own keys and lines, and how to leave one out."""

from __future__ import annotations

from pathlib import Path

import pytest

from textapp.catalog import parse_config
from textapp.commands.students import student_config
from textapp.compression.recipe import load_recipe
from textapp.errors import ConfigError

RECIPES = Path(__file__).parents[2] / "configs" / "compression"


def refused(task: str, recipe: Path, *overrides: str) -> str:
    model = {"architecture": "transformer", "hidden_dim": 64}
    teacher = parse_config({"task": task, "run": "r", "data": {"train": "a"}, "model": model})
    loaded = load_recipe(recipe, overrides)
    with pytest.raises(ConfigError) as caught:
        student_config(teacher, loaded, loaded.recipe.distills)
    return str(caught.value)


def test_a_key_that_the_task_does_not_have_is_told_by_its_line_and_how_to_leave_it_out() -> None:
    file = RECIPES / "distill_small.yaml"
    (line,) = [
        number
        for number, text in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1)
        if "embedding_dim" in text
    ]

    assert refused("generation", file) == (
        f"{file}, line {line}: steps.0.model.embedding_dim: found 64, but for task generation a transformer takes "
        "steps.0.model.hidden_dim for its embeddings: leave it out (--set steps.0.model.embedding_dim=null)"
    )
    loaded = load_recipe(file, ["steps.0.model.embedding_dim=null"])
    teacher = parse_config(
        {"task": "generation", "run": "r", "data": {"train": "a"}, "model": {"architecture": "transformer"}}
    )
    assert student_config(teacher, loaded, loaded.recipe.distills).model.hidden_dim == 128


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("steps.0.model.num_heads=3", "student.yaml, line 6: steps.0.model.hidden_dim 128 is not a multiple"
         " of steps.0.model.num_heads 3: change one, or give steps.0.model.head_dim"),
        ("steps.0.model={architecture: mlp}", "--set steps.0.model={architecture: mlp}: steps.0.model.architecture: "
         "found 'mlp', which cannot generate text, for task generation; expected one of lstm, transformer, preset"),
        ("training.monitor=bleu", "--set training.monitor=bleu: training.monitor: found 'bleu'"),
    ],
)  # fmt: skip
def test_other_keys_of_a_recipe_are_told_where_they_are(tmp_path: Path, override: str, expected: str) -> None:
    text = (RECIPES / "distill_small.yaml").read_text(encoding="utf-8").replace("      embedding_dim: 64\n", "")
    (tmp_path / "student.yaml").write_text(text, encoding="utf-8")
    assert expected in refused("generation", tmp_path / "student.yaml", override)
