"""The trainings of a recipe, one after another: each begins where the one before ended, and is done once."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textapp.artifact import Artifact
from textapp.compression.distill import COMPLETE, state_fault, store_answers, student_hooks, taught
from textapp.compression.recipe import (
    Cluster,
    Distill,
    LoadedRecipe,
    Prune,
    QuantizeAware,
    Recipe,
    Step,
    Structure,
    Vocabulary,
    as_data,
    held,
)
from textapp.compression.vocabulary import cut_axes, cut_weights
from textapp.errors import ArtifactError, ConfigError, plural
from textapp.files import write_text
from textapp.recipes.training_run import METRICS, begun, build_under, fit, summary
from textapp.untrusted import read_json

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

    from textapp.compression.kernels import Kernel
    from textapp.objectives.lessons import Lesson
    from textapp.objectives.objective import Objective
    from textapp.prepared import Prepared
    from textapp.tasks.task import Record
    from textapp.training.loop import Hooks
    from textapp.training.trainer import History

log = logging.getLogger("textapp")
EPOCHS = 3  # of a step, unless the recipe says otherwise
STEPS = "steps"  # folder of the trainings, a folder each by its number from 1
CHECKPOINT = "checkpoints/last.npz"  # of a step
MODEL, DONE = "model.keras", "done.json"  # of a step
ANSWERS = "answers"  # of a teacher, in the folder of its step
KEPT = "kept.json"  # what stays of a model, in the folder of its step
EARLIER = "earlier"  # in what is told of a compression: the methods that the run before it was made by


def first_file(recipe: Recipe) -> str:
    """The file of a work folder that is there once there is something to resume."""
    files = {Vocabulary: DONE, Structure: KEPT, Distill: f"{ANSWERS}/{COMPLETE}"}
    return f"{STEPS}/1/{files.get(type(recipe.steps[0]), CHECKPOINT)}"


def check_kernels(recipe: LoadedRecipe, number: int, model: keras.Model) -> None:
    """Checks that a model has what a step for kernels is for.

    Args:
        recipe: the recipe.
        number: of the step, which prunes, clusters or quantizes.
        model: as the step finds it.

    Raises:
        ConfigError: it has not.
    """
    from textapp.compression.kernels import kernels_of, unknown_layer
    from textapp.compression.quantize_aware import quantized_kernels
    from textapp.models.int8_kernels import MIN_QUANTIZED

    step: Any = recipe.recipe.steps[number]
    name = f"steps.{number}"
    if isinstance(step, QuantizeAware):
        if not quantized_kernels(model):
            raise ConfigError(
                f"{recipe.where(f'{name}.method')}: {name}.method: found {step.method} for a model without a matrix of "
                f"at least {MIN_QUANTIZED:,} weights: an int8 file of it quantizes none, so leave the step out"
            )
        return
    unknown = unknown_layer(model, step.layers or [], step.embeddings)
    if unknown:
        key = f"{name}.layers.{unknown[0]}"
        raise ConfigError(f"{recipe.where(key)}: {key}: found {step.layers[unknown[0]]!r}, {unknown[1]}")
    if not kernels_of(model, step.embeddings, step.layers):
        where = recipe.where_step(number)
        raise ConfigError(f"{where}: found no kernel to {step.method} in the model: set embeddings: true")


def earlier_methods(artifact: Artifact) -> list[str]:
    """The methods of the steps that a run was made by, from the first `textapp compress` on, as its figures tell."""
    try:
        made = read_json(artifact.path / METRICS)["compression"]
        methods = [*made.get(EARLIER, []), *(step["method"] for step in made["recipe"]["steps"])]
    except (OSError, ArtifactError, KeyError, TypeError, AttributeError):
        return []
    return [method for method in methods if isinstance(method, str)]


@dataclass(frozen=True)
class Stage:
    """What a step leaves to the next one.

    Attributes:
        prepared: the data, as the model after the step reads them, and its config.
        pieces: of each id of a vocabulary that it cut, the id before.
    """

    prepared: Prepared
    pieces: Sequence[int] = ()


@dataclass
class Compression:
    """The trainings of a recipe, one after another, in a work folder.

    Attributes:
        artifact: the run that they begin with.
        recipe: the recipe.
        stages: the run as it is, and what is after each step.
        objective: of its task.
        strategy: of the variables.
        folder: the new run, in the making.
        unlabelled: further records, for a student.
    """

    artifact: Artifact
    recipe: LoadedRecipe
    stages: Sequence[Stage]
    objective: Objective
    strategy: tf.distribute.Strategy
    folder: Path
    unlabelled: Sequence[Record] = ()

    def __post_init__(self) -> None:
        self.steps: list[Any] = self.recipe.recipe.steps
        self.earlier = earlier_methods(self.artifact)
        self.lessons: dict[int, Lesson] = {}  # of the steps that learn from the model before them
        self.batches: list[int] = []  # of an epoch, for each step
        for before, after in pairwise(self.stages):
            same = bool(self.batches) and after.prepared is before.prepared
            self.batches.append(self.batches[-1] if same else self.objective.batches(after.prepared).plan(0).steps)

    def prepared(self, number: int) -> Prepared:
        """The data of a stage, with the keys of training of the step before it."""
        prepared = self.stages[number].prepared
        if not number:
            return prepared
        return replace(prepared, config=prepared.config.model_copy(update={"training": self._training(number - 1)}))

    def run(self) -> tuple[keras.Model, History, dict[str, Any]]:
        """The compressed model, the epochs of the last training, and what was done."""
        from textapp.compression.size import sizes
        from textapp.models.saving import load_float32

        with self.strategy.scope():  # a teacher may compute in the steps of a training
            model = load_float32(self.artifact.path / MODEL)
        self._check(model)
        (self.folder / STEPS).mkdir(exist_ok=True)  # goes at the end, with what a killed process left in it
        before = {"sizes": sizes(model, self.artifact.path / MODEL), **self._quality(model)}
        steps = []
        for number, step in enumerate(self.steps):
            log.info("step %d of %d: %s", number + 1, len(self.steps), step.method)
            model, row = self._step(number, model)
            steps.append({"method": step.method, **row})
        done = {"recipe": as_data(self.recipe.recipe), EARLIER: self.earlier, "before": before, "steps": steps}
        return model, _history(steps[-1]), {**done, "sizes": sizes(model, self.last_file)}

    @property
    def last_file(self) -> Path:
        """The model after the last step."""
        return self.folder / STEPS / str(len(self.steps)) / MODEL

    def _training(self, number: int) -> Any:
        """The keys of training of a step."""
        step, given = self.steps[number], self.recipe.recipe.training
        config = self.stages[number + 1].prepared.config.training
        if isinstance(step, (Distill, Vocabulary)):
            return config  # that of a new run, with the epochs and the learning rate of the step
        own = given.model_fields_set
        epochs = step.epochs or given.epochs or EPOCHS
        rate = step.learning_rate or given.learning_rate or config.learning_rate * 0.5
        updates = self.batches[number] * epochs // config.gradient_accumulation_steps
        warmup = config.warmup_steps if "warmup_steps" in own else min(config.warmup_steps, updates // 10)
        update = {"epochs": epochs, "learning_rate": rate, "warmup_steps": warmup}
        if not isinstance(step, (Prune, Structure)):
            update["average_checkpoints"] = 0  # the mean of clustered weights is not clustered, or off the int8 grid
        return config.model_copy(update=update)

    def _updates(self, number: int) -> int:
        """The updates of the training of a step."""
        training = self._training(number)
        return self.batches[number] * training.epochs // training.gradient_accumulation_steps

    def _check(self, model: keras.Model) -> None:
        """Checks that the run and the recipe go together.

        Args:
            model: of the run.
        """
        for number in range(len(self.steps)):
            model = self._checked(number, model)

    def _checked(self, number: int, before: keras.Model) -> keras.Model:
        """The model after a step, not trained, if the step fits the one before it."""
        step, stage, model = self.steps[number], self.stages[number + 1], before
        if isinstance(step, (Distill, Structure, Vocabulary)):
            model = self.objective.build_inference(stage.prepared)
        if isinstance(step, Vocabulary):
            shapes = ([each.shape for each in one.weights] for one in (before, model))
            cut_axes(*shapes, stage.pieces, where=self.recipe.where_step(number))
        elif isinstance(step, Distill):
            self._check_student(step, before, model)
        elif isinstance(step, Structure) and step.teacher:
            self.lessons[number] = self.objective.lesson(stage.prepared)
        elif isinstance(step, (QuantizeAware, Step)):
            check_kernels(self.recipe, number, model)
        if isinstance(step, Prune):
            from textapp.compression.prune import make_schedule

            make_schedule(step, self._updates(number), self.recipe.where_step(number))
        if getattr(step, "hidden_states", None) is not None:
            fault = state_fault(self.lessons[number], before, model)
            if fault is not None:
                key = f"steps.{number}.hidden_states"
                raise ConfigError(f"{self.recipe.where(key)}: {key}: found {step.hidden_states:g}, but {fault}")
        return model

    def _check_student(self, step: Distill, teacher: keras.Model, student: keras.Model) -> None:
        """Checks that a student can learn from its teacher.

        Raises:
            ConfigError: it is larger than its teacher, has options that its lesson has no use for, or is a preset with
                another vocabulary.
        """
        found, most = student.count_params(), teacher.count_params()
        where = self.recipe.where("steps.0.model")
        if found > most:
            raise ConfigError(
                f"{where}: steps.0.model: found a student of {found:,} parameters, expected at most the {most:,} of "
                f"its teacher, {self.artifact.path}: take a smaller model"
            )
        lesson = self.lessons[0] = self.objective.lesson(self.stages[1].prepared, self.unlabelled)
        for name in () if lesson.mixes else ("temperature", "alpha"):
            if getattr(step, name) is not None:
                raise ConfigError(
                    f"{self.recipe.where(f'steps.0.{name}')}: steps.0.{name}: found {getattr(step, name):g}, but this "
                    "student learns from the texts that its teacher writes, which take the place of the targets: leave "
                    "it out"
                )

    def _quality(self, model: keras.Model) -> dict[str, Any]:
        """The measures of the task on validation and test."""
        prepared = self.objective.settled(self.stages[0].prepared, model)
        found = {}
        for name, records in (("validation", prepared.splits.validation), ("test", prepared.splits.test)):
            if records:
                figures = self.objective.figures(prepared, model, records)
                found[name] = {key: figures[key] for key in prepared.task.measures if key in figures}
                shown = {**figures, "data": prepared.splits.origin[name]}
                log.info("before, %s", summary(name, shown, prepared.task.measures))
        return found

    def _step(self, number: int, before: keras.Model) -> tuple[keras.Model, dict[str, Any]]:
        """The model after a step, and its figures; those of a step that is done already are read back."""
        from textapp.models.saving import load_model

        folder = self.folder / STEPS / str(number + 1)
        if (folder / DONE).is_file():
            return load_model(folder / MODEL), json.loads((folder / DONE).read_text(encoding="utf-8"))
        folder.mkdir(parents=True, exist_ok=True)
        step = self.steps[number]
        if isinstance(step, Distill):
            model, history, about = self._student(step, before, folder)
        elif isinstance(step, Vocabulary):
            model, history, about = self._cut(number, before)
        elif isinstance(step, Structure):
            model, history, about = self._smaller(number, before, folder)
        else:
            prepared, hooks = self.prepared(number + 1), partial(self._hooks, number)
            model, history = fit(prepared, self.objective, folder, self.strategy, hooks, before.get_weights())
            about = {"kernels": self._kernels(number, model)}
        row = {"history": history.epochs, "monitor": history.monitor, "average": history.average, **about}
        model.save(folder / MODEL)
        write_text(folder / DONE, json.dumps(row))
        return model, row

    def _student(
        self, step: Distill, teacher: keras.Model, folder: Path
    ) -> tuple[keras.Model, History, dict[str, Any]]:
        """The student after its training, and what is told of the two."""
        lesson, source, prepared = self.lessons[0], self.prepared(0), self.prepared(1)
        stored = store_answers(self.objective.lesson(source, self.unlabelled), teacher, folder / ANSWERS)
        objective = taught(self.objective, lesson, step, stored, teacher)
        model, history = fit(prepared, objective, folder, self.strategy, student_hooks(step))
        run = {"run": self.artifact.path.resolve().name}
        pairs = (("teacher", source, teacher), ("student", prepared, model))
        return model, history, {
            name: {
                **(run if name == "teacher" else {}),
                "architecture": data.config.model.architecture,
                "parameters": each.count_params(),
            }
            for name, data, each in pairs
        } | {"answers": lesson.rows, "unlabelled": len(self.unlabelled)}  # fmt: skip

    def _cut(self, number: int, before: keras.Model) -> tuple[keras.Model, History, dict[str, Any]]:
        """The model for the smaller vocabulary."""
        stage = self.stages[number + 1]
        model = self.objective.build_inference(stage.prepared)
        shapes = [weight.shape for weight in model.weights]
        model.set_weights(cut_weights(before.get_weights(), shapes, stage.pieces))
        pieces = {"before": self.stages[number].prepared.task.tokenizer.vocabulary_size, "after": len(stage.pieces)}
        return model, _history({"monitor": "loss", "history": [], "average": None}), {"pieces": pieces}

    def _smaller(self, number: int, teacher: keras.Model, folder: Path) -> tuple[keras.Model, History, dict[str, Any]]:
        """The model without the units, heads and layers of the least importance, after its training."""
        from textapp.compression import structure

        step, source, prepared = self.steps[number], self.prepared(number), self.prepared(number + 1)
        objective, weights = self.objective, teacher.get_weights()
        before = build_under(lambda: begun(source, objective, weights), "float32")  # as its config describes it
        found = structure.anatomy(before)
        kept = structure.stored_kept(folder / KEPT)
        if kept is None:
            log.info("structure: importance by %s", plural(step.examples, "example"))
            batches, loss = objective.batches(source), objective.loss(source)
            importance = structure.importance(before, found, batches, loss, step.examples)
            kept = structure.choose(found, importance, structure.anatomy(objective.build_inference(prepared)))
            structure.store_kept(kept, folder / KEPT)
        weights = structure.kept_weights(before, found, kept)
        if step.teacher:
            stored = store_answers(objective.lesson(source), teacher, folder / ANSWERS)
            objective = taught(objective, self.lessons[number], step, stored, teacher)
        model, history = fit(prepared, objective, folder, self.strategy, student_hooks(step), weights)
        return model, history, structure.told(found, kept)

    def _hooks(self, number: int, model: keras.Model) -> Hooks:
        from textapp.compression.cluster import clustering_hooks
        from textapp.compression.kernels import kernels_of
        from textapp.compression.prune import keeping_zeros, pruning_hooks
        from textapp.compression.quantize_aware import quantized_kernels, quantizing_hooks

        step = self.steps[number]
        pruned = "prune" in held([*self.earlier, *(earlier.method for earlier in self.steps[:number])])
        own: list[Kernel] = []  # whose zeros the hooks of the step see to
        if isinstance(step, QuantizeAware):
            hooks, own = quantizing_hooks(model, pruned), [each.kernel for each in quantized_kernels(model)]
        elif isinstance(step, Cluster):
            own = kernels_of(model, step.embeddings, step.layers)
            hooks = clustering_hooks(step, model, own, pruned if step.keep_zeros is None else step.keep_zeros)
        else:
            kernels = kernels_of(model, step.embeddings, step.layers)
            hooks = pruning_hooks(step, kernels, self._updates(number))
        if not pruned:
            return hooks
        seen_to = {id(kernel.variable) for kernel in own}
        kernels = kernels_of(model, embeddings=True)
        return keeping_zeros(hooks, [kernel for kernel in kernels if id(kernel.variable) not in seen_to])

    def _kernels(self, number: int, model: keras.Model) -> list[dict[str, Any]]:
        """What a step made of each kernel."""
        import numpy as np

        from textapp.compression.kernels import kernels_of
        from textapp.compression.prune import remainder
        from textapp.compression.quantize_aware import quantized_kernels

        step, rows = self.steps[number], []
        quantized = quantized_kernels(model) if isinstance(step, QuantizeAware) else []
        kernels = [each.kernel for each in quantized] or kernels_of(model, step.embeddings, step.layers)
        for index, kernel in enumerate(kernels):
            weights = np.asarray(kernel.variable)
            row: dict[str, Any] = {
                "name": kernel.name,
                "weights": int(weights.size),
                "zeros": int(np.sum(weights == 0)),
            }
            if quantized:
                row["scales"] = quantized[index].scales
            elif isinstance(step, Prune):
                row["remainder"] = remainder(step, kernel)
                if row["remainder"]:
                    log.warning(
                        "%s: its last %d of %d inputs fill no group of %d, and may have fewer zeros",
                        kernel.name, row["remainder"], kernel.view_shape[0], step.m_by_n[1],
                    )  # fmt: skip
            else:
                row["distinct"] = len(np.unique(weights))
            rows.append(row)
        return rows


def _history(row: Mapping[str, Any]) -> History:
    from textapp.training.trainer import History

    return History(row["monitor"], row["history"], row["average"])
