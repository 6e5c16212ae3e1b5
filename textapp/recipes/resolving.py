"""Helpers of recipes to complete a config."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from textapp.config import Config, Model, TaskKeys, parse_config
from textapp.config.model import published_config
from textapp.text.vectors import vector_dim

ENCODER_DECODERS = ("bart", "t5")  # words in the kind or the name of a preset


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


def writer_role(path: str) -> Literal["decoder", "encoder-decoder"]:
    """The role of a preset that writes: encoder-decoder for BART and T5, decoder for all others.

    What is wrong with the folder, or that its model does not write, is told where the model is read.

    Args:
        path: a folder in Hugging Face or KerasHub layout, a GGUF file, or the name of a KerasHub preset.

    Example: `writer_role("bart_base_en")` is `"encoder-decoder"`, `writer_role("smollm2_135m")` `"decoder"`.
    """
    config = published_config(path)
    kind = str(config.get("model_type") or config.get("class_name") or Path(path).name).lower()
    reads = config.get("is_encoder_decoder") is True or any(word in kind for word in ENCODER_DECODERS)
    return "encoder-decoder" if reads else "decoder"


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
