"""Opens a run folder or a bundle for any runtime."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from textapp.artifact import LITERT_LM_FILE, MANIFEST, TARGET_TOKENIZER, TOKENIZER, Artifact, open_artifact
from textapp.catalog import recipe_of_manifest, task_from_manifest
from textapp.errors import ArtifactError, OptionError, UsageError
from textapp.noise import import_tensorflow
from textapp.runners.pool import check_count
from textapp.text.tokenizer import load_tokenizers
from textapp.untrusted import shown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from textapp.predictors.predictor import Predictor
    from textapp.runners.flatfile import SignatureShapes
    from textapp.runners.runner import Runner
    from textapp.tasks.task import Task
    from textapp.text.tokenizer import Tokenizer

TFLITE, SAVED_MODEL, KERAS = "model.tflite", "saved_model/saved_model.pb", "model.keras"


def load(
    path: str | Path,
    threads: int = 1,
    runtime: str = "auto",
    workers: int = 1,
    trusted: bool = False,
    isolated: bool = False,
    **options: Any,
) -> Predictor:
    """Opens a run folder or a bundle. Several threads may share the predictor, see `Predictor`.

    Run folders and bundles with a .tflite file are checked, so that those of strangers can be opened: no code in them
    runs. A SavedModel is a program that can read and write any file of this user.

    Args:
        path: the folder.
        threads: CPU threads per answer; small models are often fastest with one.
        runtime: for a .tflite file `litert` or `tflite-runtime`; `auto` takes the one that the bundle was verified in
            if it is installed, else the other.
        workers: maximum number of answers computed in parallel, for calls from several threads; for a .tflite file
            each takes the memory of an interpreter.
        trusted: whether the folder comes from someone whose programs you would run; a SavedModel needs it.
        isolated: whether to run a .tflite file in a process of its own, so that a file that ends the process, in spite
            of the checks, gives an ArtifactError; each call of the model takes some tenths of a millisecond longer.
        options: of the task: `threshold` of a classifier, the probability from 0 to 1 below which it answers `unknown`;
            `overflow` of a translator or a language model, what to do with a text that is too long: `truncate`
            (the default) or `error`; of a model that answers questions `no_answer_threshold`, the score from 0 to 1
            below which there is no answer, and `num_answers`, the number of spans to list.

    Raises:
        ArtifactError: the folder is missing, incomplete or changed, or its parts do not go together.
        UsageError: a required package is not installed, the task has no such option, or a SavedModel is not `trusted`.

    Example: `textapp.load("downloads/reviews", isolated=True)("a gem of a film").label`.
    """
    try:
        folder = Path(path)
    except TypeError as error:
        raise UsageError(f"path: found {shown(path)}, expected that of a run folder or a bundle") from error
    return load_artifact(open_artifact(folder), threads, runtime, workers, trusted, isolated, **options)


def load_artifact(
    artifact: Artifact,
    threads: int = 1,
    runtime: str = "auto",
    workers: int = 1,
    trusted: bool = False,
    isolated: bool = False,
    **options: Any,
) -> Predictor:
    """Like `load`, for a folder that is already open.

    Args:
        artifact: the folder.
        threads, runtime, workers, trusted, isolated, options: as for `load`.

    Raises:
        ArtifactError: as for `load`.
        UsageError: as for `load`.
    """
    threads, workers = check_count("threads", threads), check_count("workers", workers)
    trusted, isolated = _flag("trusted", trusted), _flag("isolated", isolated)
    model = _model_file(artifact)
    if model == SAVED_MODEL and not trusted:
        raise UsageError(
            f"{artifact.path}: is a SavedModel, a program that can read and write any file of yours: if you trust the "
            "one who made it, open it with load(..., trusted=True), or --trusted on the command line"
        )
    if isolated and model != TFLITE:
        raise UsageError(f"{artifact.path}: isolated is for bundles with a {TFLITE}: leave it out")
    _check_tokenizer_files(artifact)
    tokenizers = load_tokenizers(artifact.path)
    _check_tokenizer(artifact, tokenizers[0])
    task = task_from_manifest(artifact.manifest, tokenizers, **options)
    runner = _runner(artifact, model, task, threads, runtime, isolated)
    return task.predictor(runner, artifact.manifest, artifact.path, workers)


def _flag(name: str, value: Any) -> bool:
    """Returns an option that is true or false; the text "no" is neither.

    Raises:
        OptionError: it is something else.
    """
    if not isinstance(value, (bool, np.bool_)):
        raise OptionError(f"{name}: found {shown(value)}, expected True or False", name)
    return bool(value)


def _model_file(artifact: Artifact) -> str:
    """The file with the model.

    Raises:
        ArtifactError: the manifest lists none, or several.
        UsageError: it is for LiteRT-LM.
    """
    listed = artifact.manifest["files"].keys()
    if not artifact.answers:
        raise UsageError(
            f"{artifact.path / LITERT_LM_FILE}: is for LiteRT-LM, whose apps and packages run it, such as Python's "
            "litert-lm-api: litert_lm.Engine(path).create_conversation(); textapp answers from a bundle that "
            "--target litert makes"
        )
    known = (KERAS,) if artifact.kind == "run" else (TFLITE, SAVED_MODEL)
    found = [name for name in known if name in listed]
    if len(found) != 1:
        raise ArtifactError(
            f"{artifact.path / MANIFEST}: key 'files': found {' and '.join(found) or 'no model'}, expected "
            f"{' or '.join(known)}: copy the whole folder again"
        )
    return found[0]


def _check_tokenizer_files(artifact: Artifact) -> None:
    """Checks that the manifest lists the files of a tokenizer."""
    listed = artifact.manifest["files"]
    for folder in (TOKENIZER, TARGET_TOKENIZER):
        if folder == TOKENIZER or (artifact.path / folder).is_dir():
            names = [name for name in listed if name.startswith(f"{folder}/")]
            if len(names) < 2:
                raise ArtifactError(
                    f"{artifact.path / MANIFEST}: key 'files': found {len(names)} files in {folder}/, expected its "
                    "settings and its vocabulary: copy the whole folder again"
                )


def _check_tokenizer(artifact: Artifact, tokenizer: Tokenizer) -> None:
    """Compares the tokenizer with what the manifest says about it."""
    for name, expected in artifact.manifest.get("tokenizer", {}).items():
        found = (
            getattr(tokenizer, name, None) if name in ("kind", "vocabulary_size", "pad_id", "unknown_id") else expected
        )
        if found != expected or isinstance(expected, bool):
            raise ArtifactError(
                f"{artifact.path / MANIFEST}: key 'tokenizer.{name}': found {shown(expected)}, but the files in "
                f"{TOKENIZER}/ have {found}: copy the whole folder again"
            )


def _runner(artifact: Artifact, model: str, task: Task, threads: int, runtime: str, isolated: bool) -> Runner:
    if model == TFLITE:
        return _edge_runner(artifact, task, threads, runtime, isolated)
    import_tensorflow()
    if model == KERAS:
        from textapp.models.saving import load_model

        objective = recipe_of_manifest(artifact.manifest).objective()
        return objective.runner(load_model(artifact.path / model), task)
    from textapp.runners.saved_model import SavedModelRunner

    return SavedModelRunner(artifact.path)


def _edge_runner(artifact: Artifact, task: Task, threads: int, runtime: str, isolated: bool) -> Runner:
    from textapp.runners.flatfile import check_flatfile

    file, chosen = artifact.path / TFLITE, _runtime(artifact, runtime)
    if isolated:
        from textapp.runners.isolated import IsolatedRunner

        _check_signatures(artifact, task, check_flatfile(file))
        return IsolatedRunner(file, threads, chosen)
    from textapp.runners.edge import EdgeRunner

    runner = EdgeRunner(file, threads, chosen)
    _check_signatures(artifact, task, runner.shapes)
    return runner


def _runtime(artifact: Artifact, runtime: str) -> str:
    """The given runtime; for `auto` the one that the bundle was verified in, if it can be used here."""
    from textapp.runners.interpreter import usable

    target = artifact.manifest.get("target", runtime)
    return target if runtime == "auto" and usable(target) else runtime


def _check_signatures(artifact: Artifact, task: Task, shapes: Mapping[str, SignatureShapes]) -> None:
    """Compares the signatures that requests will use with those of the file."""
    rows = artifact.manifest.get("batch_size", 1)
    for name, length in task.signatures:
        wanted = {name: 1} if rows == 1 else {name: 1, f"batch_{rows}_{name}": rows}
        for signature, count in wanted.items():
            if signature not in shapes:
                raise ArtifactError(
                    f"{artifact.path / MANIFEST}: its lengths need the signature {signature!r}, but {TFLITE} has "
                    f"{shown(', '.join(shapes)) if shapes else 'none'}: copy the whole folder again"
                )
            found = shapes[signature].inputs.get("token_ids")
            if found != (count, length):
                raise ArtifactError(
                    f"{artifact.path / TFLITE}: signature {signature!r}: found token_ids of the shape "
                    f"{list(found or ())}, expected {[count, length]}: copy the whole folder again"
                )
    try:
        task.check_model(shapes)
    except ArtifactError as error:
        raise ArtifactError(f"{artifact.path}/{error}") from error
