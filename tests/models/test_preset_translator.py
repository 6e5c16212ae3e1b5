"""Encoder-decoders of KerasHub on our own layers: the same logits, token by token too."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from translator_presets import SIZES, VOCABULARY, save_backbone, translator
from writers import dividing_end

from textapp.config import PresetModel
from textapp.errors import ConfigError
from textapp.export.folding import fold_norms
from textapp.layers.cache import written
from textapp.models import GeneratorSettings, build_generator
from textapp.models.preset_translator import longest
from textapp.objectives import decoding

FAMILIES = ("bart", "t5", "t5_gated")
KNOWN, PAD, START, END = VOCABULARY - 3, 1, 2, 2
MOST = 12
RANDOM = np.random.default_rng(5)
SOURCES = RANDOM.integers(4, KNOWN, (3, 8)).astype(np.int32)
SOURCES[1, 5:] = PAD
TARGETS = np.concatenate([np.full((3, 1), START), RANDOM.integers(4, KNOWN, (3, 9))], axis=1).astype(np.int32)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("presets")
    return {name: save_backbone(name, root / name) for name in FAMILIES}


SETTINGS = GeneratorSettings(KNOWN, PAD, START, END, max_length=MOST, max_source_length=10)


def built(folder: Path, **changes: int) -> keras.Model:
    config = PresetModel(architecture="preset", path=str(folder), dropout=0.1)
    return build_generator(config, replace(SETTINGS, **changes))


@pytest.fixture(scope="module")
def models(folders: dict[str, Path]) -> dict[str, keras.Model]:
    return {name: built(folder) for name, folder in folders.items()}


@pytest.mark.parametrize("name", FAMILIES)
def test_logits_are_kerashubs(models, name):
    expected = translator(name)(
        {
            "encoder_token_ids": SOURCES, "encoder_padding_mask": (SOURCES != PAD).astype(np.int32),
            "decoder_token_ids": TARGETS, "decoder_padding_mask": np.ones_like(TARGETS),
        }
    )  # fmt: skip
    found = models[name]({"token_ids": SOURCES, "target_ids": TARGETS})
    assert np.std(found) > 0.1
    np.testing.assert_allclose(found, np.asarray(expected)[..., :KNOWN], atol=1e-4)


@pytest.mark.parametrize("name", FAMILIES)
def test_steps_are_the_call(models, name):
    at_once = models[name]({"token_ids": SOURCES, "target_ids": TARGETS})
    _, position, cache = models[name].begin({"token_ids": tf.constant(SOURCES)}, MOST)
    found = []
    for place in range(TARGETS.shape[1]):
        logits, rows = models[name].step(tf.constant(TARGETS[:, place]), position + place, cache)
        cache |= written(cache, rows, position + place)
        found.append(logits)
    np.testing.assert_allclose(np.stack(found, axis=1), at_once, atol=1e-4)


@pytest.mark.parametrize("name", FAMILIES)
def test_the_loop_takes_the_likeliest_token(models, name):
    found = decoding.generate(models[name], {"token_ids": tf.constant(SOURCES)}, MOST - 1)
    written = found["token_ids"].numpy()
    read = np.concatenate([TARGETS[:, :1], written[:, :-1]], axis=1)
    likeliest = np.argmax(models[name]({"token_ids": SOURCES, "target_ids": read}), axis=-1)
    for row, count in enumerate(found["num_tokens"].numpy()):
        np.testing.assert_array_equal(written[row, :count], likeliest[row, :count])


@pytest.mark.parametrize("name", FAMILIES)
def test_a_queue_of_sources_gets_what_each_gets_alone(models, monkeypatch, name):
    sources = np.random.default_rng(7).integers(4, KNOWN, (9, 8)).astype(np.int32)
    sources[1::2, 6:] = PAD
    given = tf.constant(np.concatenate([sources, np.full((2, 8), PAD, np.int32)]))
    model, only = models[name], {"token_ids": tf.constant(sources)}
    texts = decoding.generate(model, only, MOST - 1)["token_ids"].numpy().tolist()
    monkeypatch.setattr(model, "end_id", dividing_end(texts))
    alone = decoding.generate(model, only, MOST - 1)
    assert len(set(alone["num_tokens"].numpy().tolist())) > 1, "all texts end together: the test cannot fail"
    found = tf.function(lambda ids: decoding.generate_queued(model, {"token_ids": ids}, MOST - 1))(given)
    np.testing.assert_array_equal(found["token_ids"][:9], alone["token_ids"])
    np.testing.assert_array_equal(found["num_tokens"], [*alone["num_tokens"], 0, 0])


@pytest.mark.parametrize("name", ["bart", "t5_gated"])
def test_saved_and_loaded_without_the_preset(models, tmp_path, name):
    models[name].save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras", compile=False, safe_mode=True)
    given = {"token_ids": SOURCES, "target_ids": TARGETS}
    np.testing.assert_array_equal(loaded(given), models[name](given))


@pytest.mark.parametrize("name", FAMILIES)
def test_folding_leaves_the_logits_as_they_are(folders, models, name):
    given = {"token_ids": SOURCES, "target_ids": TARGETS}
    folded = built(folders[name])
    fold_norms(folded)
    np.testing.assert_allclose(folded(given), models[name](given), atol=1e-4)
    assert folded.decoder.blocks[0].cross_attention_norm.scale_outputs is (name == "bart")


def test_low_rank_additions_alone_are_trained(folders, models):
    config = PresetModel(architecture="preset", path=str(folders["bart"]), dropout=0.0, lora_rank=2)
    adapted = build_generator(config, SETTINGS)
    # Two layers a side, queries and values; of the decoder also those of the cross-attention.
    assert len(adapted.trainable_variables) == 2 * (2 * 2 + 2 * 2 * 2)
    given = {"token_ids": SOURCES, "target_ids": TARGETS}
    np.testing.assert_allclose(adapted(given), models["bart"](given), atol=1e-5)
    inference = build_generator(config, SETTINGS, inference=True)
    assert len(inference.trainable_variables) == len(models["bart"].trainable_variables)


def test_what_a_preset_reads_at_most(folders):
    assert longest(str(folders["bart"])) == SIZES["max_sequence_length"] and longest(str(folders["t5"])) is None
    with pytest.raises(ConfigError, match="^lengths: found sources of 33 tokens, .* reads 32 at most"):
        built(folders["bart"], max_source_length=33)
    with pytest.raises(ConfigError, match="^generate_lengths: found translations of 40 tokens"):
        built(folders["bart"], max_length=40)


def test_a_tokenizer_of_another_preset(folders):
    with pytest.raises(ConfigError, match=f"knows {VOCABULARY} tokens, its tokenizer has {VOCABULARY + 1}"):
        built(folders["bart"], vocabulary_size=VOCABULARY + 1)


def test_a_preset_that_does_not_translate(tmp_path):
    import keras_hub

    keras_hub.models.BertBackbone(
        vocabulary_size=9, num_layers=1, num_heads=1, hidden_dim=4, intermediate_dim=4
    ).save_to_preset(str(tmp_path))
    with pytest.raises(ConfigError, match="holds a BertBackbone; expected for task translation one of BartBackbone"):
        built(tmp_path)


def test_an_activation_that_is_not_known(folders, tmp_path):
    import shutil

    folder = shutil.copytree(folders["t5"], tmp_path / "t5")
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config["config"]["activation"] = "tanh"
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(ConfigError, match="found a T5 with the activation tanh; expected relu"):
        built(folder)
