"""Opens a run folder or a bundle for any runtime."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from textapp.artifact import Artifact, open_artifact
from textapp.catalog import recipe_of, task_from_manifest
from textapp.noise import import_tensorflow
from textapp.runners.pool import check_count
from textapp.text.tokenizer import load_tokenizers

if TYPE_CHECKING:
    from textapp.predictors.predictor import Predictor
    from textapp.runners.runner import Runner
    from textapp.tasks.task import Task


def load(path: str | Path, threads: int = 1, runtime: str = "auto", workers: int = 1, **options: Any) -> Predictor:
    """Opens a run folder or a bundle. Several threads may share the predictor, see `Predictor`.

    Args:
        path: the folder.
        threads: CPU threads per answer; small models are often fastest with one.
        runtime: for a .tflite file `litert` or `tflite-runtime`; `auto` takes the one that the bundle was verified in
            if it is installed, else the other.
        workers: maximum number of answers computed in parallel, for calls from several threads; for a .tflite file
            each takes the memory of an interpreter.
        options: of the task: `threshold` of a classifier, the probability from 0 to 1 below which it answers `unknown`;
            `overflow` of a translator or a language model, what to do with a text that is too long: `truncate`
            (the default) or `error`.

    Raises:
        ArtifactError: the folder is missing, incomplete or changed.
        UsageError: a required package is not installed, or the task has no such option.
    """
    return load_artifact(open_artifact(path), threads, runtime, workers, **options)


def load_artifact(
    artifact: Artifact, threads: int = 1, runtime: str = "auto", workers: int = 1, **options: Any
) -> Predictor:
    """Like `load`, for a folder that is already open.

    Args:
        artifact: the folder.
        threads, runtime, workers, options: as for `load`.

    Raises:
        UsageError: as for `load`.
    """
    threads, workers = check_count("threads", threads), check_count("workers", workers)
    task = task_from_manifest(artifact.manifest, load_tokenizers(artifact.path), **options)
    return task.predictor(_runner(artifact, task, threads, runtime), artifact.manifest, artifact.path, workers)


def _runner(artifact: Artifact, task: Task, threads: int, runtime: str) -> Runner:
    model = artifact.path / "model.tflite"
    if model.is_file():
        from textapp.runners.edge import EdgeRunner
        from textapp.runners.interpreter import usable

        target = artifact.manifest.get("target", runtime)
        return EdgeRunner(model, threads, target if runtime == "auto" and usable(target) else runtime)
    import_tensorflow()
    if artifact.kind == "run":
        from textapp.models.saving import MODEL, load_model

        objective = recipe_of(artifact.manifest["task"]).objective()
        return objective.runner(load_model(artifact.path / MODEL), task)
    from textapp.runners.saved_model import SavedModelRunner

    return SavedModelRunner(artifact.path)
