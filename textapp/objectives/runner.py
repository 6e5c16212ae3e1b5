"""A Keras model behind the predictor: what a run folder answers with, and what training validates with."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

import textapp.models  # noqa: F401  registers the layers that a saved model names
from textapp.artifact import open_artifact
from textapp.errors import ArtifactError, require
from textapp.objectives.classification import probabilities
from textapp.objectives.generator_runner import GeneratorRunner

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


def _register_layers(path: Path) -> None:
    """Imports KerasHub where the model has its layers: safe mode loads only what is registered."""
    with zipfile.ZipFile(path) as archive:
        if b"keras_hub" in archive.read("config.json"):
            require("keras_hub", "train")


def open_runner(run_folder: str | Path) -> KerasRunner | GeneratorRunner:
    """The runner of a finished run, of the kind that its task needs."""
    run = open_artifact(run_folder)
    if run.manifest["task"] == "classification":
        return KerasRunner(run_folder)
    return GeneratorRunner(load_model(run.path / MODEL), run.manifest)


class KerasRunner:
    """Runs a classifier on batches of padded features.

    Args:
        run_folder: a finished run.
    """

    max_batch = 64

    def __init__(self, run_folder: str | Path) -> None:
        run = open_artifact(run_folder)
        self._prepare(load_model(run.path / MODEL), run.manifest["multiple"])

    @classmethod
    def from_model(cls, model: keras.Model, multiple: bool) -> KerasRunner:
        """A runner over a model in memory; later changes of its weights show in its answers."""
        runner = cls.__new__(cls)
        runner._prepare(model, multiple)
        return runner

    def _prepare(self, model: keras.Model, multiple: bool) -> None:
        self.model, self.multiple = model, multiple
        self._functions: dict[int, tf.types.experimental.GenericFunction] = {}

    def clone(self) -> KerasRunner:
        """Itself: TensorFlow's functions may be called from several threads."""
        return self

    def run(self, signature: str, features: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Answers one padded batch.

        Args:
            signature: `classify_<length>`; the features tell the length themselves.
            features: `token_ids` (and `segment_ids`), each `[batch, length]` int32.

        Returns:
            `{"probabilities": [batch, num_labels] float32}`.
        """
        length = features["token_ids"].shape[1]
        if length not in self._functions:
            self._functions[length] = self._function(length)
        inputs = {name: tf.constant(features[name], tf.int32) for name in self.model.input}
        return {"probabilities": self._functions[length](inputs).numpy()}

    def _function(self, length: int):
        """One graph a length, for batches of any size."""
        spec = {name: tf.TensorSpec((None, length), tf.int32) for name in self.model.input}
        return tf.function(
            lambda features: probabilities(self.model(features, training=False), self.multiple), input_signature=[spec]
        )
