"""One file a task: record -> features, outputs -> answer, answers -> score. Runs without TensorFlow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Union

from textapp.errors import ArtifactError, OptionError
from textapp.tasks.classification import ClassificationTask
from textapp.tasks.generation import GenerationTask
from textapp.tasks.translation import TranslationTask

if TYPE_CHECKING:
    from textapp.text.tokenizer import Tokenizer

TASKS = {task.name: task for task in (ClassificationTask, TranslationTask, GenerationTask)}
_OPTIONS = {"classification": ("threshold",), "translation": ("overflow",), "generation": ("overflow",)}

Task = Union[ClassificationTask, TranslationTask, GenerationTask]


def task_from_manifest(
    manifest: Mapping[str, Any], tokenizers: Tokenizer | tuple[Tokenizer, Tokenizer], **options: Any
) -> Task:
    """The task of a run or a bundle, as its manifest describes it.

    Args:
        manifest: of the run or the bundle.
        tokenizers: of source and target; a single one where the task has but one, or both are the same.
        options: `threshold` of classification, `overflow` of translation and generation; None: not given.

    Raises:
        ArtifactError: the manifest names a task that this version does not know, or lacks one of its keys.
        OptionError: an option that this task does not have.
    """
    name = manifest["task"]
    if name not in TASKS:
        raise ArtifactError(f"task '{name}' is unknown here, expected one of {', '.join(TASKS)}: update textapp")
    given = {option: value for option, value in options.items() if value is not None}
    for option in given.keys() - set(_OPTIONS[name]):
        served = _OPTIONS[name]
        raise OptionError(
            f"{option} is not for a model of {name}, which takes {', '.join(served)}: leave it out", option, *served
        )
    pair = tokenizers if isinstance(tokenizers, tuple) else (tokenizers, tokenizers)
    try:
        if name == "classification":
            return ClassificationTask.from_manifest(manifest, pair[0], **given)
        return TASKS[name].from_manifest(manifest, pair, **given)
    except KeyError as error:
        raise ArtifactError(
            f"the manifest of a model of {name} has no key {error}: copy the folder again, or make it anew"
        ) from error
