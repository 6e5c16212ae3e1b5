"""One file a task: record -> features, outputs -> answer, answers -> score. Runs without TensorFlow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from textapp.errors import ArtifactError
from textapp.tasks.classification import ClassificationTask

if TYPE_CHECKING:
    from textapp.text.tokenizer import Tokenizer

TASKS = {"classification": ClassificationTask}


def task_from_manifest(manifest: Mapping[str, Any], tokenizer: Tokenizer, **options: Any) -> ClassificationTask:
    """The task of a run or a bundle, as its manifest describes it.

    Raises:
        ArtifactError: the manifest names a task that this version does not know.
    """
    if manifest["task"] not in TASKS:
        raise ArtifactError(
            f"task '{manifest['task']}' is unknown here, expected one of {', '.join(TASKS)}: update textapp"
        )
    return TASKS[manifest["task"]].from_manifest(manifest, tokenizer, **options)
