"""Presets of GPT-2's and Llama's shape on our own layers say what KerasHub's say."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from language_presets import VOCABULARY, causal_lm, save_preset

from textapp.config import PresetModel
from textapp.errors import ConfigError
from textapp.export.folding import fold_norms
from textapp.layers.cache import written
from textapp.models import GeneratorSettings, build_generator, preset_decoder
from textapp.models.generator import Generator

KNOWN, CONTEXT = 290, 24
IDS = {"pad_id": 0, "start_id": 1, "end_id": 2}
TOKENS = np.random.default_rng(0).integers(0, KNOWN, (2, 12)).astype(np.int32)
FAMILIES = ["gpt2", "llama", "llama_tied", "llama3", "mistral", "qwen", "qwen3", "smollm3"]


def said(task, tokens=TOKENS):
    """KerasHub's logits of the tokens that the tokenizer knows."""
    return np.asarray(task({"token_ids": tokens, "padding_mask": np.ones_like(tokens)}))[..., :KNOWN]


def built(folder, max_length=CONTEXT, vocabulary_size=KNOWN):
    config = PresetModel(architecture="preset", path=str(folder), dropout=0.1)
    return build_generator(config, GeneratorSettings(vocabulary_size, max_length=max_length, **IDS))


@pytest.fixture(scope="module")
def presets(tmp_path_factory):
    folder = tmp_path_factory.mktemp("presets")
    return {name: save_preset(name, folder / name) for name in ("gpt2", "mistral")}


@pytest.fixture(scope="module")
def pairs():
    """Of each family KerasHub's model and ours."""
    found = {}
    for name in FAMILIES:
        task = causal_lm(name)
        found[name] = task, preset_decoder.rebuilt(task.backbone, KNOWN, CONTEXT, **IDS)
    return found


@pytest.mark.parametrize("name", FAMILIES)
def test_logits_are_those_of_kerashub(pairs, name):
    task, model = pairs[name]
    assert isinstance(model, Generator) and model.tie_embeddings == task.backbone.token_embedding.tie_weights
    expected = said(task)
    assert np.abs(expected).max() > 1
    np.testing.assert_allclose(model({"token_ids": TOKENS}), expected, atol=1e-4)


@pytest.mark.parametrize("name", ["gpt2", "mistral", "qwen3", "smollm3"])
def test_steps_after_prompts_of_different_lengths(pairs, name):
    task, model = pairs[name]
    counts = np.array([3, 5])
    features = {"token_ids": tf.constant(TOKENS[:, :5]), "num_tokens": tf.constant(counts, tf.int32)}
    _, position, cache = model.begin(features, CONTEXT)
    for place in range(4):
        tokens = np.array([TOKENS[row, count - 1 + place] for row, count in enumerate(counts)])
        logits, rows = model.step(tf.constant(tokens), position + place, cache)
        cache |= written(cache, rows, position + place)
        expected = [said(task)[row, count - 1 + place] for row, count in enumerate(counts)]
        np.testing.assert_allclose(logits, expected, atol=1e-4)


@pytest.mark.parametrize("name", ["gpt2", "qwen", "qwen3"])
def test_an_export_folds_norms_with_equal_logits(name):
    task = causal_lm(name)
    model = preset_decoder.rebuilt(task.backbone, KNOWN, CONTEXT, **IDS)
    fold_norms(model)
    np.testing.assert_allclose(model({"token_ids": TOKENS}), said(task), atol=2e-4)
    scaled = [layer.name for layer in model._flatten_layers() if getattr(layer, "scale_outputs", False)]
    assert set(scaled) == {"norm"} | ({"query_norm", "key_norm"} if name == "qwen3" else set())


@pytest.mark.parametrize("name", ["gpt2", "mistral"])
def test_from_a_folder_and_without_it(presets, tmp_path, name):
    model = built(presets[name])
    np.testing.assert_allclose(model({"token_ids": TOKENS}), said(causal_lm(name)), atol=1e-4)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras", compile=False, safe_mode=True)
    np.testing.assert_array_equal(loaded({"token_ids": TOKENS}), model({"token_ids": TOKENS}))


@pytest.mark.parametrize("name", ["gpt2", "llama3_tied"])
def test_from_hugging_face_layout(tmp_path, name):
    task = causal_lm(name)
    task.backbone.export_to_transformers(str(tmp_path))
    assert (tmp_path / "model.safetensors").is_file()
    np.testing.assert_allclose(built(tmp_path)({"token_ids": TOKENS}), said(task), atol=1e-4)


def test_a_damaged_folder_in_hugging_face_layout(tmp_path):
    causal_lm("llama3").backbone.export_to_transformers(str(tmp_path))  # which leaves out the output layer
    with pytest.raises(ConfigError, match="found no tensor lm_head.weight"):
        built(tmp_path)


def test_what_a_preset_sees_at_once(presets):
    assert preset_decoder.facts(str(presets["gpt2"])) == (64, True)
    assert preset_decoder.facts(str(presets["mistral"])) == (32, True)  # the window
    assert preset_decoder.context_of(causal_lm("qwen").backbone) is None  # which has a window and does not use it


@pytest.mark.parametrize(("name", "most"), [("gpt2", 64), ("mistral", 32)])
def test_a_context_too_long(presets, name, most):
    with pytest.raises(ConfigError, match=f"found a context of {most + 1} tokens; the preset .* sees {most} at once"):
        built(presets[name], max_length=most + 1)


def test_a_tokenizer_of_another_preset(presets):
    with pytest.raises(ConfigError, match=f"knows {VOCABULARY} tokens, its tokenizer has {VOCABULARY + 1}"):
        built(presets["gpt2"], vocabulary_size=VOCABULARY + 1)


def test_a_smollm_of_a_form_that_is_not_served():
    backbone = causal_lm("smollm3").backbone
    backbone.mlp_bias = True
    with pytest.raises(ConfigError, match="found a SmolLM3 with mlp_bias"):
        preset_decoder.rebuilt(backbone, KNOWN, CONTEXT, **IDS)
