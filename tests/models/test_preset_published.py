"""Published folders in Hugging Face's layout: their outputs are those of transformers, or a line says why not."""

from __future__ import annotations

import json
from pathlib import Path

import ml_dtypes
import numpy as np
import published
import pytest
from safetensors.numpy import save_file

from textapp.config import PresetModel
from textapp.errors import ConfigError
from textapp.models import GeneratorSettings, build_encoder, build_generator, preset, preset_decoder, preset_translator
from textapp.models.preset_folder import INDEX, WEIGHTS

ENCODERS = ["bert", "bert_eps", "roberta", "xlmr", "distilbert", "albert", "electra"]
TRANSLATORS = ["t5", "flan", "mt5", "bart"]
LANGUAGE_MODELS = [name for name in published.MODELS if name not in (*ENCODERS, *TRANSLATORS)]
ROWS, LENGTH = 60, 16


def outputs(name: str, folder: Path, rows: int = ROWS, length: int = LENGTH) -> np.ndarray:
    """What textapp's model of a folder says of `published.TOKENS`, as `published.shown` shows it."""
    config = PresetModel(architecture="preset", path=str(folder), dropout=0.1)
    features = {"token_ids": published.TOKENS}
    if name in ENCODERS:
        return published.shown(np.asarray(build_encoder(config, rows, 0, length)(features)))
    source = length if name in TRANSLATORS else None
    settings = GeneratorSettings(rows, pad_id=0, start_id=1, end_id=2, max_length=length, max_source_length=source)
    if source:
        features["target_ids"] = published.TOKENS
    return published.shown(np.asarray(build_generator(config, settings)(features)))


def expected(name: str) -> np.ndarray:
    return np.array(published.MODELS[name]["outputs"])


@pytest.mark.parametrize("name", published.MODELS)
def test_outputs_are_those_of_transformers(tmp_path, name):
    folder = published.write(name, tmp_path)
    assert np.abs(expected(name)).max() > 0.4
    np.testing.assert_allclose(outputs(name, folder), expected(name), atol=1e-4)


# --- forms of weights ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, np.float64])
def test_half_and_double_floats(tmp_path, dtype):
    weights = {name: values.astype(dtype) for name, values in published.tensors("llama").items()}
    rounded = {name: values.astype(np.float32) for name, values in weights.items()}
    folder = published.write("llama", tmp_path / "narrow", weights=weights)
    same = published.write("llama", tmp_path / "float", weights=rounded)
    np.testing.assert_array_equal(outputs("llama", folder), outputs("llama", same))


def sharded(folder: Path, name: str = "llama") -> list[str]:
    """Cuts the weights of a folder in two files."""
    weights = published.tensors(name)
    published.write(name, folder)
    (folder / WEIGHTS).unlink()
    shards = [f"model-0000{number}-of-00002.safetensors" for number in (1, 2)]
    places = {key: shards[place % 2] for place, key in enumerate(weights)}
    for shard in shards:
        save_file({key: values for key, values in weights.items() if places[key] == shard}, folder / shard)
    (folder / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": places}), encoding="utf-8")
    return shards


def test_shards(tmp_path):
    shards = sharded(tmp_path)
    np.testing.assert_allclose(outputs("llama", tmp_path), expected("llama"), atol=1e-4)
    (tmp_path / shards[1]).unlink()
    with pytest.raises(ConfigError, match=rf"found 1 of 2 files of weights, {shards[1]} missing: download what"):
        outputs("llama", tmp_path)
    (tmp_path / INDEX).unlink()
    with pytest.raises(ConfigError, match=rf"found {shards[0]} without model.safetensors.index.json"):
        outputs("llama", tmp_path)


@pytest.mark.parametrize(
    ("name", "prefix"),
    [("llama", "model."), ("gpt2", "transformer."), ("bert", "bert."), ("distilbert", "distilbert.")],
)
def test_with_and_without_the_prefix_of_a_head(tmp_path, name, prefix):
    weights = published.tensors(name)
    if name == "llama":
        head = {"lm_head.weight": weights.pop("lm_head.weight")}
    else:
        head = {"classifier.weight": np.ones((2, 16), np.float32)} if name.endswith("bert") else {}
    bare = {key.removeprefix(prefix): values for key, values in weights.items()}
    for kind, changed in (("bare", bare), ("prefixed", {prefix + key: values for key, values in bare.items()})):
        folder = published.write(name, tmp_path / kind, weights={**changed, **head})
        np.testing.assert_allclose(outputs(name, folder), expected(name), atol=1e-4)


def test_an_old_bert_names_scale_and_shift(tmp_path):
    weights = {
        key.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): values
        for key, values in published.tensors("bert").items()
    }
    folder = published.write("bert", tmp_path, weights=weights)
    np.testing.assert_allclose(outputs("bert", folder), expected("bert"), atol=1e-4)


def test_buffers_are_left_out(tmp_path):
    weights = published.tensors("gpt2") | {"transformer.h.0.attn.bias": np.ones((1, 1, 64, 64), np.float32)}
    folder = published.write("gpt2", tmp_path, weights=weights)
    np.testing.assert_allclose(outputs("gpt2", folder), expected("gpt2"), atol=1e-4)


def test_a_tied_model_may_hold_its_table_twice(tmp_path):
    weights = published.tensors("llama_tied")
    weights["lm_head.weight"] = weights["model.embed_tokens.weight"].copy()
    folder = published.write("llama_tied", tmp_path, weights=weights)
    np.testing.assert_allclose(outputs("llama_tied", folder), expected("llama_tied"), atol=1e-4)
    weights["lm_head.weight"][7] += 1
    published.write("llama_tied", tmp_path, weights=weights)
    with pytest.raises(
        ConfigError, match=r"tie_word_embeddings of model_type llama: found True, expected false, because lm_head"
    ):
        outputs("llama_tied", folder)


def test_tokens_that_the_tokenizer_does_not_know_are_dropped(tmp_path):
    folder = published.write("llama", tmp_path)
    np.testing.assert_allclose(outputs("llama", folder, rows=59), expected("llama"), atol=1e-4)
    with pytest.raises(ConfigError, match="knows 60 tokens, its tokenizer has 61"):
        outputs("llama", folder, rows=61)


def test_segments(tmp_path):
    folder = published.write("bert", tmp_path)
    config = PresetModel(architecture="preset", path=str(folder), dropout=0.0)
    model = build_encoder(config, ROWS, 0, LENGTH, segments=True)
    features = {"token_ids": published.TOKENS, "segment_ids": np.zeros_like(published.TOKENS)}
    np.testing.assert_allclose(published.shown(np.asarray(model(features))), expected("bert"), atol=1e-4)
    other = {**features, "segment_ids": np.ones_like(published.TOKENS)}
    assert np.abs(published.shown(np.asarray(model(other))) - expected("bert")).max() > 0.1


# --- what a folder takes -------------------------------------------------------------------------------------------


def test_the_longest_texts(tmp_path):
    folders = {name: str(published.write(name, tmp_path / name)) for name in published.MODELS}
    assert preset.facts(folders["bert"]) == (True, 64)
    assert preset.facts(folders["roberta"]) == (False, 62)  # two positions are not used
    assert preset.facts(folders["distilbert"]) == (False, 64)
    assert preset_decoder.facts(folders["llama"]) == (64, True)
    assert preset_decoder.facts(folders["mistral"]) == (32, True)  # the window
    assert preset_translator.longest(folders["bart"]) == 64
    assert preset_translator.longest(folders["t5"]) is None
    with pytest.raises(ConfigError, match="found a context of 65 tokens; the preset .* sees 64 at once: lower it"):
        outputs("llama", Path(folders["llama"]), length=65)
    with pytest.raises(ConfigError, match="found 63 tokens; the preset .* reads 62 at most: lower it"):
        outputs("roberta", Path(folders["roberta"]), length=63)


@pytest.mark.parametrize(
    ("name", "changes", "most"),
    [
        ("qwen2", {"sliding_window": 24, "use_sliding_window": False}, 64),
        ("qwen2", {"sliding_window": 24, "use_sliding_window": True}, 24),
        ("qwen3", {"sliding_window": 20, "layer_types": ["full_attention", "sliding_attention"]}, 20),
        ("mistral", {"sliding_window": None}, 64),
    ],
)
def test_no_context_beyond_a_window(tmp_path, name, changes, most):
    assert preset_decoder.facts(str(published.write(name, tmp_path, changes))).max_length == most


@pytest.mark.parametrize("name", ["llama3", "llama_linear"])
def test_the_older_form_of_scaled_rotations(tmp_path, name):
    rope = dict(published.MODELS[name]["config"]["rope_parameters"])
    theta, kind = rope.pop("rope_theta"), rope.pop("rope_type")
    for number, key in enumerate(("rope_type", "type")):
        old = {"rope_parameters": None, "rope_theta": theta, "rope_scaling": {**rope, key: kind}}
        folder = published.write(name, tmp_path / str(number), old)
        np.testing.assert_allclose(outputs(name, folder), expected(name), atol=1e-4)


# --- what is refused -----------------------------------------------------------------------------------------------

ROPE = {"rope_theta": 1e4, "factor": 2.0}


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("gpt2", {"scale_attn_by_inverse_layer_idx": True}, " of model_type gpt2: found True"),
        ("gpt2", {"activation_function": "swish"}, " of model_type gpt2: found 'swish', expected one of"),
        ("llama", {"rope_parameters": {**ROPE, "rope_type": "yarn"}}, "expected rope_type default, linear, dynamic or"),
        ("llama", {"rope_scaling": {"type": "longrope"}}, "rope_type default, linear, dynamic or llama3"),
        ("llama", {"rope_scaling": {"rope_type": "llama3", "factor": 8}}, "numbers of rope_type llama3 .'low_freq_f"),
        ("llama", {"partial_rotary_factor": 0.5}, "partial_rotary_factor of model_type llama: found 0.5, expected 1"),
        ("llama", {"rope_interleaved": True}, "rope_interleaved of model_type llama: found True, expected False"),
        ("llama", {"hidden_act": "relu2"}, "hidden_act of model_type llama: found 'relu2', expected one of silu, "),
        ("llama", {"logits_scaling": 8.0}, "logits_scaling of model_type llama: found 8.0, expected 1.0"),
        ("llama", {"quantization_config": {"quant_method": "gptq"}}, " of model_type llama: found .'quant"),
        ("llama", {"hidden_size": "16"}, "hidden_size of model_type llama: found '16', expected a whole number from 1"),
        ("llama", {"num_hidden_layers": 1}, "found tensors that a model of type llama with this config.json does not"),
        ("llama", {"num_hidden_layers": 3}, r"found no tensor model\.layers\.2\..*; expected a whole model of type"),
        ("llama", {"intermediate_size": 20}, r"of shape \[24, 16\], expected \[20, 16\] by config.json"),
        ("llama_bias", {"attention_bias": False}, "tensors that a model .* does not have: .*q_proj.bias"),
        ("qwen3", {"model_type": "llama"}, "tensors that a model .* does not have: .*q_norm.weight"),
        ("llama", {"tie_word_embeddings": True}, "tie_word_embeddings of model_type llama: found True, expected false"),
        ("llama_tied", {"tie_word_embeddings": False}, "found no tensor lm_head.weight"),
        ("bert", {"position_embedding_type": "relative_key"}, " of model_type bert: found 'relative"),
        ("bert", {"is_decoder": True}, "is_decoder of model_type bert: found True, expected False"),
        ("bart", {"scale_embedding": True}, "scale_embedding of model_type bart: found True, expected False"),
        ("t5", {"relative_attention_num_buckets": 64}, " of model_type t5: found 64, expected 32"),
        ("flan", {"tie_word_embeddings": True}, "tie_word_embeddings of model_type t5: found True, expected false"),
        ("llama", {"model_type": "phi3"}, "found the model_type phi3; expected a language model of the type gpt2"),
        ("llama", {"model_type": "bert"}, "found the model_type bert, a text encoder; expected a language model of"),
        ("bert", {"model_type": "deberta-v2"}, "found the model_type deberta-v2; expected a text encoder of the type"),
        ("t5", {"model_type": "marian"}, "found the model_type marian; expected an encoder-decoder of the type bart"),
        ("gemma", {"rms_norm_eps": 1e-5}, "rms_norm_eps of model_type gemma: found 1e-05, expected 1e-06"),
        ("gemma", {"rope_parameters": {**ROPE, "rope_type": "linear"}}, "rope_parameters of model_type gemma: found"),
        ("gemma", {"architectures": None}, "architectures of model_type gemma: found nothing, expected"),
        ("bert", {"auto_map": {"AutoModel": "modeling.Bert"}}, "expected a model that needs no Python code of its own"),
        ("gemma", {"quantization_config": {"bits": 4}}, "quantization_config of .*: found .*expected nothing"),
        ("llama", {"model_type": None}, "config.json: found no model_type, expected one such as 'llama'"),
    ],
)  # fmt: skip
def test_what_would_compute_something_else_is_refused(tmp_path, name, changes, message):
    with pytest.raises(ConfigError, match=message) as caught:
        outputs(name, published.write(name, tmp_path, changes))
    assert str(caught.value).startswith("model.path: ") and "\n" not in str(caught.value)


def test_a_bias_of_the_logits(tmp_path):
    weights = published.tensors("bart")
    weights["final_logits_bias"][0, 3] = 1
    with pytest.raises(ConfigError, match="found final_logits_bias other than 0"):
        outputs("bart", published.write("bart", tmp_path, weights=weights))


def test_weights_that_cannot_be_read(tmp_path):
    folder = published.write("llama", tmp_path)
    whole = (folder / WEIGHTS).read_bytes()

    def message(content: bytes) -> str:
        (folder / WEIGHTS).write_bytes(content)
        with pytest.raises(ConfigError) as caught:
            outputs("llama", folder)
        return str(caught.value)

    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n"
    assert "found a Git LFS pointer instead of the file itself: run git lfs pull" in message(pointer)
    assert f"damaged or partly downloaded file of {len(whole) - 9:,} bytes" in message(whole[:-9])
    assert "damaged or partly downloaded file of 5 bytes" in message(whole[:5])
    assert "found an empty file" in message(b"")
    (folder / WEIGHTS).unlink()
    with pytest.raises(
        ConfigError, match=r"found no weights among config\.json; expected model\.safetensors, or shards"
    ):
        outputs("llama", folder)
    (folder / "pytorch_model.bin").write_bytes(b"PK")
    with pytest.raises(
        ConfigError, match=r"found pytorch_model\.bin, a pickle, which can run code and is not opened; .*"
    ):
        outputs("llama", folder)


def test_quantized_tensors(tmp_path):
    weights = published.tensors("llama")
    weights["model.norm.weight"] = np.ones(16, np.int8)
    with pytest.raises(ConfigError, match="found model.norm.weight in I8, a quantized model; expected float32"):
        outputs("llama", published.write("llama", tmp_path, weights=weights))


def test_folders_that_are_no_model(tmp_path):
    with pytest.raises(ConfigError, match="found no config.json among nothing; expected a folder in Hugging Face"):
        outputs("llama", tmp_path)
    (tmp_path / "config.json").write_text("{", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"config\.json: found no JSON \(.*\), expected an object: download the file"):
        outputs("llama", tmp_path)
    (tmp_path / "config.json").unlink()
    (tmp_path / "adapter_config.json").write_text("{}", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"found an adapter \(adapter_config.json\), expected a whole model: merge"):
        outputs("llama", tmp_path)


def test_a_language_model_that_is_not_served_is_told_before_it_is_built(tmp_path):
    folder = published.write("llama", tmp_path, {"rope_scaling": {"rope_type": "yarn", "factor": 4.0}})
    with pytest.raises(ConfigError, match="rope_scaling of model_type llama: found"):
        preset_decoder.facts(str(folder))
