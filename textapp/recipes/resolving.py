"""What recipes share to complete a config."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from textapp.config import Config, Model, TaskKeys, parse_config
from textapp.text.vectors import vector_dim


def filled(part: Model, defaults: Mapping[str, Any]) -> Model:
    """A part of a config with defaults for the fields that it leaves open."""
    return part.model_copy(update={key: value for key, value in defaults.items() if getattr(part, key) is None})


def completed(config: Config, update: Mapping[str, Any], keys: TaskKeys) -> Config:
    """A config with other parts, checked again.

    Args:
        config: as it was.
        update: the parts that change.
        keys: of its task.

    Raises:
        ConfigError: what was given does not fit what was filled in.
    """
    return parse_config(config.model_copy(update=dict(update)).model_dump(mode="json"), {config.task: keys})


def locate(config: Config, data_dir: Path) -> Config:
    """Finds the files that the model starts from, and takes the width of word vectors from their file.

    A relative path starts at `data_dir` if the file is there, else at the working directory.

    Args:
        config: as `load_config` gave it.
        data_dir: where relative data paths start.

    Raises:
        DataError: the file of word vectors is missing or not in the format.
    """
    model = config.model
    given = {key: getattr(model, key, None) for key in ("vectors", "path")}
    update: dict[str, Any] = {
        key: str(data_dir / path) for key, path in given.items() if path and (data_dir / path).exists()
    }
    if given["vectors"] and getattr(model, "embedding_dim", None) is None:
        update["embedding_dim"] = vector_dim(update.get("vectors", given["vectors"]))
    return config.model_copy(update={"model": model.model_copy(update=update)})
