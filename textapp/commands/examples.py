"""The examples that a run or a bundle is measured on: those of the run, or of `--data`."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from textapp.artifact import REQUEST, Artifact
from textapp.catalog import load_config, recipe_of_manifest
from textapp.commands.train import changed, checksums
from textapp.config import data_directory, same_column
from textapp.encodings import text_encoding
from textapp.errors import ArtifactError, UsageError
from textapp.recipes.recipe import Recipe
from textapp.recipes.splits import load_splits
from textapp.records.files import kind_of
from textapp.records.labelled import shown_labels
from textapp.records.layout import Layout
from textapp.records.sources import describe
from textapp.records.splits import Splits
from textapp.untrusted import read_json

log = logging.getLogger("textapp")
Record = dict[str, Any]


def evaluation_records(
    artifact: Artifact,
    data: Sequence[Path] = (),
    columns: str | None = None,
    data_dir: Path | None = None,
    encoding: str | None = None,
) -> tuple[list[Record], str]:
    """The labelled examples to measure on, and their description.

    Args:
        artifact: a run or a bundle.
        data: a file of examples instead of those of the run; two if they are parallel.
        columns: `text=0,label=1`, if the columns of `data` are not those of the run.
        data_dir: base folder of relative data paths.
        encoding: of `data`, if it is not that of the run.

    Raises:
        ArtifactError: a bundle is not inside its run, and there is no `data`.
        DataError: no examples, or labels that the model does not have.
        UsageError: more files than the task takes, or `columns` or `encoding` without `data`.
    """
    for option, value in (("--columns", columns), ("--encoding", encoding)):
        if value and not data:
            raise UsageError(f"{option} {value}: found no --data FILE, expected one: give both, or neither")
    if data:
        recipe = recipe_of_manifest(artifact.manifest)
        source = _source(data, artifact.manifest["task"], recipe, columns)
        return recipe.load(source, layout_of(artifact.manifest, columns, encoding), Path()), describe(source)
    splits = own_splits(artifact, data_dir)
    name = "test" if splits.test else "validation"
    if name not in splits.origin:
        raise UsageError(f"{artifact.path}: this run has no examples of its own: give some with --data FILE")
    return getattr(splits, name), f"{name} ({splits.origin[name]})"


def own_splits(artifact: Artifact, data_dir: Path | None = None, sums: Mapping[str, str] | None = None) -> Splits:
    """The records of a run, or of the run that contains a bundle.

    Args:
        artifact: a run or a bundle.
        data_dir: base folder of relative data paths.
        sums: the checksums of its data; None: not computed yet.

    Raises:
        ArtifactError: a bundle is not inside its run, or the data has a label that the model has not.
    """
    run = artifact.path if artifact.kind == "run" else artifact.parent
    if run is None:
        raise ArtifactError(
            f"{artifact.path}: is not inside its run, so it has no examples: give some with --data FILE"
        )
    config, recipe = load_config(run / "config.yaml"), recipe_of_manifest(artifact.manifest)
    folder = data_directory(data_dir, artifact.data_dir)
    if config.data.prepared is None:
        warn_of_other_data(run, checksums(config, folder) if sums is None else sums)
    splits = load_splits(recipe, config, folder)
    check_labels(artifact, recipe.labels([*splits.train, *splits.validation, *splits.test]))
    return splits


def warn_of_other_data(run: Path, sums: Mapping[str, str]) -> None:
    """Warns if the data of a run is not as it was when it was trained, as far as that is known.

    Args:
        run: its folder.
        sums: the checksum of each file, as it is now.
    """
    try:
        found = changed(read_json(run / REQUEST)["data"], sums)
    except (OSError, ArtifactError, KeyError, TypeError, AttributeError):
        return
    if found:
        log.warning("%s: quality is that on the data as it is now", found)


def check_labels(artifact: Artifact, found: Sequence[str], every: bool = False) -> None:
    """Checks that the data of a run has the labels that the run was trained on: the data may have changed since.

    Args:
        artifact: a run or a bundle.
        found: the labels in the data; none of a task without labels.
        every: whether each label of the run has to be there, as a training goes by the labels of its data.

    Raises:
        ArtifactError: the data has another label, or lacks one.
    """
    known = artifact.manifest.get("labels") or ()
    unknown = [label for label in found if label not in known]
    missing = [label for label in known if label not in found] if every else []
    if not unknown and not missing:
        return
    fault = (
        f"has {shown_labels(unknown)}, which it was not trained on"
        if unknown
        else f"has no example of {shown_labels(missing)}"
    )
    raise ArtifactError(
        f"{artifact.path}: was trained on the labels {shown_labels(known)}, but the data {fault}: use the data that "
        "it was trained on, whose folder --data-dir names"
    )


def layout_of(manifest: Mapping[str, Any], columns: str | None = None, encoding: str | None = None) -> Layout:
    """The layout of files of examples: that of the run, or the given columns.

    Args:
        manifest: of the run or the bundle.
        columns: such as `text=0,label=stars`.
        encoding: of the files, or `auto`; None: that of the run.

    Raises:
        UsageError: `columns` is invalid, names a field or a column twice, or there is no such encoding.
    """
    keys = recipe_of_manifest(manifest).keys
    layout = Layout.of_manifest(manifest, keys)
    if encoding:
        layout = replace(layout, encoding=text_encoding(encoding, "--encoding"))
    if not columns:
        return layout
    fields: dict[str, Any] = dict(layout.columns)
    given: dict[str, int | list[str]] = {}
    for part in columns.split(","):
        field, equals, column = (word.strip() for word in part.partition("="))
        if not equals or not column or field not in keys.columns:
            raise UsageError(
                f"--columns {columns}: found '{part}', expected FIELD=COLUMN with the fields {', '.join(keys.columns)}"
            )
        if field in given:
            raise UsageError(f"--columns {columns}: found {field} twice, expected it once: leave one of them out")
        given[field] = int(column) if column.isascii() and column.isdigit() and len(column) < 10 else [column]
    same = same_column(given)
    if same is not None:
        raise UsageError(f"--columns {columns}: {' and '.join(same)} are the same column; expected a column for each")
    fields.update(given)
    label_columns = layout.label_columns if fields.get("label") == layout.columns.get("label") else ()
    return replace(layout, columns=fields, header="auto", pattern=None, label_columns=label_columns)


def check_has_columns(files: Sequence[str | Path], columns: str | None, parallel_files: bool) -> None:
    """Checks that files which `--columns` is given for can have columns.

    Args:
        files: of examples or inputs.
        columns: of `--columns`.
        parallel_files: whether the task reads sentence pairs, also from .txt files with tabs.

    Raises:
        UsageError: a file has a text per line.
    """
    lines = [file for file in files if kind_of(Path(file)) == ".txt"]
    if columns and lines and not parallel_files:
        raise UsageError(
            f"--columns {columns}: {lines[0]} has a text per line, and no columns: leave it out, or if it is a table,"
            f" rename it to .tsv or .csv"
        )


def _source(files: Sequence[Path], task: str, recipe: Recipe, columns: str | None) -> str | dict[str, str]:
    """The files of `--data`: one, or two parallel ones."""
    parallel = recipe.keys.parallel_files
    check_has_columns(files, columns, parallel)
    if len(files) == 1:
        return str(files[0])
    if not parallel or len(files) > 2:
        takes = f"one file, or two, of {' and '.join(recipe.keys.columns)}" if parallel else "one file"
        raise UsageError(f"--data: found {len(files)} files, but {task} takes {takes}: give fewer, or join them")
    if columns:
        raise UsageError(f"--columns {columns}: parallel files have no columns: leave it out, or give one table")
    return dict(zip(recipe.keys.columns, map(str, files), strict=True))
