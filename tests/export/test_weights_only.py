"""Weights-only quantization: what is counted, and of models that write one table and the answers of Keras."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import keras
import keras_hub
import numpy as np
import published
import pytest
import tensorflow as tf
from exports import stored_variables
from language_presets import save_preset
from tensorflow.core.protobuf import saved_model_pb2

from textapp.config import PresetModel, TransformerModel
from textapp.export import weights_only
from textapp.export.tflite import write_saved_model
from textapp.export.weights_only import quantize_weights
from textapp.layers import TokenEmbedding
from textapp.models import GeneratorSettings, build_encoder, build_generator
from textapp.models.saving import load_float32
from textapp.objectives import decoding
from textapp.objectives.serving import any_rows, compiled
from textapp.objectives.signature import Signature

VOCABULARY, DIM = 60, 32
TOKEN_IDS = np.array([[7, 8, 9, 3, 0, 0], [11, 12, 3, 0, 0, 0]], np.int32)


@pytest.mark.parametrize("quantize", ["int8-weights", "int4-weights"])
def test_a_tied_table_is_stored_once_and_read_in_the_loop(quantize: str, tmp_path: Path) -> None:
    keras.utils.set_random_seed(1)
    model = make_translator()
    plain = model.get_weights()
    report = quantize_weights(model, quantize)
    outputs = decoding.generate(model, {"token_ids": tf.constant(TOKEN_IDS)}, new=5)
    signature = compiled(
        any_rows(Signature("generate", {"token_ids": (1, 6)}, partial(decoding.generate, model, new=5)))
    )
    write_saved_model(model, [signature], tmp_path / "saved_model")
    saved = tf.saved_model.load(str(tmp_path / "saved_model")).signatures["generate"](token_ids=tf.constant(TOKEN_IDS))
    np.testing.assert_array_equal(saved["token_ids"], outputs["token_ids"])
    np.testing.assert_allclose(saved["score"], outputs["score"], atol=1e-4)

    saved_file = saved_model_pb2.SavedModel.FromString((tmp_path / "saved_model" / "saved_model.pb").read_bytes())
    assert not saved_file.meta_graphs[0].graph_def.library.registered_gradients  # nobody trains what is served

    stored = stored_variables(tmp_path)
    table = (VOCABULARY, DIM if quantize == "int8-weights" else DIM // 2)
    assert [each.dtype for each in stored if each.shape == table] == [np.int8]
    positions = (40, DIM), (16, DIM)  # learned, which stay float
    assert max(each.size for each in stored if each.dtype == np.float32 and each.shape not in positions) < 1024
    large = [each.size for each in plain if each.ndim > 1 and each.size >= 1024 and each.shape not in positions]
    assert report["quantized_share"] == round(100 * sum(large) / sum(each.size for each in plain), 2)


IN, OUT = 150, 9  # more than a block of int4, and an odd number of values
UNITS = np.eye(IN, dtype=np.float32)


class Parts(keras.Model):
    """One layer of each kind, half of whose weights are 0."""

    def __init__(self) -> None:
        super().__init__()
        # What shows the floats that the integers of each layer stand for.
        self.shown = [
            (keras.layers.Dense(OUT, use_bias=False), lambda layer: layer(UNITS)),
            (keras.layers.EinsumDense("ab,bcd->acd", (3, OUT)), lambda layer: layer(UNITS)),
            (keras.layers.Embedding(OUT, IN + 1), lambda layer: layer(np.arange(OUT))),
            (TokenEmbedding(OUT, IN + 1), lambda layer: layer(np.arange(OUT))),
            (keras.layers.ReversibleEmbedding(OUT, IN, tie_weights=False), lambda layer: layer(np.arange(OUT))),
        ]
        self.parts = [layer for layer, _ in self.shown]
        for layer in self.parts:
            layer.build((None, IN))
        dice = np.random.default_rng(0)
        for weight in self.weights:
            weight.assign(dice.normal(size=weight.shape) * (dice.random(weight.shape) < 0.5))
        self.built = True

    def floats(self) -> list[np.ndarray]:
        reverse = self.parts[-1](UNITS, reverse=True)
        return [*(np.asarray(show(layer)) for layer, show in self.shown), np.asarray(reverse)]


@pytest.mark.parametrize("quantize", ["none", "int8-weights", "int4-weights"])
def test_weights_that_stand_for_zero_are_counted(quantize: str) -> None:
    model = Parts()
    report = quantize_weights(model, quantize)
    total = (4 + 2) * IN * OUT + 2 * (IN + 1) * OUT
    expected = sum(int(np.count_nonzero(np.abs(floats) > 1e-6)) for floats in model.floats())
    assert (report["parameters"], report["nonzero"]) == (total, expected)
    assert report.get("quantized_share", 100.0) == 100.0
    rounded_to_zero = {"none": 0, "int8-weights": 0.01, "int4-weights": 0.12}[quantize]
    assert expected / total == pytest.approx(0.5 * (1 - rounded_to_zero), abs=0.03)


def published_model(name: str, folder: Path) -> keras.Model:
    """A published folder on textapp's own layers."""
    config = PresetModel(architecture="preset", path=str(published.write(name, folder)), dropout=0.0)
    if name in ("bert", "albert"):
        return build_encoder(config, VOCABULARY, 0, 16)
    source = 16 if name == "t5" else None
    settings = GeneratorSettings(VOCABULARY, pad_id=0, start_id=1, end_id=2, max_length=16, max_source_length=source)
    return build_generator(config, settings)


def kerashub_model(name: str, folder: Path) -> keras.Model:
    """A preset on KerasHub's layers."""
    if name != "deberta":
        config = PresetModel(architecture="preset", path=str(save_preset(name, folder)), dropout=0.0)
        return build_generator(config, GeneratorSettings(VOCABULARY, pad_id=0, start_id=1, end_id=2, max_length=16))
    keras_hub.models.DebertaV3Backbone(
        vocabulary_size=VOCABULARY, num_layers=2, num_heads=2, hidden_dim=16, intermediate_dim=24, bucket_size=8,
        max_sequence_length=16,
    ).save_to_preset(str(folder))  # fmt: skip
    return build_encoder(PresetModel(architecture="preset", path=str(folder), dropout=0.0), VOCABULARY, 0, 16)


@pytest.mark.parametrize(
    ("make", "name"),
    [
        *((published_model, name) for name in ("bert", "albert", "gpt2", "llama", "t5")),
        *((kerashub_model, name) for name in ("deberta", "opt", "gemma")),
    ],
)
def test_a_preset_computes_with_its_integers(make, name: str, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(weights_only, "MIN_QUANTIZED", 1)  # all products of a tiny model
    features = {"token_ids": published.TOKENS} | ({"target_ids": published.TOKENS} if name == "t5" else {})
    model = make(name, tmp_path / "preset")
    model.save(tmp_path / "model.keras")
    plain = np.asarray(model(features))
    for quantize, most in (("int8-weights", 0.05), ("int4-weights", 0.5)):
        rounded = load_float32(tmp_path / "model.keras")
        report = quantize_weights(rounded, quantize)
        error = np.linalg.norm(np.asarray(rounded(features)) - plain) / np.linalg.norm(plain - plain.mean())
        assert most / 100 < error < most
        left = {each.path for each in rounded.weights if each.dtype == "float32" and len(each.shape) > 1}
        left = {path for path in left if not path.endswith(("_scale", "/bias"))}
        assert all("position" in path or "relative" in path or "rel_embedding" in path for path in left), left
        assert report["parameters"] == model.count_params() and report["quantized_share"] > 60


def make_translator() -> keras.Model:
    config = TransformerModel(
        architecture="transformer", hidden_dim=DIM, num_layers=1, num_heads=2, intermediate_dim=64, dropout=0.0,
        positions="learned", tie_embeddings=True,
    )  # fmt: skip
    settings = GeneratorSettings(
        vocabulary_size=VOCABULARY, pad_id=0, start_id=2, end_id=3, max_length=40, max_source_length=16
    )
    return build_generator(config, settings)
