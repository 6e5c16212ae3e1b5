"""Low-rank adaptation: what is trained, and that the inference form gives the same outputs."""

from __future__ import annotations

import numpy as np
import pytest
from language_presets import save_preset

from textapp.config import PresetModel
from textapp.errors import ConfigError
from textapp.layers import inference_weights
from textapp.models import GeneratorSettings, build_generator
from textapp.models.lora import enable_lora

TOKENS = np.random.default_rng(0).integers(3, 270, (2, 9)).astype(np.int32)


def built(folder, lora_rank=None, inference=False):
    config = PresetModel(architecture="preset", path=str(folder), dropout=0.0, lora_rank=lora_rank)
    ids = {"pad_id": 0, "start_id": 1, "end_id": 2}
    return build_generator(config, GeneratorSettings(270, max_length=16, **ids), inference)


@pytest.mark.parametrize("name", ["llama", "opt"])
def test_only_the_additions_are_trained_and_the_plain_form_has_them(tmp_path, name):
    folder = save_preset(name, tmp_path / name)
    model, inference = built(folder, lora_rank=2), built(folder, lora_rank=2, inference=True)
    before = np.asarray(inference({"token_ids": TOKENS}))
    np.testing.assert_allclose(model({"token_ids": TOKENS}), before, atol=1e-5)
    trained = model.trainable_variables
    assert len(trained) == 2 * 2 * 2  # two factors of query and value in two layers
    assert {variable.path.split("/")[-1] for variable in trained} == {"lora_kernel_a", "lora_kernel_b"}
    dice = np.random.default_rng(2)
    for variable in trained:
        variable.assign(dice.normal(0, 0.5, variable.shape))
    inference.set_weights(inference_weights(model))
    after = np.asarray(inference({"token_ids": TOKENS}))
    assert np.abs(after - before).max() > 0.1
    np.testing.assert_allclose(model({"token_ids": TOKENS}), after, atol=1e-4)
    assert len(inference.trainable_variables) > 8


def test_a_model_without_queries():
    import keras

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    with pytest.raises(ConfigError, match="model.lora_rank: found 4, but the preset has no layers named query, value"):
        enable_lora(model, 4)
