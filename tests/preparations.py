"""What a recipe makes of a config whose training texts may have been prepared."""

from __future__ import annotations

from pathlib import Path

from textapp.catalog import load_config, recipe_of_config
from textapp.prepared import Prepared
from textapp.recipes.resolving import locate
from textapp.recipes.splits import load_splits, open_prepared, settled_layout


def prepared_data(data: Path, name: str, folder: Path, *change: str) -> Prepared:
    """What the recipe prepares of the config `<name>.yaml` of a folder, with changed keys."""
    config = load_config(data / f"{name}.yaml", change)
    recipe, prepared = recipe_of_config(config, data), open_prepared(config, data)
    splits = load_splits(recipe, config, data, settled_layout(recipe, config, data, prepared), prepared)
    return recipe.prepare(locate(config, data), splits, folder)
