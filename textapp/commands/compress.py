"""`textapp compress`: makes a smaller run from a run by a recipe; resumes an interrupted compression."""

from __future__ import annotations

import json
import logging
import os
import shutil
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import textapp
from textapp.artifact import REQUEST, TARGET_TOKENIZER, TOKENIZER, Artifact, check_no_input, open_artifact, sha256
from textapp.catalog import load_config, parse_config, recipe_of_manifest
from textapp.commands import tables
from textapp.commands.compress_stages import Stages
from textapp.commands.examples import check_labels, warn_of_other_data
from textapp.commands.students import unlabelled_records
from textapp.commands.train import changed, checksums, disk_errors_reported, enter, put_in_place, replaces_run
from textapp.compression.recipe import LoadedRecipe, as_data, in_this_order, load_recipe, undone
from textapp.compression.trainings import MODEL, STEPS, Compression, earlier_methods, first_file
from textapp.config import Config, data_directory
from textapp.config.reading import differing_entry
from textapp.config.yaml_text import Place
from textapp.errors import ArtifactError, ConfigError, UsageError
from textapp.files import resolved, write_text
from textapp.folders import WorkFolder
from textapp.noise import import_tensorflow
from textapp.recipes.resolving import locate
from textapp.recipes.splits import load_splits, settled_layout
from textapp.recipes.training_run import METRICS, finish
from textapp.records.files import expand
from textapp.untrusted import read_json

log = logging.getLogger("textapp")
TEXTS = "texts"  # in the request of a compression: further files that its steps read
NO_SMALLER = "the packed file did not become smaller"
HONEST = (
    "zeros and shared values make the packed file smaller; a .tflite file runs no faster by them "
    "(docs/compression.md says what does)"
)
STUDENT = (
    "a student is a smaller model: textapp export and textapp benchmark tell how much faster its file is than that of "
    "its teacher"
)
CUT = (
    "a smaller vocabulary makes the file smaller, not faster; text unlike the run's own takes more tokens, so look at "
    "the quality on test"
)
SMALLER = (
    "a model of fewer units, heads or layers has less to compute: textapp export and textapp benchmark tell how much "
    "faster its file is than that of the run"
)
QUANTIZED = (
    "the weights are those of an int8 file, which textapp export --quantize dynamic writes; model.keras holds them in "
    "float32"
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
    artifact = open_artifact(run, "a run folder")
    if artifact.kind != "run":
        raise ArtifactError(f"{run}: found a bundle, expected a run folder: compress the run that it came from")
    if "TF_CONFIG" in os.environ:
        raise UsageError("TF_CONFIG: found several workers, but a run is compressed by one: unset it")
    of_run = config_of_run(artifact)
    if of_run.data.prepared is not None:
        raise UsageError(
            f"{run}: was trained from a prepared folder (data.prepared), expected a run that was trained from texts, "
            "which the steps of a recipe read: train it from texts"
        )
    name = new_run or f"{str(run).rstrip('/')}-{Path(recipe_path).stem}"
    config = _config_of(artifact, of_run, recipe, name)
    with tables.stdout_for_json(as_json):
        made = _compress(
            artifact, recipe, config, data_directory(data_dir, artifact.manifest.get("data_dir")), overwrite
        )
    metrics = json.loads((made / METRICS).read_text(encoding="utf-8"))
    result = {"path": str(made), **metrics["compression"], "after": _after(metrics)}
    measures = recipe_of_manifest(artifact.manifest).task.measures
    tables.emit(result, as_json, lambda console: _show(console, result, measures))
    return made


def _compress(artifact: Artifact, recipe: LoadedRecipe, config: Config, data_dir: Path, overwrite: bool) -> Path:
    final = Path(os.path.expanduser(config.run))
    place = resolved(final)
    if place == resolved(artifact.path):
        raise UsageError(f"--run {final}: is the run to compress itself: name another folder")
    replaces = replaces_run(final, overwrite)
    work = WorkFolder(place, "compression", keeps=first_file(recipe.recipe), overwrite=overwrite)
    with ExitStack() as stack:
        enter(stack, work, overwrite)
        # Before the import of TensorFlow, which takes seconds, so that errors in the data are reported at once.
        task = recipe_of_manifest(artifact.manifest)
        sums = checksums(config, data_dir)
        more = {str(file): sha256(file) for texts in recipe.recipe.texts for file in expand(texts, data_dir)}
        check_no_input(place, map(Path, [*sums, *more]))
        warn_of_other_data(artifact.path, sums)
        _warn_of_undone(artifact, recipe)
        layout = settled_layout(task, config, data_dir)
        splits = load_splits(task, config, data_dir, layout)
        check_labels(artifact, task.labels(splits.train), every=True)
        unlabelled = unlabelled_records(task, recipe, layout, data_dir)
        import_tensorflow()
        from textapp.training.strategy import make_strategy

        strategy = make_strategy(config.training.device, config.training.xla)
        started = time.perf_counter()
        with disk_errors_reported(work):
            _open_work(artifact, recipe, config, sums, more, work, overwrite)
            prepared = task.prepare(locate(config, data_dir), splits, work.new)
            prepared = replace(prepared, lengths_given=artifact.manifest.get("lengths_from") == "config")
            stages = Stages(task, recipe, data_dir, work.new).of(prepared)
            compression = Compression(artifact, recipe, stages, task.objective(), strategy, work.new, unlabelled)
            model, history, done = compression.run()
            seconds = time.perf_counter() - started
            parent = {"run": artifact.path.resolve().name, "sha256": artifact.manifest["files"][MODEL]}
            finish(
                compression.prepared(len(stages) - 1), compression.objective, model, history, work.new, layout,
                data_dir, seconds, parent, done, compression.last_file,
            )  # fmt: skip
            shutil.rmtree(work.new / STEPS)
        put_in_place(work, final, replaces)
    return final


# --- before the trainings ------------------------------------------------------------------------------------------


def config_of_run(artifact: Artifact) -> Config:
    """The config of a run, whose training goes on; warns if another version trained it.

    Raises:
        ArtifactError: it is none of this version.
    """
    by = artifact.manifest.get("versions", {}).get("textapp", "another version")
    try:
        config = load_config(artifact.path / "config.yaml")
    except ConfigError as error:
        raise ArtifactError(
            f"{artifact.path}: was trained by textapp {by}, and its config is none of this version, "
            f"{textapp.__version__}: train it again, or use the version that made it:\n{error}"
        ) from error
    if by != textapp.__version__:
        log.warning(
            "%s: was trained by textapp %s, and this is %s: what its config leaves open may have another meaning now, "
            "so compare the quality before with that of its training",
            artifact.path, by, textapp.__version__,
        )  # fmt: skip
    return config


def _config_of(artifact: Artifact, of_run: Config, recipe: LoadedRecipe, run: str) -> Config:
    """The config of the new run: that of the run, with the recipe's keys of training."""
    config = of_run.model_dump(mode="json")
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
    places = {f"training.{key}": Place(recipe.where(f"training.{key}")) for key in own}
    return parse_config({**config, "run": run, "training": training}, recipe.where("training"), places)


def _warn_of_undone(artifact: Artifact, recipe: LoadedRecipe) -> None:
    """Warns if a step undoes what the run was made by: within a recipe it would be refused."""
    methods = [step.method for step in recipe.recipe.steps]
    for earlier, number, why in undone(earlier_methods(artifact), methods):
        origin = artifact.manifest.get("parent", {}).get("run")
        mend = (
            f"for both compress the run that it came from, {origin}, by one recipe, {methods[number]} before {earlier}"
            if in_this_order(methods[number], earlier)
            else "only one of the two is possible"
        )
        log.warning(
            "%s: was made by %s, which steps.%d (%s) undoes: %s; %s",
            artifact.path, earlier, number, methods[number], why, mend,
        )  # fmt: skip


def _open_work(
    artifact: Artifact, recipe: LoadedRecipe, config: Config, sums: Mapping[str, str], texts: Mapping[str, str],
    work: WorkFolder, overwrite: bool,
) -> None:  # fmt: skip
    """Clears the folder of the compression, or goes on in that of an interrupted one of the same run and recipe."""
    request = work.new / REQUEST
    tokenizers = [name for name in (TARGET_TOKENIZER, TOKENIZER) if (artifact.path / name).is_dir()]
    content = {
        "run": artifact.manifest["files"][MODEL],
        "recipe": as_data(recipe.recipe),
        "config": config.model_dump(mode="json"),
        "data": dict(sums),
        TEXTS: dict(texts),
    }
    if (work.new / first_file(recipe.recipe)).is_file() and not overwrite:
        try:
            before = read_json(request)
            found = changed(before["data"], sums) or changed(before[TEXTS], texts)
        except (OSError, ArtifactError, KeyError, TypeError, AttributeError) as error:
            raise ArtifactError(f"{request}: missing or damaged ({error}): use --overwrite to start again") from error
        files = {"data": None, TEXTS: None}  # whose folder may be another
        key = differing_entry({**before, **files}, {**content, **files})
        if found or key:
            raise ArtifactError(
                f"{work.path}: {found or f'was started with another run or recipe, {key!r} differs'}: use those it was "
                "started with to resume it, or --overwrite to start again"
            )
        log.info("resuming %s", work.path)
        for name in tokenizers:  # a step may have cut it
            shutil.rmtree(work.new / name, ignore_errors=True)
            shutil.copytree(artifact.path / name, work.new / name)
        return
    work.clear()
    for name in tokenizers:
        shutil.copytree(artifact.path / name, work.new / name)
    request.parent.mkdir()
    write_text(request, json.dumps(content, ensure_ascii=False))


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
    methods = {step["method"] for step in result["steps"]}
    packed = HONEST if after["sizes"]["gzip_bytes"] < before["sizes"]["gzip_bytes"] else NO_SMALLER
    for told, words in (
        ({"distill"}, STUDENT), ({"vocabulary"}, CUT), ({"prune", "cluster"}, packed), ({"quantize_aware"}, QUANTIZED),
        ({"structure"}, SMALLER),
    ):  # fmt: skip
        if methods & told:
            tables.line(console, words)
    tables.line(console, f"run: {result['path']}")
