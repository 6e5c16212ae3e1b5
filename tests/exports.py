"""Exports of the tests' runs, and one small .tflite file for tests of what runs it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from textapp.artifact import Artifact
from textapp.catalog import recipe_of, recipe_of_manifest, task_from_manifest
from textapp.export import bundle
from textapp.export.options import ExportOptions
from textapp.export.tflite import convert, write_saved_model
from textapp.export.weights_only import quantize_weights
from textapp.models.saving import load_float32
from textapp.objectives.signature import Signature
from textapp.predictors.predictor import Predictor
from textapp.tasks.task import Record
from textapp.text.tokenizer import load_tokenizers


def export_run(
    run: Artifact, target: str, quantize: str, max_drop: float, records: Sequence[Record], out: Path | None = None,
    **options: Any,
) -> Path:  # fmt: skip
    """The bundle of a run, with the task and the objective that its manifest names."""
    checked = ExportOptions(target, quantize, max_drop, **options)
    task = task_from_manifest(run.manifest, load_tokenizers(run.path))
    return bundle.export_run(run, task, recipe_of(task.name).objective(), checked, records, out)


def stored_variables(bundle: Path) -> list[np.ndarray]:
    """The variables on the disk of a SavedModel."""
    import tensorflow as tf

    reader = tf.train.load_checkpoint(str(bundle / "saved_model" / "variables" / "variables"))
    values = (np.asarray(reader.get_tensor(name)) for name in reader.get_variable_to_shape_map())
    return [each for each in values if each.dtype.kind in "fiu" and each.ndim]


def write_small_model(folder: Path) -> Path:
    """A file with `classify_4` and `classify_8`: mean embedding of 50 tokens, softmax over 3 classes."""
    import keras
    import tensorflow as tf

    keras.utils.set_random_seed(3)
    token_ids = keras.Input((None,), dtype="int32", name="token_ids")
    mean = keras.ops.mean(keras.layers.Embedding(50, 8, embeddings_initializer="normal")(token_ids), axis=1)
    model = keras.Model({"token_ids": token_ids}, keras.layers.Dense(3)(mean))

    def classify(features):
        return {"probabilities": tf.nn.softmax(model(features))}

    signatures = [Signature(f"classify_{length}", {"token_ids": (1, length)}, classify) for length in (4, 8)]
    write_saved_model(model, signatures, folder / "saved_model")
    names = [signature.name for signature in signatures]
    convert(folder / "saved_model", folder / "model.tflite", names, "litert", "none", folder / "unused.npz")
    return folder / "model.tflite"


def rounded_keras(run: Artifact, quantize: str) -> Predictor:
    """The run's model in Keras, with its weights as `--quantize int8-weights` or `int4-weights` makes them."""
    task = task_from_manifest(run.manifest, load_tokenizers(run.path))
    model = load_float32(run.path / "model.keras")
    quantize_weights(model, quantize)
    return task.predictor(recipe_of_manifest(run.manifest).objective().runner(model, task), run.manifest, run.path, 1)
