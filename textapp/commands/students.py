"""A student before its training: its config, its view of the data, and texts without labels."""

from __future__ import annotations

import logging
import re
from dataclasses import replace
from pathlib import Path

from textapp.catalog import parse_config
from textapp.compression.recipe import Distill, LoadedRecipe
from textapp.config import Config, TokenizerConfig
from textapp.config.yaml_text import Place
from textapp.errors import ConfigError, DataError, plural
from textapp.prepared import Prepared
from textapp.recipes.recipe import Recipe
from textapp.recipes.resolving import locate
from textapp.records.files import expand
from textapp.records.layout import Layout
from textapp.records.rows import RowError
from textapp.tasks.task import Record

log = logging.getLogger("textapp")
# Keys of training that a student has from its teacher; the others are those of its architecture.
KEPT = (
    "batch_size", "batch_tokens", "gradient_accumulation_steps", "learning_rate_scaling", "precision", "device",
    "label_smoothing", "class_weights", "monitor", "xla",
)  # fmt: skip


def student_config(config: Config, recipe: LoadedRecipe, step: Distill) -> Config:
    """The config of a student: that of its teacher with another model, trained as one of its architecture is.

    Args:
        config: of the teacher, with the recipe's keys of training.
        recipe: the recipe.
        step: its first step.

    Raises:
        ConfigError: the student does not serve the task, or its tokenizer would be another.
    """
    where, tokenizer = recipe.where("steps.0.model"), config.tokenizer or TokenizerConfig()
    preset = tokenizer.kind == "preset"
    if step.model.pretrained and not preset:
        raise ConfigError(
            f"{where}: steps.0.model.architecture: found preset, which has a tokenizer of its own, but a student has "
            f"that of its teacher, {tokenizer.kind}: expected another architecture"
        )
    path = (tokenizer.path or getattr(config.model, "path", None)) if preset and not step.model.pretrained else None
    own = recipe.recipe.training.model_dump(mode="json", exclude_unset=True)
    kept = {name: getattr(config.training, name) for name in KEPT}
    given = {"epochs": step.epochs, "learning_rate": step.learning_rate}
    training = {**kept, "patience": 0, **own, **{name: value for name, value in given.items() if value is not None}}
    parts = {"model": step.model, "tokenizer": tokenizer.model_copy(update={"path": path})}
    raw = {**config.model_copy(update=parts).model_dump(mode="json"), "training": training}
    try:
        return parse_config(raw, where, _places(recipe, step))
    except ConfigError as error:
        raise ConfigError("\n".join(_of_recipe(line, step) for line in str(error).split("\n"))) from error


def _places(recipe: LoadedRecipe, step: Distill) -> dict[str, Place]:
    """Where the recipe has keys of the student's config."""
    keys = {f"model.{name}": f"steps.0.model.{name}" for name in step.model.model_fields_set}
    keys |= {f"training.{name}": f"training.{name}" for name in recipe.recipe.training.model_fields_set}
    keys |= {f"training.{name}": f"steps.0.{name}" for name in ("epochs", "learning_rate") if getattr(step, name)}
    return {"model": Place(recipe.where("steps.0.model")), **{key: Place(recipe.where(keys[key])) for key in keys}}


def _of_recipe(line: str, step: Distill) -> str:
    """A message about the student's config, with keys of its model as the recipe has them."""
    fields = type(step.model).model_fields
    named = re.compile(rf"(?<![\w./])model\.(?=(?:{'|'.join(fields)})\b)")
    key = re.search(rf": {named.pattern}(\w+): found ", line)
    optional = key is not None and not fields[key[1]].is_required() and fields[key[1]].default is None
    mend = f" (--set steps.0.model.{key[1]}=null)" if key and optional else ""
    return named.sub("steps.0.model.", line) + mend


def prepared_student(task: Recipe, config: Config, teacher: Prepared, data_dir: Path, folder: Path) -> Prepared:
    """The data as a student reads it.

    Args:
        task: of the run.
        config: of the student.
        teacher: the data as the teacher reads it.
        data_dir: base folder of relative paths.
        folder: of the new run, with the tokenizers of the teacher.

    Raises:
        ConfigError: the student is a preset whose tokens are others than the teacher's.
    """
    located = locate(config, data_dir)
    if located.model.pretrained:
        from textapp.text.preset import preset_tokenizer

        path, expected = getattr(located.model, "path", ""), teacher.task.tokenizer.pieces()
        if preset_tokenizer(path).pieces() != expected:
            raise ConfigError(
                f"steps.0.model.path: {path}: its tokens are not those of the teacher ({len(expected):,}): expected a "
                "preset of the same family, or another architecture"
            )
    return replace(task.prepare(located, teacher.splits, folder), lengths_given=teacher.lengths_given)


def unlabelled_records(task: Recipe, recipe: LoadedRecipe, layout: Layout, data_dir: Path) -> list[Record]:
    """The records of a recipe's texts without labels, but for empty ones.

    Args:
        task: of the run.
        recipe: whose first step may distill; else there are none.
        layout: of the run's own files.
        data_dir: base folder of relative paths.

    Raises:
        ConfigError: the task has no use for them.
        DataError: a row cannot be read, or there is no text.
    """
    step = recipe.recipe.distills
    if step is None or not step.unlabelled:
        return []
    if task.keys.role != "encoder":
        key = "steps.0.unlabelled"
        raise ConfigError(
            f"{recipe.where(key)}: {key}: only a classifier learns from texts without labels: leave it out"
        )
    records, files = [], expand(step.unlabelled, data_dir)
    for _, record in task.scan([str(file) for file in files], layout, data_dir):
        if isinstance(record, RowError):
            raise record
        if any(str(text).strip() for text in record.values()):
            records.append(record)
    if not records:
        raise DataError(f"{files[0]}: found no text, expected texts for unlabelled of the recipe")
    log.info("unlabelled: %s", plural(len(records), "text"))
    return records
