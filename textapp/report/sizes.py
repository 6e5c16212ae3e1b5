"""The size of a model on disk, told three ways: file, file as gzip packs it, parameters that are not zero."""

from __future__ import annotations

import importlib.util
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from textapp.metrics.size import gzip_bytes, size_bytes
from textapp.runners import weights

KERAS, TFLITE, SAVED_MODEL = "model.keras", "model.tflite", "saved_model"
_WEIGHTS = "model.weights.h5"
_NO_WEIGHTS = ("optimizer", "seed_generator")  # groups of a Keras file that are none of the model's parameters


def sizes(folder: Path) -> dict[str, int]:
    """Measures the model of a run or a bundle, without its tokenizer.

    Args:
        folder: of the run or the bundle, opened and checked.

    Returns:
        `file_bytes`, `gzip_bytes`, and, where the installed packages can read the file, `parameters` and `nonzero`;
        empty if the folder has no model.
    """
    model = next((folder / name for name in (KERAS, TFLITE, SAVED_MODEL) if (folder / name).exists()), None)
    if model is None:
        return {}
    counted = {KERAS: _in_keras, TFLITE: weights.parameters}.get(model.name, lambda _: None)(model)
    return {"file_bytes": size_bytes(model), "gzip_bytes": gzip_bytes(model), **(counted or {})}


def _in_keras(file: Path) -> dict[str, int] | None:
    """The parameters of a `.keras` file; None without h5py, which comes with Keras, or if it is none."""
    if importlib.util.find_spec("h5py") is None:
        return None
    import h5py

    try:
        with zipfile.ZipFile(file) as archive, archive.open(_WEIGHTS) as stored, h5py.File(stored, "r") as tree:
            stranger = sum(each.nbytes for each in _datasets(tree)) > file.stat().st_size  # zeros that nobody stored
            arrays = [] if stranger else [np.asarray(each) for each in _datasets(tree)]
    except (zipfile.BadZipFile, zlib.error, KeyError, ValueError, OSError, RuntimeError):
        return None
    if stranger:
        return None
    return {
        "parameters": int(sum(array.size for array in arrays)),
        "nonzero": int(sum(np.count_nonzero(array) for array in arrays)),
    }


def _datasets(group: Any) -> Iterator[Any]:
    for name, item in group.items():
        if name in _NO_WEIGHTS:
            continue
        if hasattr(item, "items"):
            yield from _datasets(item)
        else:
            yield item
