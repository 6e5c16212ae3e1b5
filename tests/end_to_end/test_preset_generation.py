"""A preset that writes, from its folder to a bundle: trained, measured, exported, asked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from language_presets import save_preset
from writers import make_documents

from textapp.artifact import open_artifact
from textapp.catalog import parse_config
from textapp.errors import ConfigError

TEXTS = ["red blue", "  two  blanks", "天气", ""]
CASES = {
    "gpt2": {},
    "llama": {"lora_rank": 2},
    "opt": {},  # keeps KerasHub's layers
}


def config_of(folder: Path, name: str, **changes: Any) -> Any:
    (folder / "data.jsonl").write_text("\n".join(map(json.dumps, make_documents(60))), encoding="utf-8")
    return parse_config({
        "task": "generation", "run": str(folder / "run"), "data": {"train": "data.jsonl", "validation": 0.3},
        "lengths": [42], "generate_lengths": [[8, 12]],
        "model": {"architecture": "preset", "path": name, **CASES[name]},
        "training": {"epochs": 1, "device": "cpu", "learning_rate": 1e-3, "batch_tokens": 400},
        **changes,
    })  # fmt: skip


def trained(folder: Path, name: str) -> Path:
    from textapp.commands.train import train_config

    save_preset(name, folder / name)  # found below the folder of the data
    return train_config(config_of(folder, name), folder)


@pytest.mark.parametrize(
    ("name", "ways"),
    [
        ("gpt2", ["none"]),
        *(pytest.param(name, ["none", "dynamic"], marks=pytest.mark.slow) for name in CASES),
    ],
)
def test_a_preset_is_tuned_measured_exported_and_writes(name: str, ways: list[str], tmp_path: Path) -> None:
    from exports import export_run

    import textapp

    run = open_artifact(trained(tmp_path, name))
    metrics = json.loads((run.path / "metrics.json").read_text(encoding="utf-8"))
    assert 1 < metrics["validation"]["perplexity"] < 5000
    assert run.manifest["tokenizer"]["kind"] == "preset"
    keras = textapp.load(run.path)
    expected = [keras(text) for text in TEXTS]
    assert any(answer.output for answer in expected)
    records = make_documents(60)
    for quantize in ways:  # verified token for token, or along the same tokens, before it is written
        bundle = export_run(run, "litert", quantize, 20.0, records)
        writer = textapp.load(bundle)
        assert all("".join(writer.stream(text)) == writer(text).output for text in TEXTS)
        if quantize == "none":
            assert [writer(text).output for text in TEXTS] == [answer.output for answer in expected]
            searched = [predictor("red", beam_size=2, num_hypotheses=2).output for predictor in (writer, keras)]
            assert searched[0] == searched[1]
        verification = open_artifact(bundle).manifest["verification"]
        assert ("copied_mb" in verification) == (name == "opt")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["gpt2", "opt"])
@pytest.mark.parametrize("quantize", ["none", "int8-weights", "int4-weights"])
def test_a_saved_model_of_a_preset_writes_what_keras_writes(
    name: str, quantize: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from exports import export_run, rounded_keras

    import textapp
    from textapp.export import weights_only

    monkeypatch.setattr(weights_only, "MIN_QUANTIZED", 1)  # all products of a tiny model
    run = open_artifact(trained(tmp_path, name))
    bundle = export_run(run, "saved_model", quantize, 0.5 if quantize == "none" else 20.0, make_documents(40))
    writer, keras = textapp.load(bundle, trusted=True), rounded_keras(run, quantize)
    assert [answer.output for answer in writer.batch(TEXTS)] == [answer.output for answer in keras.batch(TEXTS)]


def test_a_context_that_the_preset_was_not_made_for_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    from textapp.commands.train import train_config

    save_preset("gpt2", tmp_path / "gpt2")
    config = config_of(tmp_path, "gpt2", lengths=[65], generate_lengths=None)
    with pytest.raises(ConfigError, match="found a context of 65 tokens; the preset .*gpt2' sees 64 at once"):
        train_config(config, tmp_path)
