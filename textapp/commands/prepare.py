"""`textapp prepare`: tokenises the training texts of a config in parallel into shards that a training reads."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from textapp.artifact import (
    MANIFEST,
    TARGET_TOKENIZER,
    TOKENIZER,
    check_no_input,
    check_target,
    made_files,
    publish,
    sha256_of,
    tell_renamed,
    write_manifest,
)
from textapp.catalog import TASKS, load_config, parse_config, recipe_of, recipe_of_config
from textapp.commands import tables
from textapp.commands.prepare_pool import Pool
from textapp.commands.prepare_shards import shards_of, write_shards
from textapp.commands.prepare_texts import preparable, read_texts
from textapp.commands.train import changed, checksums
from textapp.config import Config, data_directory, differing_key
from textapp.errors import ArtifactError, ConfigError, DataError, TextappError, UsageError, plural
from textapp.files import resolved, write_text
from textapp.folders import WorkFolder, cache_folder
from textapp.processes import usable_cores
from textapp.recipes.preparing import KEY, settings_of
from textapp.recipes.recipe import PreparableRecipe
from textapp.recipes.resolving import locate
from textapp.recipes.splits import settled_layout
from textapp.recipes.tokenizers import warn_of_share
from textapp.records import labelled
from textapp.records.layout import Layout
from textapp.records.shards import KIND, VERSION, index_name
from textapp.records.sources import describe
from textapp.records.splits import Splits
from textapp.records.spool import Spool
from textapp.remote import RemotePath, place_of
from textapp.runners.pool import check_count

log = logging.getLogger("textapp")
REQUEST = "request.json"  # what an interrupted preparation was started with
_VERSIONS = [VERSION, 2]  # of the folder, and of what an interrupted preparation leaves
PACKAGES = ("textapp", "numpy", "sentencepiece", "tokenizers")


def prepare(
    config_path: str | Path,
    to: str | Path | None = None,
    overrides: Sequence[str] = (),
    data_dir: str | Path | None = None,
    workers: int | None = None,
    shards: int | None = None,
    overwrite: bool = False,
    as_json: bool = False,
) -> Path | RemotePath:
    """Writes the training examples of a config as token ids; a training reads them by `data.prepared`.

    Args:
        config_path: the YAML.
        to: the folder, or the URL of one; None: `data.prepared` of the config.
        overrides: `key=value` pairs that replace config keys.
        data_dir: base folder of relative data paths.
        workers: processes that tokenise; None: one for each core.
        shards: number of files; None: by the number of examples.
        overwrite: replace a finished or interrupted preparation; files in it that textapp did not make stay.
        as_json: print JSON.

    Returns:
        The folder, or its URL.

    Raises:
        ConfigError: the task has no prepared data, or a split would be a share of train.
        ArtifactError: the folder is finished, was started with another config or other data, or is in use.
        UsageError: there is no name for the folder, or its place cannot be written.
        DataError: the data cannot be read.
        OptionError: `workers` is too large.
    """
    workers = check_count("workers", workers or usable_cores())
    config, base = load_config(config_path, overrides), data_directory(data_dir)
    if to is None and config.data.prepared is None:
        raise UsageError("--to is missing: give the folder for the token ids, or name it in the config, data.prepared")
    final = place_of(to) if to is not None else place_of(config.data.prepared or "", base)
    config = config.model_copy(update={"data": config.data.model_copy(update={"prepared": None})})
    config = _with_role(config, base)
    _check(config)
    with tables.stdout_for_json(as_json):
        manifest = _prepare(config, base, final, workers, shards, overwrite)
    # A relative path of a config starts at the folder of the data.
    named = final if base == Path() or isinstance(final, RemotePath) else resolved(final)
    result = {
        "path": str(final),
        "prepared": str(named),
        **{name: manifest[name] for name in _SHOWN},
        "shards": len(manifest["shards"]),
    }
    tables.emit(result, as_json, lambda console: _show(console, result))
    return final


_SHOWN = ("task", "examples", "dropped", "tokens", "hash")


def _show(console: Any, result: Mapping[str, Any]) -> None:
    tokens = ", ".join(f"{count:,} {name}" for name, count in result["tokens"].items())
    console.print(
        f"{plural(result['examples'], 'example')} ({tokens}) in {plural(result['shards'], 'shard')}: {result['path']}"
    )
    console.print(f"Train from them: textapp train CONFIG --set data.prepared={result['prepared']}", soft_wrap=True)


def _check(config: Config) -> None:
    """Checks that a config can be prepared."""
    known = [name for name in TASKS if KEY in recipe_of(name).keys.keys]
    recipe = recipe_of(config.task, config.mode)
    if KEY not in recipe.keys.keys:
        found = f"{config.mode} {config.task}" if config.mode else config.task
        raise ConfigError(
            f"task: found {found}, expected {' or '.join(known)}: the others have no prepared data: train from the "
            "texts"
        )
    if reason := preparable(config).unprepared(config):
        raise ConfigError(reason)
    if config.data.train is None:
        raise ConfigError("data.train: found nothing, expected the files to prepare")
    for name, share in config.data.shares.items():
        raise ConfigError(
            f"data.{name}: found {share:g}, a share of the training texts, expected files: the texts are read one "
            f"after the other, and a share is drawn from all of them at once: put the texts of {name} into a file"
        )


def _with_role(config: Config, data_dir: Path) -> Config:
    """A config whose model has its role, if the task has models of several; a preset's folder may tell it."""
    keys = recipe_of_config(config, data_dir).keys
    if "model.role" not in keys.keys:
        return config
    return config.model_copy(update={"model": config.model.model_copy(update={"role": keys.role})})


def _without_other_splits(config: Config) -> Config:
    return config.model_copy(update={"data": config.data.model_copy(update={"validation": 0.5, "test": None})})


def _prepare(
    config: Config, data_dir: Path, final: Path | RemotePath, workers: int, shards: int | None, overwrite: bool
) -> dict[str, Any]:
    recipe, remote = preparable(config), final if isinstance(final, RemotePath) else None
    # What is to be elsewhere is made here, and copied when it is finished: an object store renames nothing.
    local = cache_folder() / f"prepare-{sha256_of(str(final))[:16]}" if remote else final
    if remote:
        local.parent.mkdir(parents=True, exist_ok=True)
    place, replaces = resolved(local), _check_remote(remote) if remote else check_target(local, KIND)
    if replaces and not overwrite:
        raise ArtifactError(f"{final}: is finished already: use --overwrite to replace it, or --to DIR for another one")
    with WorkFolder(place, "preparation", keeps=REQUEST, overwrite=overwrite) as work:
        tell_renamed(work.settle(made_files))
        sums = checksums(_without_other_splits(config), data_dir)
        check_no_input(place, map(Path, sums))
        try:
            _open_work(config, sums, shards, work, overwrite)
            layout = settled_layout(recipe, config, data_dir)
            with Pool(workers) as pool:
                manifest = _make(config, data_dir, recipe, layout, work.new, pool, shards, sums)
            if remote:
                publish(work.new, remote)
            Spool.remove(work.new)
            (work.new / REQUEST).unlink()
        except OSError as error:
            raise ArtifactError(
                f"{work.path}: could not be written or read: {error}; what is finished is kept: mend it and run the "
                "same command again"
            ) from error
        if not remote:
            tell_renamed(work.swap(made_files))
    return manifest


def _check_remote(place: RemotePath) -> bool:
    """Checks that a folder elsewhere can be written; returns whether there is a finished preparation."""
    try:
        place.check_writable()
        return (place / MANIFEST).is_file()
    except OSError as error:
        raise UsageError(f"{place}: cannot be written: {error}") from error


def _open_work(config: Config, sums: Mapping[str, str], shards: int | None, work: WorkFolder, overwrite: bool) -> None:
    """Clears the folder, or goes on in that of an interrupted preparation with the same config and data."""
    request = work.new / REQUEST
    asked = _without_other_splits(config).model_copy(update={"run": "run", "training": type(config.training)()})
    if request.is_file() and not overwrite:
        try:
            content = json.loads(request.read_text(encoding="utf-8"))
            before, sums_before = parse_config(content["config"], source=str(request)), dict(content["files"])
            number, version = content["shards"], content["version"]
        except (OSError, ValueError, KeyError, TypeError, TextappError) as error:
            raise ArtifactError(f"{request}: damaged ({error}): use --overwrite to start again") from error
        found = changed(sums_before, sums)
        if (key := differing_key(before, asked)) or number != shards or version != _VERSIONS:
            other = f"with another config, {key!r} differs" if key else "with another number of shards"
            found = f"{work.path}: was started {other if version == _VERSIONS else 'by another version of textapp'}"
        if found:
            raise ArtifactError(f"{found}, so it cannot be resumed: use --overwrite to start again")
        log.info("resuming %s", work.path)
        return
    work.clear()
    content = {"config": asked.model_dump(mode="json"), "files": sums, "shards": shards, "version": _VERSIONS}
    write_text(request, json.dumps(content, ensure_ascii=False))


def _make(
    config: Config, data_dir: Path, recipe: PreparableRecipe, layout: Layout, folder: Path, pool: Pool,
    shards: int | None, sums: Mapping[str, str],
) -> dict[str, Any]:  # fmt: skip
    """Makes all files in a folder, but those that are finished there, and the manifest last.

    Args:
        config: as it was loaded.
        data_dir: base folder of relative data paths.
        recipe, layout: of the config.
        folder: where the files are made.
        pool: its processes.
        shards: number of shards; None: by the number of examples.
        sums: of the training files.

    Returns:
        The manifest.
    """
    spool = read_texts(config, data_dir, layout, folder, pool)
    labels, source = labelled.sorted_labels(spool.labels), config.data.train
    if "label" in recipe.keys.columns:
        labelled.check_labels(labels, len(spool), source, layout)
    if not len(spool):
        raise DataError(f"{describe(source)}: no example has the texts that it needs; expected some")
    begun = recipe.begin(locate(config, data_dir), Splits(spool, [], [], {}), folder)  # type: ignore[arg-type]
    encoder = recipe.encoder(begun.config, labels, folder)
    features = list(encoder.encode(spool[:1]))
    wanted = shards_of(len(spool), shards)
    unknown = write_shards(begun.config, labels, folder, wanted, pool)
    sizes = {name: 0 for name in features}
    for shard in wanted:
        table = np.load(folder / index_name(shard.name), mmap_mode="r")
        for number, name in enumerate(features, start=2):
            sizes[name] += int(table[:, number].sum())
    for (name, id_), tokenizer in zip(encoder.unknown_ids.items(), begun.tokenizers, strict=False):
        if name in unknown and id_ is not None:
            warn_of_share(unknown[name] / max(1, sizes[name]), tokenizer, f"the training texts ({name})")
    settings = settings_of(begun.config)
    manifest = {
        "kind": KIND, "version": VERSION, "task": config.task, "examples": len(spool), "dropped": spool.dropped,
        "features": features, "tokens": {name: sizes[name] for name in encoder.unknown_ids}, "labels": labels,
        "label_counts": [spool.labels[label] for label in labels], "languages": begun.languages,
        "size": begun.size, "origin": describe(source), "layout": layout.to_manifest(), "settings": settings,
        "hash": sha256_of([VERSION, settings, list(sums.values())]), "sources": _named_from(data_dir, sums),
        "seed": config.seed,
        "shards": {shard.name: shard.end - shard.begin for shard in wanted},
        "versions": {name: metadata.version(name) for name in PACKAGES},
    }  # fmt: skip
    tokenizer_files = [file for name in (TOKENIZER, TARGET_TOKENIZER) for file in sorted((folder / name).glob("*"))]
    files = [*(file.relative_to(folder).as_posix() for file in tokenizer_files)]
    files += [name for shard in wanted for name in (shard.name, index_name(shard.name))]
    write_manifest(folder, manifest, files)
    return manifest


def _named_from(data_dir: Path, sums: Mapping[str, str]) -> dict[str, str]:
    """Checksums by the names of files from the folder of the data on: the folder may go to another machine."""
    base = data_dir.resolve()
    files = {Path(name).resolve(): sum for name, sum in sums.items()}
    return {
        (file.relative_to(base).as_posix() if file.is_relative_to(base) else file.name): sum
        for file, sum in files.items()
    }
