"""The first step of `textapp prepare`: reads the training texts, parts of files at the same time, into a spool."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, cast

from textapp.catalog import parse_config, recipe_of
from textapp.commands.prepare_pool import Pool
from textapp.config import Config
from textapp.errors import TextappError
from textapp.recipes.recipe import PreparableRecipe
from textapp.records.layout import Layout
from textapp.records.parts import Part, Records, Uncut, parts_of, read_part
from textapp.records.sources import Source, describe
from textapp.records.spool import Spool, is_part, is_spool, notes_of, write_part
from textapp.training.progress import RateLines

log = logging.getLogger("textapp")


class _Job(NamedTuple):
    """What the processes need, as plain values.

    Attributes:
        config: as it was loaded.
        layout: of its files.
        folder: of the spool.
    """

    config: dict[str, Any]
    layout: Layout
    folder: str


class _Task(NamedTuple):
    """A part, and the name that it has in the spool: the number of its file, and its own in there."""

    name: str
    part: Part


def read_texts(config: Config, data_dir: Path, layout: Layout, folder: Path, pool: Pool) -> Spool:
    """The training records on disk, in the order of their files; parts that are finished there are kept.

    If a part of a file is at fault, or has something to tell that its first part has not, the file is read again as a
    whole, by which its lines are counted right.

    Args:
        config: as it was loaded.
        data_dir: base folder of relative paths.
        layout: of its files.
        folder: for the records.
        pool: reads the parts.

    Raises:
        DataError: the files cannot be read.
    """
    if is_spool(folder):
        return Spool(folder)
    recipe, tell, seen = preparable(config), RateLines("reading"), 0
    assert config.data.train is not None
    groups = {
        f"{number:05}": parts
        for number, parts in enumerate(parts_of(config.data.train, layout, data_dir, recipe.line_files(config)))
    }
    tasks = [
        _Task(f"{name}-{number:05}", part)
        for name, parts in groups.items()
        if len(parts) > 1 and pool.workers > 1 and not is_part(folder, name)
        for number, part in enumerate(parts)
    ]
    job = _Job(config.model_dump(mode="json"), layout, str(folder))
    for _, count in pool.results(_begin, job, [task for task in tasks if not is_part(folder, task.name)]):
        seen += count
        tell(seen)
    names: list[str] = []
    for name, parts in groups.items():
        of_parts = [task.name for task in tasks if task.name.startswith(f"{name}-")]
        if of_parts and _agree(folder, of_parts):
            names += of_parts
            for note in notes_of(folder, of_parts[0]):
                log.warning("%s", note)
            continue
        names.append(name)
        if not is_part(folder, name):
            blocks = recipe.read(parts[0].source, layout, Path(), config)
            keeps = partial(recipe.has_text, config=config)
            write_part(folder, name, blocks, keeps, lambda count, begun=seen: tell(begun + count))  # type: ignore[misc]
    spool = Spool.of(folder, names)
    if spool.dropped:
        log.warning(
            "%s: dropped %s of %s training examples: a text is empty%s", describe(config.data.train),
            f"{spool.dropped:,}", f"{len(spool) + spool.dropped:,}",
            ", or there is no answer to learn from" if "answer" in recipe.keys.columns else "",
        )  # fmt: skip
    return spool


def _agree(folder: Path, names: list[str]) -> bool:
    """Whether all parts of a file could be read, and none has to tell more than the first."""
    if not all(is_part(folder, name) for name in names):
        return False
    first = notes_of(folder, names[0])
    return all(note in first for name in names[1:] for note in notes_of(folder, name))


def preparable(config: Config) -> PreparableRecipe:
    """The recipe of a config that can be prepared."""
    return cast(PreparableRecipe, recipe_of(config.task, config.mode, config.model.role))


# --- in the processes ----------------------------------------------------------------------------------------------


def _begin(job: _Job) -> Callable[[_Task], int]:
    """The function that writes a part, and returns its number of records: 0 if the whole has to be read."""
    config, folder = parse_config(job.config), Path(job.folder)
    recipe = preparable(config)
    keeps, heads = partial(recipe.has_text, config=config), dict[str, int]()

    def read(source: Source) -> Iterator[Records]:
        return recipe.read(source, job.layout, Path(), config)

    def write(task: _Task) -> int:
        counts = [0]
        with _noted() as notes, suppress(TextappError, Uncut):
            blocks = read_part(task.part, read, heads)
            write_part(folder, task.name, blocks, keeps, counts.append, notes)
            return counts[-1]
        return 0

    return write


class _Notes(logging.Handler):
    """Keeps warnings."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


@contextmanager
def _noted() -> Iterator[list[str]]:
    """What is warned of within, in place of the log: the process that started this one tells it."""
    notes, handlers, propagate = _Notes(), log.handlers, log.propagate
    log.handlers, log.propagate = [notes], False
    try:
        yield notes.lines
    finally:
        log.handlers, log.propagate = handlers, propagate
