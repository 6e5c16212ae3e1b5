from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from textapp.config import PresetModel
from textapp.config.model import Corpus, published_config, published_dropout
from textapp.recipes.resolving import writer_role

LLAMA = {"model_type": "llama", "attention_dropout": 0.0, "hidden_size": 16}


@pytest.mark.parametrize(
    ("config", "dropout"),
    [
        (LLAMA, 0.0),
        ({"model_type": "gpt2", "resid_pdrop": 0.2, "attn_pdrop": 0.1, "embd_pdrop": 0.1}, 0.2),
        ({"model_type": "bert", "hidden_dropout_prob": 0.3, "attention_probs_dropout_prob": 0.1}, 0.3),
        ({"model_type": "bart", "dropout": 0.1, "attention_dropout": 0.0}, 0.1),
        ({"model_type": "t5", "dropout_rate": 0.1}, 0.1),
        ({"class_name": "keras_hub>GPT2Backbone", "config": {"dropout": 0.15}}, 0.15),
        ({"class_name": "keras_hub>LlamaBackbone", "config": {"dropout": 0}}, 0.0),
        ({"resid_pdrop": "high", "dropout": True}, 0.0),
        ([], 0.0),
    ],
)
def test_a_preset_is_tuned_with_its_own_dropout(tmp_path: Path, config: Any, dropout: float) -> None:
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    model = PresetModel(architecture="preset", path=str(tmp_path))
    assert model.defaults("decoder", Corpus(None)) == {"dropout": dropout}
    assert model.model_copy(update={"lora_rank": 4}).defaults("decoder", Corpus(None)) == {"dropout": 0.0}


@pytest.mark.parametrize(
    ("path", "role", "dropout"),
    [
        ("bert_base_en_uncased", "encoder", 0.1),
        ("llama3.2_1b", "decoder", 0.0),
        ("gpt2_base_en", "decoder", 0.1),
        ("kaggle://keras/opt/keras/opt_125m_en", "decoder", 0.1),
        ("t5_small_multi", "encoder-decoder", 0.1),
    ],
)
def test_the_dropout_of_a_name(path: str, role: Any, dropout: float) -> None:
    assert PresetModel(architecture="preset", path=path).defaults(role, Corpus(None)) == {"dropout": dropout}


def test_a_config_of_a_preset_that_cannot_be_read_is_told_later(tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    for content in ("[" * 100_000, "{", "[]", "\0"):
        file.write_text(content)
        assert published_config(tmp_path) == {}
        assert published_dropout(str(tmp_path), "decoder") == 0.0 and writer_role(str(tmp_path)) == "decoder"
    file.unlink()
    os.mkfifo(file)
    assert published_config(tmp_path) == {}
