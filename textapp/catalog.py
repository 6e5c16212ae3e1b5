"""The table of tasks: each row leads to the three parts of a task, which are imported on demand.

A device needs only the first part, which uses NumPy; the second gives the third, which imports TensorFlow.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from textapp.errors import ArtifactError, OptionError
from textapp.tasks.classification import ClassificationTask
from textapp.tasks.generation import GenerationTask
from textapp.tasks.question_answering import QuestionAnsweringTask
from textapp.tasks.question_answering_decoder import PromptedAnswersTask
from textapp.tasks.question_answering_generative import WrittenAnswersTask
from textapp.tasks.translation import TranslationTask
from textapp.untrusted import shown

if TYPE_CHECKING:
    from textapp.config import Config, TaskKeys
    from textapp.config.yaml_text import Place
    from textapp.recipes.recipe import Recipe
    from textapp.tasks.task import Task
    from textapp.text.tokenizer import Tokenizer


class Parts(NamedTuple):
    """The parts of a task.

    Attributes:
        task: its class on the device.
        recipe: returns its part on the workstation, whose `objective()` is its part on TensorFlow.
        modes: the parts of its other modes, by name: what `mode` in a config chooses.
        roles: the parts for models of another role, by its name: what `model.role` in a config chooses.
    """

    task: type[Task]
    recipe: Callable[[], Recipe]
    modes: Mapping[str, Parts] = {}
    roles: Mapping[str, Parts] = {}


def _classification() -> Recipe:
    from textapp.recipes.classification import ClassificationRecipe

    return ClassificationRecipe()


def _question_answering() -> Recipe:
    from textapp.recipes.question_answering import QuestionAnsweringRecipe

    return QuestionAnsweringRecipe()


def _written_answers() -> Recipe:
    from textapp.recipes.question_answering_generative import WrittenAnswersRecipe

    return WrittenAnswersRecipe()


def _prompted_answers() -> Recipe:
    from textapp.recipes.question_answering_decoder import PromptedAnswersRecipe

    return PromptedAnswersRecipe()


def _translation() -> Recipe:
    from textapp.recipes.translation import TranslationRecipe

    return TranslationRecipe()


def _generation() -> Recipe:
    from textapp.recipes.generation import GenerationRecipe

    return GenerationRecipe()


TASKS: dict[str, Parts] = {
    "classification": Parts(ClassificationTask, _classification),
    "question_answering": Parts(
        QuestionAnsweringTask,
        _question_answering,
        {
            "generative": Parts(
                WrittenAnswersTask,
                _written_answers,
                roles={"decoder": Parts(PromptedAnswersTask, _prompted_answers)},
            )
        },
    ),
    "translation": Parts(TranslationTask, _translation),
    "generation": Parts(GenerationTask, _generation),
}


def recipe_of(name: str, mode: str | None = None, role: str | None = None) -> Recipe:
    """The recipe of a task by its name, and by its mode and the role of its model, if it has several.

    Args:
        name: of the task.
        mode: of the task; None: the default one.
        role: of the model; None: the default one.

    Raises:
        ArtifactError: this version does not know the task.
    """
    return _parts(name, mode, role).recipe()


def recipe_of_config(config: Config, data_dir: Path) -> Recipe:
    """The recipe of a config; where a preset of either role would do, its folder tells which it is.

    Args:
        config: as `load_config` returned it.
        data_dir: base folder of relative paths.

    Raises:
        ArtifactError: this version does not know the task.
    """
    role = config.model.role
    if role is None and config.model.pretrained and _parts(config.task, config.mode).roles:
        from textapp.recipes.resolving import locate, writer_role

        role = writer_role(getattr(locate(config, data_dir).model, "path", ""))
    return recipe_of(config.task, config.mode, role)


def recipe_of_manifest(manifest: Mapping[str, Any]) -> Recipe:
    """The recipe of the task of a run or a bundle.

    Raises:
        ArtifactError: this version does not know the task.
    """
    return recipe_of(manifest["task"], manifest.get("mode"), manifest.get("role"))


def task_class(manifest: Mapping[str, Any]) -> type[Task]:
    """The class of the task of a run or a bundle.

    Raises:
        ArtifactError: this version does not know the task.
    """
    return _parts(manifest["task"], manifest.get("mode"), manifest.get("role")).task


def task_from_manifest(
    manifest: Mapping[str, Any], tokenizers: Tokenizer | tuple[Tokenizer, Tokenizer], **options: Any
) -> Task:
    """The task of a run or a bundle, as its manifest describes it.

    Args:
        manifest: of the run or the bundle.
        tokenizers: of the input and of the output; a single one if they are the same.
        options: of the task, such as `threshold`; None: the default.

    Raises:
        ArtifactError: the manifest names a task that this version does not know, or lacks one of its keys.
        OptionError: the task has no such option.
    """
    name = manifest["task"]
    task = task_class(manifest)
    given = {option: value for option, value in options.items() if value is not None}
    for option in given.keys() - set(task.options):
        takes = f"which takes {', '.join(task.options)}" if task.options else "which takes none"
        kind = f"{name} (mode {manifest['mode']})" if manifest.get("mode") else name
        raise OptionError(f"{option} is not for a model of {kind}, {takes}: leave it out", option, *task.options)
    pair = tokenizers if isinstance(tokenizers, tuple) else (tokenizers, tokenizers)
    try:
        return task.from_manifest(manifest, pair, **given)
    except KeyError as error:
        raise ArtifactError(
            f"the manifest of a model of {name} has no key {error}: copy the folder again, or make it anew"
        ) from error


def load_config(path: str | Path, overrides: Sequence[str] = ()) -> Config:
    """Reads a YAML config of any task; see `textapp.config.reading.load_config`.

    Args:
        path: the file.
        overrides: `key=value` pairs, whose values are YAML.

    Raises:
        ConfigError: the file is missing or not YAML, or a key or a value is not allowed.
    """
    from textapp.config import reading  # brings pydantic, which a device does without

    return reading.load_config(path, _Keys(), overrides)


def parse_config(raw: Mapping[str, Any], source: str = "config", places: Mapping[str, Place] | None = None) -> Config:
    """Checks a mapping as read from YAML; see `textapp.config.reading.parse_config`.

    Args:
        raw: what the YAML holds.
        source: name of the config in error messages.
        places: dotted key -> where it stands, for the messages.

    Raises:
        ConfigError: lists every error with its key, what was found and what was expected.
    """
    from textapp.config import reading

    return reading.parse_config(raw, _Keys(), source, places)


class _Keys(Mapping[str, "TaskKeys"]):
    """Task -> its config keys; a recipe is imported when its keys are looked up."""

    def __getitem__(self, name: str) -> TaskKeys:
        return _keys_of(TASKS[name])

    def __iter__(self) -> Iterator[str]:
        return iter(TASKS)

    def __len__(self) -> int:
        return len(TASKS)


def _keys_of(parts: Parts) -> TaskKeys:
    """The keys of a task, with those of its modes and roles below them."""
    modes, roles = ({name: _keys_of(each) for name, each in found.items()} for found in (parts.modes, parts.roles))
    return replace(parts.recipe().keys, modes=modes, roles=roles)


def _parts(name: str, mode: str | None, role: str | None = None) -> Parts:
    if name not in TASKS:
        raise ArtifactError(f"task: found {shown(name)}, expected one of {', '.join(TASKS)}: update textapp")
    parts = TASKS[name].modes.get(mode or "", TASKS[name])
    return parts.roles.get(role or "", parts)
