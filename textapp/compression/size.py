"""The size of a model told three ways: its file, the file as gzip packs it, and the parameters that are not zero."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np

from textapp.metrics.size import gzip_bytes


def sizes(model: keras.Model, file: Path) -> dict[str, Any]:
    """Measures a model as its file has it.

    Args:
        model: a finished model.
        file: its `.keras` file, which is measured as it is: one that is written anew has another date, and other
            numbers of shared objects, or none.

    Returns:
        `file_bytes` and `gzip_bytes` of the `.keras` file, `parameters`, and `nonzero` of them.
    """
    weights = [keras.ops.convert_to_numpy(weight) for weight in model.weights]
    return {
        "file_bytes": file.stat().st_size,
        "gzip_bytes": gzip_bytes(file),
        "parameters": int(sum(weight.size for weight in weights)),
        "nonzero": int(sum(np.count_nonzero(weight) for weight in weights)),
    }
