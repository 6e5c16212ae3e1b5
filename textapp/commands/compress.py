"""`textapp compress`: makes a smaller run from a run by a recipe; resumes an interrupted compression."""

from __future__ import annotations

import json
import logging
import os
import shutil
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import textapp
from textapp.artifact import TARGET_TOKENIZER, TOKENIZER, Artifact, check_no_input, open_artifact
from textapp.catalog import load_config, parse_config, recipe_of
from textapp.commands import tables
from textapp.commands.train import REQUEST, changed, checksums, disk_errors_reported, enter, put_in_place, replaces_run
from textapp.compression.recipe import LoadedRecipe, Prune, Step, as_data, load_recipe
from textapp.config import Config, data_directory
from textapp.config.reading import differing_entry
from textapp.errors import ArtifactError, ConfigError, UsageError
from textapp.folders import WorkFolder, resolved, write_text
from textapp.noise import import_tensorflow
from textapp.recipes.resolving import locate
from textapp.recipes.splits import load_splits, settled_layout
from textapp.recipes.training_run import METRICS, finish, fit, summary

if TYPE_CHECKING:
    import keras
    import numpy as np
    import tensorflow as tf

    from textapp.objectives.objective import Objective
    from textapp.prepared import Prepared
    from textapp.training.loop import Hooks
    from textapp.training.trainer import History

log = logging.getLogger("textapp")
EPOCHS = 3  # of a step, unless the recipe says otherwise
STEPS = "steps"  # folder of the trainings, a folder each by its number from 1
FIRST = f"{STEPS}/1/checkpoints/last.npz"  # is there once there is something to resume
MODEL, DONE = "model.keras", "done.json"  # of a step
HONEST = (
    "zeros and shared values make the packed file smaller; a .tflite file runs no faster by them "
    "(docs/compression.md says what does)"
)


def compress(
    run: Path,
    recipe_path: Path,
    overrides: Sequence[str] = (),
    new_run: str | None = None,
    data_dir: Path | None = None,
    overwrite: bool = False,
    as_json: bool = False,
) -> Path:
    """Makes a new run from a run, by the steps of a recipe, each a training on the run's own data.

    Args:
        run: the run folder.
        recipe_path: the YAML of the recipe.
        overrides: `key=value` pairs that replace keys of the recipe.
        new_run: the new run folder; None: the name of the run, a dash and that of the recipe.
        data_dir: base folder of relative data paths.
        overwrite: replace a finished or interrupted run; files in it that textapp did not make stay.
        as_json: print JSON.

    Returns:
        The new run folder.

    Raises:
        ArtifactError: this is no run, or it does not go with this version or with the data; or as for `train`.
        ConfigError: the recipe has a fault, or does not fit the model.
        UsageError: the folder of the new run is not a run, cannot be written, or is that of the run.
        DataError: the data cannot be read.
    """
    recipe = load_recipe(recipe_path, overrides)
    artifact = open_artifact(run)
    if artifact.kind != "run":
        raise ArtifactError(f"{run}: found a bundle, expected a run folder: compress the run that it came from")
    if "TF_CONFIG" in os.environ:
        raise UsageError("TF_CONFIG: found several workers, but a run is compressed by one: unset it")
    name = new_run or f"{str(run).rstrip('/')}-{Path(recipe_path).stem}"
    config = _config_of(artifact, recipe, name)
    with tables.stdout_for_json(as_json):
        made = _compress(
            artifact, recipe, config, data_directory(data_dir, artifact.manifest.get("data_dir")), overwrite
        )
    metrics = json.loads((made / METRICS).read_text(encoding="utf-8"))
    result = {"path": str(made), **metrics["compression"], "after": _after(metrics)}
    measures = recipe_of(config.task, config.mode).task.measures
    tables.emit(result, as_json, lambda console: _show(console, result, measures))
    return made


def _compress(artifact: Artifact, recipe: LoadedRecipe, config: Config, data_dir: Path, overwrite: bool) -> Path:
    final = Path(os.path.expanduser(config.run))
    place = resolved(final)
    if place == resolved(artifact.path):
        raise UsageError(f"--run {final}: is the run to compress itself: name another folder")
    replaces = replaces_run(final, overwrite)
    work = WorkFolder(place, "compression", keeps=FIRST)
    with ExitStack() as stack:
        enter(stack, work, overwrite)
        # Before the import of TensorFlow, which takes seconds, so that errors in the data are reported at once.
        task = recipe_of(config.task, config.mode)
        sums = checksums(config, data_dir)
        check_no_input(place, map(Path, sums))
        _warn_of_other_data(artifact, sums)
        layout = settled_layout(task, config, data_dir)
        splits = load_splits(task, config, data_dir, layout)
        import_tensorflow()
        from textapp.training.strategy import make_strategy

        strategy = make_strategy(config.training.device)
        started = time.perf_counter()
        with disk_errors_reported(work):
            _open_work(artifact, recipe, config, sums, work, overwrite)
            prepared = task.prepare(locate(config, data_dir), splits, work.new)
            lengths_given = artifact.manifest.get("lengths_from") == "config"
            prepared = replace(prepared, lengths_given=lengths_given)
            compression = _Compression(artifact, recipe, prepared, task.objective(), strategy, work.new)
            model, history, done = compression.run()
            seconds = time.perf_counter() - started
            parent = {"run": artifact.path.resolve().name, "sha256": artifact.manifest["files"][MODEL]}
            settings = compression.settings[-1]
            finish(
                replace(prepared, config=prepared.config.model_copy(update={"training": settings})),
                compression.objective, model, history, work.new, layout, data_dir, seconds, parent, done,
            )  # fmt: skip
            shutil.rmtree(work.new / STEPS)
        put_in_place(work, final, replaces)
    return final


# --- before the trainings ------------------------------------------------------------------------------------------


def _config_of(artifact: Artifact, recipe: LoadedRecipe, run: str) -> Config:
    """The config of the new run: that of the run, with the recipe's keys of training."""
    source = artifact.path / "config.yaml"
    try:
        config = load_config(source).model_dump(mode="json")
    except ConfigError as error:
        by = artifact.manifest.get("versions", {}).get("textapp", "another version")
        raise ArtifactError(
            f"{artifact.path}: was trained by textapp {by}, and its config is none of this version, "
            f"{textapp.__version__}: train it again, or use the version that made it:\n{error}"
        ) from error
    if config["training"]["epochs"] == 0:
        raise ArtifactError(
            f"{artifact.path}: is a preset as it is (training.epochs: 0), and to compress is to go on training: "
            "train it on examples first"
        )
    own = recipe.recipe.training.model_dump(mode="json", exclude_unset=True)
    training = {**config["training"], "patience": 0, **own}
    for one, other in (("batch_size", "batch_tokens"), ("batch_tokens", "batch_size")):
        if one in own and other not in own:
            training[other] = None
    return parse_config({**config, "run": run, "training": training}, recipe.where("training"))


def _warn_of_other_data(artifact: Artifact, sums: Mapping[str, str]) -> None:
    """Warns if the data is not as it was when the run was trained, as far as that is known."""
    try:
        before = json.loads((artifact.path / REQUEST).read_text(encoding="utf-8"))["data"]
        found = changed(before, sums)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return
    if found:
        log.warning("%s: the quality before and after is that on the data as it is now", found)


def _open_work(
    artifact: Artifact, recipe: LoadedRecipe, config: Config, sums: Mapping[str, str], work: WorkFolder, overwrite: bool
) -> None:
    """Clears the folder of the compression, or goes on in that of an interrupted one of the same run and recipe."""
    request = work.new / REQUEST
    content = {
        "run": artifact.manifest["files"][MODEL],
        "recipe": as_data(recipe.recipe),
        "config": config.model_dump(mode="json"),
        "data": dict(sums),
    }
    if (work.new / FIRST).is_file() and not overwrite:
        try:
            before = json.loads(request.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ArtifactError(f"{request}: missing or damaged ({error}): use --overwrite to start again") from error
        found = changed(before["data"], sums)
        key = differing_entry({**before, "data": None}, {**content, "data": None})
        if found or key:
            raise ArtifactError(
                f"{work.path}: {found or f'was started with another run or recipe, {key!r} differs'}: use those it was "
                "started with to resume it, or --overwrite to start again"
            )
        log.info("resuming %s", work.path)
        return
    work.clear()
    for folder in (TARGET_TOKENIZER, TOKENIZER):
        if (artifact.path / folder).is_dir():
            shutil.copytree(artifact.path / folder, work.new / folder)
    request.parent.mkdir()
    write_text(request, json.dumps(content, ensure_ascii=False))


# --- the trainings -------------------------------------------------------------------------------------------------


@dataclass
class _Compression:
    """The trainings of a recipe, one after another, in a work folder.

    Attributes:
        artifact: the run that they begin with.
        recipe: the recipe.
        prepared: the data of the run.
        objective: of its task.
        strategy: of the variables.
        folder: the new run, in the making.
    """

    artifact: Artifact
    recipe: LoadedRecipe
    prepared: Prepared
    objective: Objective
    strategy: tf.distribute.Strategy
    folder: Path

    def __post_init__(self) -> None:
        self.steps: list[Any] = self.recipe.recipe.steps
        self.batches = self.objective.batches(self.prepared).plan(0).steps
        self.settings = [self._training(step) for step in self.steps]

    def run(self) -> tuple[keras.Model, History, dict[str, Any]]:
        """The compressed model, the epochs of the last training, and what was done."""
        from textapp.compression.size import sizes
        from textapp.models.saving import load_float32

        model = load_float32(self.artifact.path / MODEL)
        self._check(model)
        before = {"sizes": sizes(model, self.folder), **self._quality(model)}
        steps = []
        for number, step in enumerate(self.steps):
            log.info("step %d of %d: %s", number + 1, len(self.steps), step.method)
            model, row = self._step(number, model.get_weights())
            steps.append({"method": step.method, **row})
        done = {"recipe": as_data(self.recipe.recipe), "before": before, "steps": steps}
        return model, _history(steps[-1]), {**done, "sizes": sizes(model, self.folder)}

    def _training(self, step: Step) -> Any:
        """The keys of training of a step."""
        config, own = self.prepared.config.training, self.recipe.recipe.training.model_fields_set
        epochs = step.epochs or (config.epochs if "epochs" in own else EPOCHS)
        rate = step.learning_rate or config.learning_rate * (1 if "learning_rate" in own else 0.5)
        updates = self.batches * epochs // config.gradient_accumulation_steps
        warmup = config.warmup_steps if "warmup_steps" in own else min(config.warmup_steps, updates // 10)
        update = {"epochs": epochs, "learning_rate": rate, "warmup_steps": warmup}
        if not isinstance(step, Prune):
            update["average_checkpoints"] = 0  # the mean of clustered weights is not clustered
        return config.model_copy(update=update)

    def _check(self, model: keras.Model) -> None:
        """Checks that the run, the data and the recipe go together."""
        from textapp.compression.kernels import kernels_of, unknown_layer

        found, expected = self.objective.manifest(self.prepared).get("labels"), self.artifact.manifest.get("labels")
        if found != expected:
            raise ArtifactError(
                f"{self.artifact.path}: was trained on the labels {', '.join(expected or ())}, but the data has "
                f"{', '.join(found or ())}: use the data that it was trained on"
            )
        for number, step in enumerate(self.steps):
            unknown = unknown_layer(model, step.layers or [], step.embeddings)
            if unknown:
                key = f"steps.{number}.layers.{unknown[0]}"
                found_name = step.layers[unknown[0]]
                raise ConfigError(f"{self.recipe.where(key)}: {key}: found {found_name!r}, {unknown[1]}")
            if not kernels_of(model, step.embeddings, step.layers):
                where = f"{self.recipe.where(f'steps.{number}')}: steps.{number}"
                raise ConfigError(f"{where}: found no kernel to {step.method} in the model: set embeddings: true")

    def _quality(self, model: keras.Model) -> dict[str, Any]:
        """The measures of the task on validation and test."""
        prepared = self.objective.settled(self.prepared, model)
        found = {}
        for name, records in (("validation", prepared.splits.validation), ("test", prepared.splits.test)):
            if records:
                figures = self.objective.figures(prepared, model, records)
                found[name] = {key: figures[key] for key in prepared.task.measures if key in figures}
                shown = {**figures, "data": prepared.splits.origin[name]}
                log.info("before, %s", summary(name, shown, prepared.task.measures))
        return found

    def _step(self, number: int, weights: Sequence[np.ndarray]) -> tuple[keras.Model, dict[str, Any]]:
        """The model after a step, and its figures; those of a step that is done already are read back."""
        from textapp.models.saving import load_model

        folder = self.folder / STEPS / str(number + 1)
        if (folder / DONE).is_file():
            return load_model(folder / MODEL), json.loads((folder / DONE).read_text(encoding="utf-8"))
        folder.mkdir(parents=True, exist_ok=True)
        config = self.prepared.config.model_copy(update={"training": self.settings[number]})
        prepared = replace(self.prepared, config=config)
        model, history = fit(
            prepared, self.objective, folder, self.strategy, lambda model: self._hooks(number, model), weights
        )
        row = {"history": history.epochs, "monitor": history.monitor, "average": history.average}
        row["kernels"] = self._kernels(number, model)
        model.save(folder / MODEL)
        write_text(folder / DONE, json.dumps(row))
        return model, row

    def _hooks(self, number: int, model: keras.Model) -> Hooks:
        from textapp.compression.cluster import clustering_hooks
        from textapp.compression.kernels import kernels_of
        from textapp.compression.prune import pruning_hooks

        step, training = self.steps[number], self.settings[number]
        kernels = kernels_of(model, step.embeddings, step.layers)
        if isinstance(step, Prune):
            return pruning_hooks(step, kernels, self.batches * training.epochs // training.gradient_accumulation_steps)
        keep_zeros = step.keep_zeros
        if keep_zeros is None:
            keep_zeros = any(isinstance(earlier, Prune) for earlier in self.steps[:number])
        return clustering_hooks(step, model, kernels, keep_zeros)

    def _kernels(self, number: int, model: keras.Model) -> list[dict[str, Any]]:
        """What a step made of each kernel."""
        import numpy as np

        from textapp.compression.kernels import kernels_of
        from textapp.compression.prune import remainder

        step, rows = self.steps[number], []
        for kernel in kernels_of(model, step.embeddings, step.layers):
            weights = np.asarray(kernel.variable)
            row: dict[str, Any] = {
                "name": kernel.name,
                "weights": int(weights.size),
                "zeros": int(np.sum(weights == 0)),
            }
            if isinstance(step, Prune):
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


# --- the summary ---------------------------------------------------------------------------------------------------


def _after(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Sizes and quality of the new run, with the keys of `before`."""
    compression = metrics["compression"]
    measured = {
        name: {key: metrics[name][key] for key in figures}
        for name, figures in compression["before"].items()
        if name != "sizes"
    }
    return {"sizes": compression["sizes"], **measured}


def _show(console: Any, result: Mapping[str, Any], measures: Mapping[str, str]) -> None:
    before, after = result["before"], result["after"]
    names = {
        "parameters": "parameters", "nonzero": "not zero", "file_bytes": "model.keras, bytes",
        "gzip_bytes": "model.keras as gzip, bytes",
    }  # fmt: skip
    rows = [[title, f"{before['sizes'][key]:,}", f"{after['sizes'][key]:,}"] for key, title in names.items()]
    for split in ("validation", "test"):
        for key in before.get(split, {}):
            rows.append([f"{split}: {measures[key]}", f"{before[split][key]:.2f}", f"{after[split][key]:.2f}"])
    console.print(tables.table(None, ["", "before", "after"], rows))
    tables.line(console, HONEST)
    tables.line(console, f"run: {result['path']}")
