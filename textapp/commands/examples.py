"""The examples that a run or a bundle is measured on: its own, or those of a call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from textapp.artifact import Artifact
from textapp.catalog import load_config, recipe_of
from textapp.config import data_directory
from textapp.errors import ArtifactError, UsageError
from textapp.recipes.recipe import Recipe
from textapp.recipes.splits import load_splits
from textapp.records.layout import Layout
from textapp.records.sources import describe
from textapp.records.splits import Splits

Record = dict[str, Any]


def evaluation_records(
    artifact: Artifact, data: Sequence[Path] = (), columns: str | None = None, data_dir: Path | None = None
) -> tuple[list[Record], str]:
    """The examples with their answers to measure on, and in words which they are.

    Args:
        artifact: a run or a bundle.
        data: a file of examples instead of the run's own; of parallel files two.
        columns: `text=0,label=1`, where the columns of `data` are not those of the run.
        data_dir: where the run's relative data paths start.

    Raises:
        ArtifactError: a bundle far from its run, and no `data`.
        DataError: no examples, or labels that the model does not know.
        UsageError: more files than the task takes, or columns of no file.
    """
    if columns and not data:
        raise UsageError(
            f"--columns {columns}: found no --data FILE, whose columns these would be: give both, or neither"
        )
    if data:
        recipe = recipe_of(artifact.manifest["task"])
        source = _source(data, artifact.manifest["task"], recipe, columns)
        return recipe.load(source, layout_of(artifact.manifest, columns), Path()), describe(source)
    splits = own_splits(artifact, data_dir)
    name = "test" if splits.test else "validation"
    return getattr(splits, name), f"{name} ({splits.origin[name]})"


def own_splits(artifact: Artifact, data_dir: Path | None = None) -> Splits:
    """The records of a run, or of the run around a bundle.

    Args:
        artifact: a run or a bundle.
        data_dir: where relative data paths start.

    Raises:
        ArtifactError: a bundle far from its run.
    """
    run = artifact.path if artifact.kind == "run" else artifact.parent
    if run is None:
        raise ArtifactError(
            f"{artifact.path}: its run is not around it, so it has no examples: name some with --data FILE"
        )
    config = load_config(run / "config.yaml")
    return load_splits(recipe_of(config.task), config, data_directory(data_dir, artifact.manifest.get("data_dir")))


def layout_of(manifest: Mapping[str, Any], columns: str | None = None) -> Layout:
    """How files of examples for this model look: as those of its run, unless `columns` says otherwise.

    Args:
        manifest: of the run or the bundle.
        columns: such as `text=0,label=stars`.

    Raises:
        UsageError: this names no columns.
    """
    keys = recipe_of(manifest["task"]).keys
    layout = Layout.of_manifest(manifest, keys)
    if not columns:
        return layout
    fields: dict[str, int | list[str]] = dict(layout.columns)
    for part in columns.split(","):
        field, equals, column = (word.strip() for word in part.partition("="))
        if not equals or not column or field not in keys.columns:
            raise UsageError(
                f"--columns {columns}: expected FIELD=COLUMN with the fields {', '.join(keys.columns)}, found '{part}'"
            )
        fields[field] = int(column) if column.isdigit() else [column]
    return replace(layout, columns=fields, header="auto", pattern=None)


def _source(files: Sequence[Path], task: str, recipe: Recipe, columns: str | None) -> str | dict[str, str]:
    """The files of `--data`: one, or two whose lines belong together."""
    if len(files) == 1:
        return str(files[0])
    parallel = recipe.keys.parallel_files
    if not parallel or len(files) > 2:
        takes = f"one file, or two, of {' and '.join(recipe.keys.columns)}" if parallel else "one file"
        raise UsageError(f"--data: found {len(files)} files, but {task} takes {takes}: name fewer, or join them")
    if columns:
        raise UsageError(f"--columns {columns}: parallel files have no columns: leave it out, or name one table")
    return dict(zip(recipe.keys.columns, map(str, files), strict=True))
