"""`textapp prepare`: tokenises the training texts of a config in parallel into shards that a training reads."""

from __future__ import annotations

import hashlib
import json
import logging
import multiprocessing
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np

from textapp.artifact import (
    TARGET_TOKENIZER,
    TOKENIZER,
    check_no_input,
    check_target,
    made_files,
    tell_renamed,
    write_manifest,
)
from textapp.catalog import TASKS, load_config, parse_config, recipe_of
from textapp.commands import tables
from textapp.commands.train import changed, checksums
from textapp.config import Config, data_directory, differing_key
from textapp.errors import ArtifactError, ConfigError, DataError, TextappError, UsageError
from textapp.folders import WorkFolder, resolved, write_text
from textapp.processes import usable_cores
from textapp.recipes.preparing import KEY, settings_of
from textapp.recipes.recipe import PreparableRecipe
from textapp.recipes.resolving import locate
from textapp.recipes.splits import settled_layout
from textapp.recipes.tokenizers import warn_of_share
from textapp.records import labelled
from textapp.records.layout import Layout
from textapp.records.shards import FOLDER, KIND, VERSION, Block, index_name, remove_partial, shard_name, write_shard
from textapp.records.sources import describe
from textapp.records.splits import Splits
from textapp.records.spool import COUNTED, Spool

log = logging.getLogger("textapp")
REQUEST = "request.json"  # what an interrupted preparation was started with
SHARD_EXAMPLES = 250_000  # of a shard, at most
USUAL_SHARDS, MIN_EXAMPLES = 16, 10_000  # as many shards, unless they had fewer examples: all processes get some
SECONDS_BETWEEN_LINES = 10.0
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
) -> Path:
    """Writes the training examples of a config as token ids; a training reads them by `data.prepared`.

    Args:
        config_path: the YAML.
        to: the folder; None: `data.prepared` of the config.
        overrides: `key=value` pairs that replace config keys.
        data_dir: base folder of relative data paths.
        workers: processes that tokenise; None: one for each core.
        shards: number of files; None: by the number of examples.
        overwrite: replace a finished or interrupted preparation; files in it that textapp did not make stay.
        as_json: print JSON.

    Returns:
        The folder.

    Raises:
        ConfigError: the task has no prepared data, or a split would be a share of train.
        ArtifactError: the folder is finished, was started with another config or other data, or is in use.
        UsageError: there is no name for the folder, or its place cannot be written.
        DataError: the data cannot be read.
    """
    config, base = load_config(config_path, overrides), data_directory(data_dir)
    if to is None and config.data.prepared is None:
        raise UsageError("--to is missing: give the folder for the token ids, or name it in the config, data.prepared")
    final = Path(to) if to is not None else base / os.path.expanduser(config.data.prepared or "")
    config = config.model_copy(update={"data": config.data.model_copy(update={"prepared": None})})
    _check(config)
    with tables.stdout_for_json(as_json):
        manifest = _prepare(config, base, final, workers or usable_cores(), shards, overwrite)
    # A relative path of a config starts at the folder of the data.
    named = final if base == Path() else resolved(final)
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
    console.print(f"{result['examples']:,} examples ({tokens}) in {result['shards']} shards: {result['path']}")
    console.print(f"Train from them: textapp train CONFIG --set data.prepared={result['prepared']}", soft_wrap=True)


def _check(config: Config) -> None:
    """Checks that a config can be prepared."""
    known = [name for name in TASKS if KEY in recipe_of(name).keys.keys]
    if KEY not in recipe_of(config.task, config.mode).keys.keys:
        found = f"{config.mode} {config.task}" if config.mode else config.task
        raise ConfigError(
            f"task: found {found}, expected {' or '.join(known)}: other tasks cut their texts into windows or "
            "documents as a training needs them, and have no prepared data: train from the texts"
        )
    if config.data.train is None:
        raise ConfigError("data.train: found nothing, expected the files to prepare")
    for name, share in config.data.shares.items():
        raise ConfigError(
            f"data.{name}: found {share:g}, a share of the training texts, expected files: the texts are read one "
            f"after the other, and a share is drawn from all of them at once: put the texts of {name} into a file"
        )


def _without_other_splits(config: Config) -> Config:
    return config.model_copy(update={"data": config.data.model_copy(update={"validation": 0.5, "test": None})})


def _prepare(
    config: Config, data_dir: Path, final: Path, workers: int, shards: int | None, overwrite: bool
) -> dict[str, Any]:
    place, recipe = resolved(final), cast(PreparableRecipe, recipe_of(config.task, config.mode))
    replaces = check_target(final, KIND)
    if replaces and not overwrite:
        raise ArtifactError(f"{final}: is finished already: use --overwrite to replace it, or --to DIR for another one")
    with WorkFolder(place, "preparation", keeps=REQUEST) as work:
        tell_renamed(work.settle(made_files))
        sums = checksums(_without_other_splits(config), data_dir)
        check_no_input(place, map(Path, sums))
        try:
            _open_work(config, sums, shards, work, overwrite)
            layout = settled_layout(recipe, config, data_dir)
            manifest = _make(config, data_dir, recipe, layout, work.new, workers, shards, sums)
            Spool.remove(work.new)
            (work.new / REQUEST).unlink()
        except OSError as error:
            raise ArtifactError(
                f"{work.path}: could not be written or read: {error}; what is finished is kept: mend it and run the "
                "same command again"
            ) from error
        tell_renamed(work.swap(made_files))
    return manifest


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
        if (key := differing_key(before, asked)) or number != shards or version != VERSION:
            found = f"{work.path}: was started with another {f'config, {key!r} differs' if key else 'number of shards'}"
        if found:
            raise ArtifactError(f"{found}, so it cannot be resumed: use --overwrite to start again")
        log.info("resuming %s", work.path)
        return
    work.clear()
    content = {"config": asked.model_dump(mode="json"), "files": sums, "shards": shards, "version": VERSION}
    write_text(request, json.dumps(content, ensure_ascii=False))


def _make(
    config: Config, data_dir: Path, recipe: PreparableRecipe, layout: Layout, folder: Path, workers: int,
    shards: int | None, sums: Mapping[str, str],
) -> dict[str, Any]:  # fmt: skip
    """Makes all files in a folder, but those that are finished there, and the manifest last.

    Args:
        config: as it was loaded.
        data_dir: base folder of relative data paths.
        recipe, layout: of the config.
        folder: where the files are made.
        workers: number of processes.
        shards: number of shards; None: by the number of examples.
        sums: of the training files.

    Returns:
        The manifest.
    """
    spool = _texts(config, data_dir, recipe, layout, folder)
    labels, source = labelled.sorted_labels(spool.labels), config.data.train
    if "label" in recipe.keys.columns:
        labelled.check_labels(labels, len(spool), source, layout)
    if not len(spool):
        raise DataError(f"{describe(source)}: no example has the texts that it needs; expected some")
    begun = recipe.begin(locate(config, data_dir), Splits(spool, [], [], {}), folder)  # type: ignore[arg-type]
    encoder = recipe.encoder(begun.config, labels, folder)
    features = list(encoder.encode(spool[:1]))
    wanted = _shards(len(spool), shards)
    (folder / FOLDER).mkdir(exist_ok=True)
    remove_partial(folder)
    job = _Job(begun.config.model_dump(mode="json"), str(folder), labels)
    unknown = _write(job, [shard for shard in wanted if not _finished(folder, shard)], workers, len(spool))
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
        "origin": describe(source), "layout": layout.to_manifest(), "settings": settings,
        "hash": _hash([VERSION, settings, list(sums.values())]), "sources": dict(sums), "seed": config.seed,
        "shards": {shard.name: shard.end - shard.begin for shard in wanted},
        "versions": {name: metadata.version(name) for name in PACKAGES},
    }  # fmt: skip
    tokenizer_files = [file for name in (TOKENIZER, TARGET_TOKENIZER) for file in sorted((folder / name).glob("*"))]
    files = [*(file.relative_to(folder).as_posix() for file in tokenizer_files)]
    files += [name for shard in wanted for name in (shard.name, index_name(shard.name))]
    write_manifest(folder, manifest, files)
    return manifest


def _hash(value: Any) -> str:
    """The SHA-256 of what determined the content of a folder."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def _texts(config: Config, data_dir: Path, recipe: PreparableRecipe, layout: Layout, folder: Path) -> Spool:
    """The training records on disk, read once from the files of the config."""
    if (folder / COUNTED).is_file():
        return Spool(folder)
    source, tell = config.data.train, _Lines("reading")
    spool = Spool.write(folder, recipe.read(source, layout, data_dir), recipe.has_text, tell)
    if spool.dropped:
        log.warning(
            "%s: dropped %s of %s training examples: a text is empty",
            describe(source), f"{spool.dropped:,}", f"{len(spool) + spool.dropped:,}",
        )  # fmt: skip
    return spool


class _Lines:
    """Lines of progress, one every ten seconds.

    Args:
        what: is done.
        total: number of examples, if it is known.
    """

    def __init__(self, what: str, total: int | None = None) -> None:
        self._what, self._total, self._started = what, total, time.monotonic()
        self._last = self._started

    def __call__(self, done: int) -> None:
        now = time.monotonic()
        if now - self._last < SECONDS_BETWEEN_LINES and done != self._total:
            return
        self._last, rate = now, done / max(1e-3, now - self._started)
        of_all = f" of {self._total:,}" if self._total else ""
        left = f", {(self._total - done) / max(1e-3, rate):.0f} s left" if self._total and done < self._total else ""
        log.info("%s: %s%s examples, %s/s%s", self._what, f"{done:,}", of_all, f"{rate:,.0f}", left)


# --- shards --------------------------------------------------------------------------------------------------------


class _Shard(NamedTuple):
    """A shard to write: its name in the folder, and its examples from one number to another."""

    name: str
    begin: int
    end: int


class _Job(NamedTuple):
    """What the processes need, as plain values: a config with its tokenizer filled in, the folder, the labels."""

    config: dict[str, Any]
    folder: str
    labels: list[str]


def _shards(examples: int, count: int | None) -> list[_Shard]:
    usual = max(min(USUAL_SHARDS, examples // MIN_EXAMPLES), -(-examples // SHARD_EXAMPLES), 1)
    count = min(count or usual, examples)
    return [
        _Shard(shard_name(number, count), examples * number // count, examples * (number + 1) // count)
        for number in range(count)
    ]


def _finished(folder: Path, shard: _Shard) -> bool:
    """Whether an interrupted call wrote a shard; its index is the last that gets its name."""
    return (folder / shard.name).is_file() and (folder / index_name(shard.name)).is_file()


def _write(job: _Job, shards: Sequence[_Shard], workers: int, examples: int) -> Counter[str]:
    """Writes shards with several processes; returns the number of unknown tokens of each feature.

    Raises:
        TextappError: a process was killed.
    """
    unknown: Counter[str] = Counter()
    if not shards:
        return unknown
    tell = _Lines("tokenising", examples)
    done = examples - sum(shard.end - shard.begin for shard in shards)
    workers = min(workers, len(shards))
    if workers == 1:
        _begin(job)
        for shard in shards:
            unknown.update(_write_shard(shard))
            done += shard.end - shard.begin
            tell(done)
        return unknown
    context = multiprocessing.get_context("spawn")
    executor = ProcessPoolExecutor(workers, mp_context=context, initializer=_begin_child, initargs=(job,))
    try:
        futures = {executor.submit(_write_shard, shard): shard for shard in shards}
        for future in as_completed(futures):
            unknown.update(future.result())
            done += futures[future].end - futures[future].begin
            tell(done)
    except BrokenProcessPool as error:
        raise TextappError(
            "a process that tokenises was killed (out of memory?): run the same command again, finished shards are kept"
        ) from error
    finally:
        executor.shutdown(wait=True, cancel_futures=True)
    return unknown


_current: dict[str, Any] = {}  # of this process: the encoder, the records and the job


def _begin_child(job: _Job) -> None:
    """Begins a process that ends when the one that started it does."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    parent = multiprocessing.parent_process()
    assert parent is not None

    def follow() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()
    _begin(job)


def _begin(job: _Job) -> None:
    config, folder = parse_config(job.config), Path(job.folder)
    encoder = cast(PreparableRecipe, recipe_of(config.task, config.mode)).encoder(config, job.labels, folder)
    single = bool(job.labels) and config.data.labels == "single"
    _current.update(encoder=encoder, spool=Spool(folder), folder=folder, single=single)


def _write_shard(shard: _Shard) -> Counter[str]:
    """Writes a shard; returns the number of unknown tokens of each feature."""
    encoder, unknown = _current["encoder"], Counter[str]()

    def blocks() -> Iterator[Block]:
        for records in _current["spool"].blocks(shard.begin, shard.end):
            block = encoder.encode(records)
            for name, id_ in encoder.unknown_ids.items():
                unknown[name] += sum(row.count(id_) for row in block[name])
            yield block

    write_shard(_current["folder"] / shard.name, blocks(), _current["single"])
    return unknown
