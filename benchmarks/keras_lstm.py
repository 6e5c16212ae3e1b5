"""The LSTM of a run as a user of Keras would export it: `keras.layers.LSTM` with masks, the same weights, int8 dynamic.

Runs in textapp's own environment: `python benchmarks/keras_lstm.py RUN BUNDLE WORK LENGTH`. Writes
`WORK/keras_lstm/model.tflite` and prints one JSON object.
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

sys.path.insert(0, str(Path(__file__).parents[1]))

from textapp.artifact import open_artifact
from textapp.export import tflite
from textapp.export.bundle import load_float32
from textapp.export.signatures import signatures_of

TOLERANCE = 1e-3


def keras_twin(model: Any, pad_id: int) -> keras.Model:
    """Token ids `[batch, length]` to logits: the layers of the run, its `Lstm` layers replaced by Keras's."""
    encoder = model.get_layer("encoder")
    layers = [layer for layer in encoder.layers if layer.name.startswith("lstm_")]
    token_ids = keras.Input((None,), dtype="int32", name="token_ids")
    mask = keras.ops.not_equal(token_ids, pad_id)
    features = encoder.get_layer("token_embedding")(token_ids)
    for ours in layers:
        theirs = keras.layers.LSTM(ours.units, return_sequences=ours is not layers[-1])
        if ours.bidirectional:
            theirs = keras.layers.Bidirectional(theirs)
        features = theirs(features, mask=mask)
        theirs.set_weights([np.asarray(weight) for weight in ours.weights])
    for layer in model.layers:
        if isinstance(layer, keras.layers.Dense):
            features = layer(features)
    return keras.Model({"token_ids": token_ids}, features, name="keras_lstm")


def build(run: Path, bundle: Path, work: Path, length: int) -> dict[str, float]:
    """Converts the twin with one signature of `length` tokens, once its logits are those of the run."""
    manifest = {**open_artifact(bundle).manifest, "lengths": [length]}
    twin = keras_twin(load_float32(run / "model.keras"), manifest["tokenizer"]["pad_id"])
    with np.load(work / "reference.npz") as reference:
        logits = np.asarray(twin({"token_ids": reference["token_ids"]}, training=False))
        error = float(np.abs(logits - reference["logits"]).max())
    if not error <= TOLERANCE:
        raise SystemExit(
            f"the Keras LSTM's logits differ from the run's by {error:.2g}, expected {TOLERANCE:g} at most"
        )
    signatures, folder = signatures_of(twin, manifest), work / "keras_lstm"
    folder.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as saved:
        tflite.write_saved_model(twin, signatures, Path(saved))
        names = [signature.name for signature in signatures]
        tflite.convert(Path(saved), folder / "model.tflite", names, "litert", manifest["quantize"], Path())
    return {"tolerance": TOLERANCE, "keras lstm": error}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("length", type=int)
    options = parser.parse_args()
    print(json.dumps(build(options.run, options.bundle, options.work, options.length)))
