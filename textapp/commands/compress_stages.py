"""What each step of a recipe leaves to the next one: the data as the model after it reads them, and its config."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from textapp.artifact import Artifact
from textapp.catalog import recipe_of_manifest
from textapp.commands.students import prepared_student, student_config
from textapp.compression.recipe import Distill, LoadedRecipe, Structure, Vocabulary
from textapp.compression.shrunk import smaller_model
from textapp.compression.trainings import MODEL, Stage, check_kernels
from textapp.compression.vocabulary import cut_tokenizer
from textapp.config import Config, PresetModel
from textapp.prepared import Prepared
from textapp.recipes.recipe import Recipe
from textapp.recipes.resolving import locate
from textapp.records.files import expand


@dataclass(frozen=True)
class Stages:
    """Makes the stages of a recipe, before anything is trained: an error in a late step is told at once.

    Attributes:
        task: of the run.
        recipe: the recipe.
        data_dir: base folder of relative paths.
        folder: the new run, with a copy of the tokenizers of the run; a cut one takes its place.
    """

    task: Recipe
    recipe: LoadedRecipe
    data_dir: Path
    folder: Path

    def of(self, prepared: Prepared) -> list[Stage]:
        """The run as it is, and what is after each step.

        Args:
            prepared: the data as the run reads them, its config with the recipe's keys of training.

        Raises:
            ConfigError: a step does not fit the model before it.
            DataError: a file that it names cannot be read.
        """
        return [Stage(prepared), *self._after(prepared)]

    def _after(self, prepared: Prepared) -> Iterator[Stage]:
        for number, step in enumerate(self.recipe.recipe.steps):
            before: list[int] = []
            if isinstance(step, Distill):
                config = student_config(prepared.config, self.recipe, step)
                prepared = prepared_student(self.task, config, prepared, self.data_dir, self.folder)
            elif isinstance(step, Vocabulary):
                splits, files = prepared.splits, expand(step.texts or [], self.data_dir)
                records = [*splits.train, *splits.validation]
                before = cut_tokenizer(step, self.folder, records, files, self.recipe.where_step(number))
                read = self.task.prepare(locate(prepared.config, self.data_dir), splits, self.folder)
                prepared = replace(read, lengths_given=prepared.lengths_given)
            elif isinstance(step, Structure):
                prepared = replace(prepared, config=_smaller(self.task, self.recipe, prepared.config, number))
            yield Stage(prepared, before)


def check_fits(artifact: Artifact, config: Config, recipe: LoadedRecipe) -> None:
    """Checks that a recipe fits a run, as far as that is known without its data.

    Args:
        artifact: the run.
        config: that it was trained with.
        recipe: the recipe.

    Raises:
        ConfigError: it does not.
    """
    from textapp.models.saving import load_float32

    task, model = recipe_of_manifest(artifact.manifest), load_float32(artifact.path / MODEL)
    for number, step in enumerate(recipe.recipe.steps):
        if isinstance(step, Distill):
            student_config(config, recipe, step)
        elif isinstance(step, Structure):
            _smaller(task, recipe, config, number)
        if isinstance(step, (Distill, Structure)):
            return  # of the model after it nothing is known
        if not isinstance(step, Vocabulary):
            check_kernels(recipe, number, model)


def _smaller(task: Recipe, recipe: LoadedRecipe, config: Config, number: int) -> Config:
    """The config of the model that a step rebuilds smaller."""
    step, model, sizes = recipe.recipe.steps[number], config.model, None
    if isinstance(model, PresetModel) and task.keys.role in ("encoder", "reader"):
        from textapp.models.preset import sizes_of

        sizes: Mapping[str, int] = sizes_of(model)
    return config.model_copy(update={"model": smaller_model(model, step, recipe.where, sizes, f"steps.{number}")})
