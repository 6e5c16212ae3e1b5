"""From records to what a training takes: the config is completed, the tokenizer found or trained, texts become ids.

One file a task; each gives a `Prepared` that knows how its model is built, fed, measured and described.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from textapp.commands.prepare.classification import prepare_classification
from textapp.commands.prepare.common import CACHE, Prepared
from textapp.commands.prepare.generation import prepare_generation
from textapp.commands.prepare.tokenizers import make_tokenizer, make_tokenizers
from textapp.commands.prepare.translation import prepare_translation
from textapp.config import Config
from textapp.records.loading import Splits
from textapp.text.vectors import vector_dim

__all__ = ["CACHE", "Prepared", "locate", "make_tokenizer", "make_tokenizers", "prepare"]

PREPARE = {
    "classification": prepare_classification,
    "translation": prepare_translation,
    "generation": prepare_generation,
}


def prepare(config: Config, splits: Splits, folder: Path) -> Prepared:
    """Completes the config, finds or trains the tokenizers, and turns every text into ids.

    Args:
        config: its files located.
        splits: its records.
        folder: keeps tokenizer/ and the ids, for the next time.
    """
    return PREPARE[config.task](config, splits, folder)


def locate(config: Config, data_dir: Path) -> Config:
    """Finds the files that the model starts from, and takes the width of word vectors from their file.

    A relative path starts at `data_dir` where the file is there, else at the working directory.

    Raises:
        DataError: the file of word vectors is missing or not in the format.
    """
    model = config.model
    given = {key: getattr(model, key, None) for key in ("vectors", "path")}
    update: dict[str, Any] = {
        key: str(data_dir / path) for key, path in given.items() if path and (data_dir / path).exists()
    }
    if given["vectors"] and model.embedding_dim is None:
        update["embedding_dim"] = vector_dim(update.get("vectors", given["vectors"]))
    return config.model_copy(update={"model": model.model_copy(update=update)})
