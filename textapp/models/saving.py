"""Trained models as files."""

from __future__ import annotations

import zipfile
from pathlib import Path

import keras

from textapp.config import architectures
from textapp.errors import ArtifactError, require
from textapp.models import serving

MODEL = "model.keras"


def load_model(path: str | Path) -> keras.Model:
    """Loads a saved model in safe mode: no code that the file carries is ever run.

    Raises:
        ArtifactError: it is missing, or holds something else than a model of textapp.
    """
    try:
        _register_layers(Path(path))
        return keras.models.load_model(path, compile=False, safe_mode=True)
    except (OSError, ValueError, TypeError, KeyError, zipfile.BadZipFile) as error:
        reason = str(error).splitlines()[0]
        raise ArtifactError(
            f"{path}: not a model that textapp saved ({reason}): train it again or copy it again"
        ) from error


def load_float32(path: Path) -> keras.Model:
    """Opens model.keras, computing in float32: what mixed precision trained has float32 weights all the same."""
    model = load_model(path)
    for layer in model._flatten_layers():
        if layer.compute_dtype != "float32":
            layer.dtype_policy = keras.DTypePolicy("float32")
    return model


def _register_layers(path: Path) -> None:
    """Imports what registers the layers that a saved model names: safe mode loads nothing else."""
    for name, part in architectures().items():
        serving(name, part.roles[0])
    with zipfile.ZipFile(path) as archive:
        if b"keras_hub" in archive.read("config.json"):
            require("keras_hub", "train")
