"""Families that keep KerasHub's layers: the interface of a generator, and KerasHub's own answers."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from language_presets import causal_lm, save_preset

from textapp.config import PresetModel
from textapp.errors import ConfigError
from textapp.models import GeneratorSettings, build_generator
from textapp.models.kerashub_model import KerasHubLanguageModel
from textapp.objectives import decoding

KNOWN, CONTEXT = 270, 16
TOKENS = np.random.default_rng(0).integers(3, KNOWN, (2, 9)).astype(np.int32)
COUNTS = np.array([3, 5], np.int32)


def built(folder, **settings):
    config = PresetModel(architecture="preset", path=str(folder), dropout=0.0, **settings)
    ids = {"pad_id": 0, "start_id": 1, "end_id": 2}
    return build_generator(config, GeneratorSettings(KNOWN, max_length=CONTEXT, **ids))


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    folder = tmp_path_factory.mktemp("presets")
    return {name: save_preset(name, folder / name) for name in ("opt", "gemma")}


@pytest.fixture(scope="module")
def models(folders):
    return {name: built(folder) for name, folder in folders.items()}


@pytest.mark.parametrize("name", ["opt", "gemma"])
def test_logits_are_those_of_kerashub(models, name):
    assert isinstance(models[name], KerasHubLanguageModel)
    expected = causal_lm(name)({"token_ids": TOKENS, "padding_mask": np.ones_like(TOKENS)})
    np.testing.assert_allclose(models[name]({"token_ids": TOKENS}), expected[..., :KNOWN], atol=1e-5)


@pytest.mark.parametrize("name", ["opt", "gemma"])
def test_steps_after_prompts_of_different_lengths(models, name):
    model = models[name]
    at_once = np.asarray(model({"token_ids": TOKENS}))
    features = {"token_ids": tf.constant(TOKENS[:, :5]), "num_tokens": tf.constant(COUNTS)}
    token_id, position, cache = model.begin(features, CONTEXT)
    assert token_id.numpy().tolist() == [TOKENS[0, 2], TOKENS[1, 4]] and position.numpy().tolist() == [2, 4]
    for place in range(4):
        tokens = tf.constant([TOKENS[row, count - 1 + place] for row, count in enumerate(COUNTS)])
        logits, changed = model.step(tokens, position + place, cache)
        assert {name: value.shape for name, value in changed.items()} == {n: v.shape for n, v in cache.items()}
        cache |= changed
        expected = [at_once[row, count - 1 + place] for row, count in enumerate(COUNTS)]
        np.testing.assert_allclose(logits, expected, atol=1e-4)


def test_one_row_at_one_place(models):
    model = models["opt"]
    features = {"token_ids": tf.constant(TOKENS[:1, :5]), "num_tokens": tf.constant([5])}
    found = decoding.prefill(model, features, CONTEXT)
    token = tf.argmax(found.pop("logits"), axis=-1, output_type=tf.int32)
    logits = decoding.decode(model, {"token_id": token, "position": tf.constant([5]), **found})["logits"]
    whole = np.concatenate([TOKENS[:1, :5], token[:, None]], axis=1)
    np.testing.assert_allclose(logits, np.asarray(model({"token_ids": whole}))[:, -1], atol=1e-4)


def test_saved_and_loaded_without_the_preset(models, tmp_path):
    model = models["opt"]
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras", compile=False, safe_mode=True)
    np.testing.assert_array_equal(loaded({"token_ids": TOKENS}), model({"token_ids": TOKENS}))


def test_a_preset_that_writes_nothing(tmp_path):
    import keras_hub

    keras_hub.models.BertBackbone(
        vocabulary_size=300, num_layers=1, num_heads=1, hidden_dim=4, intermediate_dim=4, max_sequence_length=32
    ).save_to_preset(str(tmp_path / "bert"))
    with pytest.raises(ConfigError, match="holds no language model that KerasHub can load"):
        built(tmp_path / "bert")


def test_a_language_model_with_another_kind_of_cache(folders, monkeypatch):
    import keras_hub

    monkeypatch.setattr(keras_hub.models.OPTCausalLM, "call_with_cache", lambda self, token_ids, state: None)
    with pytest.raises(ConfigError, match="holds a OPTCausalLM, which reads more than text or keeps another kind"):
        built(folders["opt"])
