"""Helpers of recipes to complete a config."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from textapp.config import Config, Model, TaskKeys, parse_config
from textapp.text.vectors import vector_dim


def filled(part: Model, defaults: Mapping[str, Any]) -> Model:
    """A part of a config, with defaults for the fields that are None."""
    return part.model_copy(update={key: value for key, value in defaults.items() if getattr(part, key) is None})


def completed(config: Config, update: Mapping[str, Any], keys: TaskKeys) -> Config:
    """Replaces parts of a config and checks it again.

    Args:
        config: the old config.
        update: the new parts.
        keys: of its task.

    Raises:
        ConfigError: the config conflicts with a value that was filled in.
    """
    return parse_config(config.model_copy(update=dict(update)).model_dump(mode="json"), {config.task: keys})


def locate(config: Config, data_dir: Path) -> Config:
    """Finds the files of a preset, its tokenizer or word vectors, and takes the size of word vectors from their file.

    A relative path starts at `data_dir` if the file is there, else at the working directory.

    Args:
        config: as `load_config` returned it.
        data_dir: base folder of relative data paths.

    Raises:
        DataError: the file of word vectors is missing or has another format.
    """
    model = config.model
    paths = {key: os.path.expanduser(getattr(model, key, None) or "") for key in ("vectors", "path")}
    update: dict[str, Any] = {
        key: str(data_dir / path) for key, path in paths.items() if path and (data_dir / path).exists()
    }
    if paths["vectors"] and getattr(model, "embedding_dim", None) is None:
        update["embedding_dim"] = vector_dim(update.get("vectors", paths["vectors"]))
    tokenizer = config.tokenizer
    if tokenizer is not None and tokenizer.path and (data_dir / os.path.expanduser(tokenizer.path)).exists():
        tokenizer = tokenizer.model_copy(update={"path": str(data_dir / os.path.expanduser(tokenizer.path))})
    return config.model_copy(update={"model": model.model_copy(update=update), "tokenizer": tokenizer})
