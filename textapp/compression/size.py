"""The size of a model told three ways: its file, the file as gzip packs it, and the parameters that are not zero."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import keras
import numpy as np

from textapp.metrics.size import gzip_bytes


def sizes(model: keras.Model, folder: Path) -> dict[str, Any]:
    """Measures a model as it would be saved.

    Args:
        model: a finished model.
        folder: where it is saved for a moment.

    Returns:
        `file_bytes` and `gzip_bytes` of the `.keras` file, `parameters`, and `nonzero` of them.
    """
    with TemporaryDirectory(dir=folder) as place:
        file = Path(place) / "model.keras"
        model.save(file)
        weights = [keras.ops.convert_to_numpy(weight) for weight in model.weights]
        return {
            "file_bytes": file.stat().st_size,
            "gzip_bytes": gzip_bytes(file),
            "parameters": int(sum(weight.size for weight in weights)),
            "nonzero": int(sum(np.count_nonzero(weight) for weight in weights)),
        }
