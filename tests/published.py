"""Writes tiny models in Hugging Face's layout, as transformers 5 saves them, with weights made from their names.

published.json holds for each its config.json, the shapes of its tensors (`#` stands for the layers 0 and 1), and, from
transformers 5.24 with the same weights, the first outputs of TOKENS at each place of PLACES.
"""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

MODELS: dict[str, dict[str, Any]] = json.loads(Path(__file__).with_name("published.json").read_text(encoding="utf-8"))
TOKENS = np.random.default_rng(0).integers(5, 60, (2, 12)).astype(np.int32)
PLACES = ((0, 3), (0, 11), (1, 7))
SHOWN = 5


def weight(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """The values of a tensor: those of a scale lie around 1, and a bias of the logits is 0, as published ones are."""
    if name == "final_logits_bias":
        return np.zeros(shape, np.float32)
    values = np.random.default_rng(zlib.crc32(name.encode())).normal(0, 0.3, shape)
    scale = name.endswith(("norm.weight", "Norm.weight", "embedding.weight")) or (".ln_" in name and "weight" in name)
    return (values + (len(shape) == 1 and scale)).astype(np.float32)


def tensors(name: str) -> dict[str, np.ndarray]:
    """The weights of a model, by name."""
    shapes = {
        key.replace("#", layer): tuple(shape)
        for key, shape in MODELS[name]["tensors"].items()
        for layer in ("01" if "#" in key else "0")
    }
    return {key: weight(key, shape) for key, shape in shapes.items()}


def write(
    name: str, folder: Path, changes: dict[str, Any] | None = None, weights: dict[str, Any] | None = None
) -> Path:
    """Writes config.json and model.safetensors.

    Args:
        name: a key of published.json.
        folder: is created.
        changes: fields of the config that differ; None as a value removes one.
        weights: in place of those of `tensors`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    config = {key: value for key, value in {**MODELS[name]["config"], **(changes or {})}.items() if value is not None}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    save_file(tensors(name) if weights is None else weights, folder / "model.safetensors")
    return folder


def shown(outputs: np.ndarray) -> np.ndarray:
    """What published.json holds of the outputs `[2, 12, ...]`."""
    return np.array([outputs[place][:SHOWN] for place in PLACES])
