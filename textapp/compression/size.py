"""The size of a model told three ways: its file, the file as gzip packs it, and the parameters that are not zero."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import keras
import numpy as np

from textapp.metrics.size import gzip_bytes


def sizes(model: keras.Model, place: Path) -> dict[str, Any]:
    """Measures a model as its file has it.

    Args:
        model: a finished model.
        place: its `.keras` file, which is measured as it is: one that is written anew has another date, and other
            numbers of shared objects, or none; or a folder, in which the model is saved for a moment.

    Returns:
        `file_bytes` and `gzip_bytes` of the `.keras` file, `parameters`, and `nonzero` of them.
    """
    if place.is_dir():
        with TemporaryDirectory(dir=place) as folder:
            model.save(Path(folder) / "model.keras")
            return sizes(model, Path(folder) / "model.keras")
    weights = [keras.ops.convert_to_numpy(weight) for weight in model.weights]
    return {
        "file_bytes": place.stat().st_size,
        "gzip_bytes": gzip_bytes(place),
        "parameters": int(sum(weight.size for weight in weights)),
        "nonzero": int(sum(np.count_nonzero(weight) for weight in weights)),
    }
