"""Loads the records of a run, in the splits of its config."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from textapp.artifact import local_copy
from textapp.config import Config
from textapp.errors import ConfigError, DataError
from textapp.recipes.recipe import Recipe, Records
from textapp.records.files import expand
from textapp.records.label_layout import settle_labels
from textapp.records.layout import Layout, settle_columns
from textapp.records.shards import TokenShards
from textapp.records.sources import describe, parallel_sides
from textapp.records.splits import Parts, Splits
from textapp.remote import RemotePath, place_of
from textapp.untrusted import OBJECT, key

FIRST = 3  # records of a split that `textapp check` shows


def settled_layout(recipe: Recipe, config: Config, data_dir: Path, prepared: TokenShards | None = None) -> Layout:
    """The layout of the files of a run, with the columns and the divider of labels found in its training files.

    Without training files those of another split take their place; without any the layout is that of the config.

    Args:
        recipe: of the task.
        config: as `load_config` returned it.
        data_dir: base folder of relative paths.
        prepared: the training examples on disk, whose layout it then is.
    """
    if prepared is not None:
        return Layout.of_manifest(key(prepared.manifest, "layout", OBJECT), recipe.keys)
    layout, files = Layout.of_config(config, recipe.keys), config.data.first_files
    if files is None:
        return layout
    return settle_labels(files, settle_columns(files, layout, data_dir), data_dir)


def data_files(config: Config, data_dir: Path) -> list[Path]:
    """The files of all splits of a config.

    Raises:
        DataError: a file is missing.
    """
    wanted: tuple[Any, ...] = (config.data.train_texts, config.data.validation, config.data.test)
    sources = [source for source in wanted if source is not None and not isinstance(source, float)]
    sides = [side for source in sources for side in parallel_sides(source) or (source,)]
    return list(dict.fromkeys(file for side in sides for file in expand(side, data_dir)))


def open_prepared(config: Config, data_dir: Path) -> TokenShards | None:
    """The training examples of a prepared folder, checked; None if the config names none.

    Raises:
        ArtifactError: the folder is none, or damaged.
        ConfigError: it was prepared for another task.
    """
    if config.data.prepared is None:
        return None
    place = place_of(config.data.prepared, data_dir)
    shards = TokenShards.open(local_copy(place) if isinstance(place, RemotePath) else place)
    found, expected = [shards.settings.get(name) for name in ("task", "mode")], [config.task, config.mode]
    if found != expected and (found[0] != config.task or config.mode is not None):  # else the mode is a default
        named = [" ".join(filter(None, parts)) for parts in (found, expected)]
        raise ConfigError(f"data.prepared: {shards.folder}: was prepared for {named[0]}, expected {named[1]}")
    return shards


def load_splits(
    recipe: Recipe,
    config: Config,
    data_dir: Path,
    layout: Layout | None = None,
    prepared: TokenShards | None = None,
) -> Splits:
    """Loads the training, validation and test records of a config.

    A share for test is taken from train first, then the share for validation from the rest. Training examples without
    text are dropped with a warning; in other splits they stay.

    Args:
        recipe: of the task.
        config: as `load_config` returned it.
        data_dir: base folder of relative paths.
        layout: of the files, if `settled_layout` was called already.
        prepared: the training examples, if the config names a prepared folder; without them there are none then.

    Raises:
        DataError: a file is invalid, a share leaves no example, train cannot be trained on, or another split has a
            label that train does not have.
    """
    data = config.data
    layout = layout or settled_layout(recipe, config, data_dir)
    train: Records = []
    first: dict[str, Records] = {}
    origin: dict[str, str] = {}
    if prepared is not None:
        layout = replace(layout, labels=tuple(prepared.labels))
        origin["train"] = prepared.origin
    if (texts := data.train_texts) is not None:
        train = recipe.load(texts, layout, data_dir)
        first["train"] = train[:FIRST]
        train = recipe.trainable(train, texts, layout)
        layout = replace(layout, labels=recipe.labels(train))
        origin["train"] = describe(texts)
    splits: dict[str, Records] = {"test": [], "validation": []}
    for name, wanted in (("test", data.test), ("validation", data.validation)):
        if isinstance(wanted, float):
            if data.train_texts is None:
                continue  # a share of nothing
            train, splits[name] = _set_aside(recipe, config, train, wanted, name)
            origin[name] = f"{100 * wanted:g} % of train"
        elif wanted is not None:
            splits[name] = recipe.load(wanted, layout, data_dir)
            first[name] = splits[name][:FIRST]
            origin[name] = describe(wanted)
    return Splits(train, splits["validation"], splits["test"], origin, first, prepared)


def _set_aside(recipe: Recipe, config: Config, train: Records, share: float, name: str) -> Parts:
    rest, taken = recipe.set_aside(train, share, config)
    if not taken or not rest:
        found = f"data.{name}: {share:g} of {len(train)} training examples leaves no example for"
        if not rest:
            raise DataError(f"{found} train; expected a smaller share, more examples, or a file")
        raise DataError(f"{found} {name}; {_enough(recipe, config, train, share)}")
    return rest, taken


def _enough(recipe: Recipe, config: Config, train: Records, share: float) -> str:
    """What to expect in place of a share that sets nothing aside: the smallest that does, if there is one."""
    larger = [part / 20 for part in range(1, 20) if part / 20 > share]
    enough = next((other for other in larger if all(recipe.set_aside(train, other, config))), None)
    if enough is not None:
        return f"expected a larger share, such as {enough:g}, more examples, or a file"
    labels = len(recipe.labels(train))
    if len(train) == 1:
        why = "there is one example, which stays in train"
    elif labels:
        why = "each of them is the only one of its label, or goes with the others, and stays in train"
    else:
        why = "the examples have texts in common, which stay together in train"
    return f"no share does: {why}; expected more examples, or a file"
