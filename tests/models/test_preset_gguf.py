"""GGUF files: their models are those of the published folders that they were converted from, or a line says why not."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import published
import pytest

from textapp.config import PresetModel
from textapp.errors import ConfigError, UsageError
from textapp.models import GeneratorSettings, build_encoder, build_generator, preset_decoder
from textapp.models.preset_gguf import gguf_folder

gguf = pytest.importorskip("gguf")
import gguf_files  # noqa: E402

MODELS = ["llama", "llama_tied", "llama_headdim", "llama_bias", "llama_mlpbias", "qwen2", "qwen3"]
QUANTIZED = [
    ("llama", "F16"),
    ("llama", "BF16"),
    ("llama", "Q8_0"),
    ("llama", "Q4_1"),
    ("qwen2", "F16"),
    ("qwen2", "Q8_0"),
]


def logits(path: Path) -> np.ndarray:
    config = PresetModel(architecture="preset", path=str(path), dropout=0.0)
    settings = GeneratorSettings(60, pad_id=0, start_id=1, end_id=2, max_length=16)
    return np.asarray(build_generator(config, settings)({"token_ids": published.TOKENS}))


@pytest.mark.parametrize("name", MODELS)
def test_outputs_are_those_of_transformers(tmp_path, name):
    file = gguf_files.write(tmp_path / "model.gguf", *gguf_files.model(name))
    np.testing.assert_allclose(published.shown(logits(file)), published.MODELS[name]["outputs"], atol=1e-4)


@pytest.mark.parametrize(("name", "dtype"), QUANTIZED)
def test_a_quantized_file_is_the_model_of_its_dequantized_values(tmp_path, name, dtype):
    config, weights = gguf_files.model(name, wide=True)
    file = gguf_files.write(tmp_path / "model.gguf", config, weights, dtype)
    qtype = gguf.GGMLQuantizationType[dtype]
    near = {
        key: gguf.dequantize(gguf.quantize(array, qtype), qtype).astype(np.float32) if array.ndim > 1 else array
        for key, array in weights.items()
    }
    changes = {key: config[key] for key in gguf_files.WIDE}
    folder = published.write(name, tmp_path / "folder", changes, near)
    assert any((near[key] != weights[key]).any() for key in weights)
    np.testing.assert_array_equal(logits(file), logits(folder))


def test_the_frequencies_of_llama_3(tmp_path):
    config, weights = gguf_files.model("llama3")
    rope = config["rope_parameters"]
    turns = rope["original_max_position_embeddings"] * rope["rope_theta"] ** (-np.array([0, 2]) / 4) / (2 * np.pi)
    share = np.clip((turns - rope["low_freq_factor"]) / (rope["high_freq_factor"] - rope["low_freq_factor"]), 0, 1)
    divisors = (1 / (share + (1 - share) / rope["factor"])).astype(np.float32)
    assert divisors.max() > 2
    file = gguf_files.write(tmp_path / "model.gguf", config, {**weights, "rope_freqs.weight": divisors})
    np.testing.assert_allclose(published.shown(logits(file)), published.MODELS["llama3"]["outputs"], atol=1e-4)


def test_linear_scaling_and_a_window(tmp_path):
    scaling = {"rope.scaling.type": "linear", "rope.scaling.factor": 2.0}
    file = gguf_files.write(tmp_path / "linear.gguf", *gguf_files.model("llama_linear"), changes=scaling)
    np.testing.assert_allclose(published.shown(logits(file)), published.MODELS["llama_linear"]["outputs"], atol=1e-4)
    file = gguf_files.write(
        tmp_path / "window.gguf", *gguf_files.model("mistral"), changes={"attention.sliding_window": 32}
    )
    np.testing.assert_allclose(published.shown(logits(file)), published.MODELS["mistral"]["outputs"], atol=1e-4)
    assert preset_decoder.facts(str(file)).max_length == 32


# --- what is refused -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({".general.architecture": "gemma3"}, r"general.architecture: found 'gemma3', expected one of llama, qwen2"),
        ({"block_count": None}, r"model.gguf: llama.block_count: found nothing, expected a number"),
        ({"block_count": "two"}, r"llama.block_count of architecture llama: found 'two', expected a whole number"),
        ({"attention.head_count": [4, 4]}, r"llama.attention.head_count of arch.* found \[4, 4\], expected a whole"),
        ({"expert_count": 8}, r"llama.expert_count of architecture llama: found 8, expected 0 or 1, others are not"),
        ({"rope.scaling.type": "yarn"}, r"rope_scaling of architecture llama: .*expected rope_type default, linear"),
        ({"rope.dimension_count": 2}, r"llama.rope.dimension_count: found 2, expected 4, all numbers of a head"),
        ({"attention.value_length": 2}, r"llama.attention.value_length: found 2, expected 4, as"),
        ({"logit_scale": 0.5}, r"llama.logit_scale: found 0.5, expected no such key: what it changes is not served"),
        ({".split.count": 3}, r"model.gguf: found one of 3 parts, expected a whole model: merge them"),
        ({"embedding_length": 8}, r"found blk.0.attn_norm.weight|found token_embd.weight of shape \[60, 16\], exp"),
        ({"feed_forward_length": 12}, r"found blk.0.ffn_gate.weight of shape \[24, 16\], expected \[12, 16\]"),
        ({"block_count": 1}, r"found tensors that a model of type llama .* does not have: .*expected files of one"),
        ({"block_count": 3}, r"found no tensor blk.2.attn_q.weight among 21; expected a whole model of arch"),
    ],
)
def test_what_is_not_served_is_named(tmp_path, changes: dict[str, Any], message: str):
    file = gguf_files.write(tmp_path / "model.gguf", *gguf_files.model("llama"), changes=changes)
    with pytest.raises(ConfigError, match=message) as error:
        logits(file)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("lost", "message"),
    [
        ("model.embed_tokens.weight", "found no tensor token_embd.weight of two dimensions among 20"),
        ("model.norm.weight", "found no tensor output_norm.weight among 20"),
        ("model.layers.1.self_attn.k_proj.weight", "found no tensor blk.1.attn_k.weight among 20"),
    ],
)
def test_a_missing_tensor_is_named_as_in_the_file(tmp_path, lost: str, message: str):
    config, weights = gguf_files.model("llama")
    del weights[lost]
    with pytest.raises(ConfigError, match=message):
        logits(gguf_files.write(tmp_path / "model.gguf", config, weights))


def test_a_type_that_is_not_dequantized_is_named(tmp_path, monkeypatch):
    file = gguf_files.write(tmp_path / "model.gguf", *gguf_files.model("llama", wide=True), "Q8_0")

    def refuse(data: Any, qtype: Any) -> Any:
        raise NotImplementedError

    monkeypatch.setattr(gguf, "dequantize", refuse)
    with pytest.raises(ConfigError, match=r"found token_embd.weight in Q8_0, which the package gguf cannot dequantize"):
        logits(file)


def test_damaged_files(tmp_path):
    whole = gguf_files.write(tmp_path / "whole.gguf", *gguf_files.model("llama")).read_bytes()
    file = tmp_path / "model.gguf"
    for size in (5, 20, 40, 200, 700, 1500, len(whole) // 2, len(whole) - 64):
        file.write_bytes(whole[:size])
        with pytest.raises(ConfigError, match=rf"damaged or partly downloaded file of {size:,} bytes \(.+\), expected"):
            logits(file)
    for content, message in (
        (b"", "found an empty file"),
        (b"PK\3\4 and so on", r"found a file that begins with b'PK"),
    ):
        file.write_bytes(content)
        with pytest.raises(ConfigError, match=message):
            logits(file)


def test_a_file_that_changes_is_read_again(tmp_path):
    file = gguf_files.write(tmp_path / "model.gguf", *gguf_files.model("llama"))
    assert gguf_folder(str(file)).kind == "llama"
    gguf_files.write(file, *gguf_files.model("qwen2"))
    os.utime(file, ns=(1, 1))
    assert gguf_folder(str(file)).kind == "qwen2"


def test_another_role_or_no_package(tmp_path, monkeypatch):
    file = gguf_files.write(tmp_path / "model.gguf", *gguf_files.model("llama"))
    config = PresetModel(architecture="preset", path=str(file), dropout=0.0)
    with pytest.raises(ConfigError, match=r"model.gguf: found the model_type llama, a language model; expected a text"):
        build_encoder(config, 60, 0, 16)
    monkeypatch.setitem(__import__("sys").modules, "gguf", None)
    os.utime(file, ns=(2, 2))
    with pytest.raises(UsageError, match=r"pip install 'textapp\[gguf\]'"):
        build_encoder(config, 60, 0, 16)
