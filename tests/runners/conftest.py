"""One small .tflite file with two signatures, for tests of what runs it."""

from __future__ import annotations

from pathlib import Path

import pytest

from textapp.export.tflite import convert, write_saved_model
from textapp.objectives.signature import Signature


@pytest.fixture(scope="session")
def model_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`classify_4` and `classify_8`: mean embedding of 50 tokens, softmax over 3 classes. Read only."""
    import keras
    import tensorflow as tf

    keras.utils.set_random_seed(3)
    token_ids = keras.Input((None,), dtype="int32", name="token_ids")
    mean = keras.ops.mean(keras.layers.Embedding(50, 8, embeddings_initializer="normal")(token_ids), axis=1)
    model = keras.Model({"token_ids": token_ids}, keras.layers.Dense(3)(mean))

    def classify(features):
        return {"probabilities": tf.nn.softmax(model(features))}

    folder = tmp_path_factory.mktemp("edge")
    signatures = [Signature(f"classify_{length}", {"token_ids": (1, length)}, classify) for length in (4, 8)]
    write_saved_model(model, signatures, folder / "saved_model")
    names = [signature.name for signature in signatures]
    convert(folder / "saved_model", folder / "model.tflite", names, "litert", "none", folder / "unused.npz")
    return folder / "model.tflite"
