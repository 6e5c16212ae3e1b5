"""Loads the records of a run, in the splits of its config."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from textapp.config import Config
from textapp.errors import DataError
from textapp.recipes.recipe import Recipe, Records
from textapp.records.label_layout import settle_labels
from textapp.records.layout import Layout, settle_columns
from textapp.records.sources import describe
from textapp.records.splits import Parts, Splits


def settled_layout(recipe: Recipe, config: Config, data_dir: Path) -> Layout:
    """The layout of the files of a run, with the columns and the divider of labels found in its training files.

    Args:
        recipe: of the task.
        config: as `load_config` returned it.
        data_dir: base folder of relative paths.
    """
    layout = settle_columns(config.data.train, Layout.of_config(config, recipe.keys), data_dir)
    return settle_labels(config.data.train, layout, data_dir)


def load_splits(recipe: Recipe, config: Config, data_dir: Path) -> Splits:
    """Loads the training, validation and test records of a config.

    A share for test is taken from train first, then the share for validation from the rest. Training examples without
    text are dropped with a warning; in other splits they stay.

    Args:
        recipe: of the task.
        config: as `load_config` returned it.
        data_dir: base folder of relative paths.

    Raises:
        DataError: a file is invalid, a share leaves no example, train cannot be trained on, or another split has a
            label that train does not have.
    """
    data = config.data
    layout = settled_layout(recipe, config, data_dir)
    train = recipe.trainable(recipe.load(data.train, layout, data_dir), data.train, layout)
    layout = replace(layout, labels=recipe.labels(train))
    splits: dict[str, Records] = {"test": [], "validation": []}
    origin = {"train": describe(data.train)}
    for name, wanted in (("test", data.test), ("validation", data.validation)):
        if isinstance(wanted, float):
            train, splits[name] = _set_aside(recipe, config, train, wanted, name)
            origin[name] = f"{100 * wanted:g} % of train"
        elif wanted is not None:
            splits[name] = recipe.load(wanted, layout, data_dir)
            origin[name] = describe(wanted)
    return Splits(train, splits["validation"], splits["test"], origin)


def _set_aside(recipe: Recipe, config: Config, train: Records, share: float, name: str) -> Parts:
    rest, taken = recipe.set_aside(train, share, config)
    if not taken or not rest:
        empty, other = (name, "larger") if rest else ("train", "smaller")
        raise DataError(
            f"data.{name}: {share:g} of {len(train)} training examples leaves no example for {empty};"
            f" expected a {other} share, more examples, or a file"
        )
    return rest, taken
