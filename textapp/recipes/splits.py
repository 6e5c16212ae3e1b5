"""Loads the records of a run, in the splits of its config."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from textapp.config import Config
from textapp.errors import DataError
from textapp.recipes.recipe import Recipe, Records
from textapp.records.files import expand
from textapp.records.label_layout import settle_labels
from textapp.records.layout import Layout, settle_columns
from textapp.records.sources import describe, parallel_sides
from textapp.records.splits import Parts, Splits

FIRST = 3  # records of a split that `textapp check` shows


def settled_layout(recipe: Recipe, config: Config, data_dir: Path) -> Layout:
    """The layout of the files of a run, with the columns and the divider of labels found in its training files.

    Without training files those of another split take their place; without any the layout is that of the config.

    Args:
        recipe: of the task.
        config: as `load_config` returned it.
        data_dir: base folder of relative paths.
    """
    layout, files = Layout.of_config(config, recipe.keys), config.data.first_files
    if files is None:
        return layout
    return settle_labels(files, settle_columns(files, layout, data_dir), data_dir)


def data_files(config: Config, data_dir: Path) -> list[Path]:
    """The files of all splits of a config.

    Raises:
        DataError: a file is missing.
    """
    wanted: tuple[Any, ...] = (config.data.train, config.data.validation, config.data.test)
    sources = [source for source in wanted if source is not None and not isinstance(source, float)]
    sides = [side for source in sources for side in parallel_sides(source) or (source,)]
    return list(dict.fromkeys(file for side in sides for file in expand(side, data_dir)))


def load_splits(recipe: Recipe, config: Config, data_dir: Path, layout: Layout | None = None) -> Splits:
    """Loads the training, validation and test records of a config.

    A share for test is taken from train first, then the share for validation from the rest. Training examples without
    text are dropped with a warning; in other splits they stay.

    Args:
        recipe: of the task.
        config: as `load_config` returned it.
        data_dir: base folder of relative paths.
        layout: of the files, if `settled_layout` was called already.

    Raises:
        DataError: a file is invalid, a share leaves no example, train cannot be trained on, or another split has a
            label that train does not have.
    """
    data = config.data
    layout = layout or settled_layout(recipe, config, data_dir)
    train: Records = []
    first: dict[str, Records] = {}
    origin: dict[str, str] = {}
    if data.train is not None:
        train = recipe.load(data.train, layout, data_dir)
        first["train"] = train[:FIRST]
        train = recipe.trainable(train, data.train, layout)
        layout = replace(layout, labels=recipe.labels(train))
        origin["train"] = describe(data.train)
    splits: dict[str, Records] = {"test": [], "validation": []}
    for name, wanted in (("test", data.test), ("validation", data.validation)):
        if isinstance(wanted, float):
            if data.train is None:
                continue  # a share of nothing
            train, splits[name] = _set_aside(recipe, config, train, wanted, name)
            origin[name] = f"{100 * wanted:g} % of train"
        elif wanted is not None:
            splits[name] = recipe.load(wanted, layout, data_dir)
            first[name] = splits[name][:FIRST]
            origin[name] = describe(wanted)
    return Splits(train, splits["validation"], splits["test"], origin, first)


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
