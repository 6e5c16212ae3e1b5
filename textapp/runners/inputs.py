"""Inputs of a model's signatures as a file, for another process."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

Inputs = dict[str, dict[str, np.ndarray]]  # signature -> input name -> [examples, ...]


def save_inputs(path: Path, inputs: Mapping[str, Mapping[str, np.ndarray]]) -> None:
    """Writes inputs for another process.

    Args:
        path: an .npz file.
        inputs: signature -> input name -> `[examples, length]` int32.
    """
    np.savez(
        path, **{f"{signature}/{name}": rows for signature, named in inputs.items() for name, rows in named.items()}
    )


def load_inputs(path: str | Path) -> Inputs:
    """Reads what `save_inputs` wrote."""
    inputs: Inputs = {}
    with np.load(path) as arrays:
        for key in arrays.files:
            signature, name = key.split("/", 1)
            inputs.setdefault(signature, {})[name] = arrays[key]
    return inputs
