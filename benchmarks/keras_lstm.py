"""The LSTM of a run as users of Keras would export it, with the same weights and the quantization of the bundle.

- `masked`: `keras.layers.LSTM` with masks, which becomes a loop.
- `fused`: the LSTM of the older tf_keras, which becomes one operator. It has no mask, so the state of the last token
  is used, and no second direction.

Runs in textapp's own environment: `python benchmarks/keras_lstm.py RUN BUNDLE WORK LENGTH`. Writes
`WORK/lstm_masked/model.tflite`, `WORK/lstm_fused/model.tflite` and prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tf_keras

sys.path.insert(0, str(Path(__file__).parents[1]))

from textapp.artifact import open_artifact
from textapp.catalog import recipe_of, task_from_manifest
from textapp.export import tflite
from textapp.models.saving import load_float32
from textapp.text.tokenizer import load_tokenizers

TOLERANCE = 1e-3


def masked_twin(model: Any, pad_id: int) -> keras.Model:
    """Token ids `[batch, length]` to logits: the layers of the run, its `Lstm` layers replaced by Keras's."""
    layers, denses = _parts(model)
    token_ids = keras.Input((None,), dtype="int32", name="token_ids")
    mask = keras.ops.not_equal(token_ids, pad_id)
    features = model.get_layer("encoder").get_layer("token_embedding")(token_ids)
    for ours in layers:
        theirs = keras.layers.LSTM(ours.units, return_sequences=ours is not layers[-1])
        if ours.bidirectional:
            theirs = keras.layers.Bidirectional(theirs)
        features = theirs(features, mask=mask)
        theirs.set_weights([np.asarray(weight) for weight in ours.weights])
    for dense in denses:
        features = dense(features)
    return keras.Model({"token_ids": token_ids}, features, name="keras_lstm")


def fused_twin(model: Any, pad_id: int, length: int) -> tf_keras.Model:
    """Token ids `[1, length]` to logits, in tf_keras: only with a fixed shape does its LSTM become one operator."""
    layers, denses = _parts(model)
    token_ids = tf_keras.Input(batch_shape=(1, length), dtype="int32", name="token_ids")
    table = np.asarray(model.get_layer("encoder").get_layer("token_embedding").embeddings)
    initializer = tf_keras.initializers.Constant(table)
    features = tf_keras.layers.Embedding(*table.shape, embeddings_initializer=initializer)(token_ids)
    for ours in layers:
        features = _tf_keras(tf_keras.layers.LSTM(ours.units, return_sequences=True), ours, features)
    num_tokens = tf.reduce_sum(tf.cast(tf.not_equal(token_ids, pad_id), tf.int32), axis=1)
    features = tf.gather(features, tf.maximum(num_tokens - 1, 0), axis=1, batch_dims=1)
    for dense in denses:
        layer = tf_keras.layers.Dense(dense.units, activation=keras.activations.serialize(dense.activation))
        features = _tf_keras(layer, dense, features)
    return tf_keras.Model(token_ids, features)


def _parts(model: Any) -> tuple[list[Any], list[Any]]:
    """The recurrent layers and the Dense layers after them."""
    recurrent = [layer for layer in model.get_layer("encoder").layers if layer.name.startswith("lstm_")]
    return recurrent, [layer for layer in model.layers if isinstance(layer, keras.layers.Dense)]


def _tf_keras(layer: Any, ours: Any, features: Any) -> Any:
    """Applies a tf_keras layer with the weights of ours."""
    features = layer(features)
    layer.set_weights([np.asarray(weight) for weight in ours.weights])
    return features


def build(run: Path, bundle: Path, work: Path, length: int) -> dict[str, float]:
    """Converts the twins with one signature of `length` tokens, once their logits are those of the run."""
    manifest = {**open_artifact(bundle).manifest, "lengths": [length]}
    task = task_from_manifest(manifest, load_tokenizers(bundle))
    model, pad_id = load_float32(run / "model.keras"), manifest["tokenizer"]["pad_id"]
    with np.load(work / "reference.npz") as reference:
        token_ids, logits = reference["token_ids"][:, :length], reference["logits"]
    masked = masked_twin(model, pad_id)
    signatures = recipe_of(task.name).objective().signatures(masked, task)
    name = signatures[0].name
    report = {"masked": _check(np.asarray(masked({"token_ids": token_ids}, training=False)), logits)}
    with tempfile.TemporaryDirectory() as saved:
        tflite.write_saved_model(masked, signatures, Path(saved))
        _convert(saved, work / "lstm_masked", name, manifest)
    if not any(layer.bidirectional for layer in _parts(model)[0]):
        padded = np.full((len(token_ids), length), pad_id, np.int32)
        padded[:, : token_ids.shape[1]] = token_ids
        fused = fused_twin(model, pad_id, length)
        rows = [np.asarray(fused(padded[row : row + 1], training=False)) for row in range(len(padded))]
        report["fused"] = _check(np.concatenate(rows), logits)
        with tempfile.TemporaryDirectory() as saved:
            _save(fused, saved, name, length)
            _convert(saved, work / "lstm_fused", name, manifest)
    return {"tolerance": TOLERANCE, **report}


def _save(fused: tf_keras.Model, folder: str, signature: str, length: int) -> None:
    spec = tf.TensorSpec((1, length), tf.int32, name="token_ids")
    call = tf.function(lambda token_ids: {"probabilities": tf.nn.softmax(fused(token_ids))}, input_signature=[spec])
    tf.saved_model.save(fused, folder, signatures={signature: call})


def _check(found: np.ndarray, expected: np.ndarray) -> float:
    error = float(np.abs(found - expected).max())
    if not error <= TOLERANCE:
        raise SystemExit(f"a twin's logits differ from the run's by {error:.2g}, expected {TOLERANCE:g} at most")
    return error


def _convert(saved: str, folder: Path, signature: str, manifest: dict[str, Any]) -> None:
    folder.mkdir(exist_ok=True)
    tflite.convert(Path(saved), folder / "model.tflite", [signature], "litert", manifest["quantize"], Path())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("length", type=int)
    options = parser.parse_args()
    print(json.dumps(build(options.run, options.bundle, options.work, options.length)))
