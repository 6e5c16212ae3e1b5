"""`training.epochs: 0` makes a run of a preset as it is, without training data or with a test file alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("keras_hub")
import language_presets  # noqa: E402
import published  # noqa: E402
import translator_presets  # noqa: E402

import textapp  # noqa: E402
from textapp.artifact import open_artifact  # noqa: E402
from textapp.catalog import load_config, parse_config  # noqa: E402
from textapp.commands.check import check  # noqa: E402
from textapp.commands.evaluate import evaluate  # noqa: E402
from textapp.commands.export import export  # noqa: E402
from textapp.commands.train import train_config  # noqa: E402
from textapp.errors import DataError, UsageError  # noqa: E402
from textapp.export.options import ExportOptions  # noqa: E402


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return language_presets.save_preset("qwen", tmp_path_factory.mktemp("presets") / "qwen")


def config_of(path: Path, run: Path, task: str = "generation", **parts: Any) -> Any:
    model = {"architecture": "preset", "path": str(path)}
    raw = {"task": task, "run": str(run), "model": model, "training": {"epochs": 0, "device": "cpu"}, **parts}
    return parse_config(raw)


SMALL = {"lengths": [24], "generate_lengths": [[12, 8]]}


@pytest.mark.parametrize(
    ("template", "fault"),
    [
        ("{% for %}", "the model's chat template cannot be rendered"),
        ("nothing", "found 'nothing' for the message 'Hello', expected the message in it"),
        ("{{ messages[-1].content | upper }}", None),
    ],
)
def test_a_chat_template_that_cannot_be_used_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, template: str, fault: str | None
) -> None:
    pytest.importorskip("jinja2")
    folder = published_folder(tmp_path / "preset", [2])
    (folder / "chat_template.jinja").write_text(template, encoding="utf-8")
    train_config(config_of(folder, tmp_path / "run", **SMALL), tmp_path)
    told = [line for line in caplog.messages if "its chat template cannot be used" in line]
    assert len(told) == (fault is not None) and all(fault in line for line in told)


def verified_on(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, **more: Any
) -> tuple[list[dict[str, Any]], float | None]:
    """The records that an export of a run is verified on, and what it may lose."""

    class Stopped(Exception):
        pass

    def stop(artifact: Any, task: Any, objective: Any, options: Any, records: Any, out: Any) -> Any:
        raise Stopped(records, options.max_drop)

    monkeypatch.setattr("textapp.export.bundle.export_run", stop)
    with pytest.raises(Stopped) as caught:
        export(run, ExportOptions("litert", "none", **more), data_dir=tmp_path)
    records, max_drop = caught.value.args
    return records, max_drop


def published_folder(folder: Path, end_ids: list[int]) -> Path:
    """A tiny Llama in Hugging Face's layout with a word for each token, whose texts end with any of these."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    published.write("llama", folder)
    pipeline = Tokenizer(models.WordLevel({f"w{number}": number for number in range(60)}, unk_token="w0"))
    pipeline.pre_tokenizer = pre_tokenizers.Whitespace()
    pipeline.save(str(folder / "tokenizer.json"))
    names = {"bos_token": "w1", "eos_token": "w2", "pad_token": "w0", "unk_token": "w0"}
    (folder / "tokenizer_config.json").write_text(json.dumps(names), encoding="utf-8")
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": end_ids}), encoding="utf-8")
    return folder


def test_a_language_model_without_data_is_the_preset_and_ends_at_each_end_id(tmp_path: Path) -> None:
    import keras

    from textapp.config import PresetModel
    from textapp.models import GeneratorSettings, build_generator
    from textapp.models.saving import MODEL, load_float32

    folder, prompt = published_folder(tmp_path / "llama", [2]), "w7 w9 w20"
    endless = train_config(config_of(folder, tmp_path / "endless", **SMALL), tmp_path)
    words = textapp.load(endless)(prompt).output.split()
    assert len(words) == 8  # no text ends with w2
    last = next(word for place, word in enumerate(words) if place and word not in words[:place])
    expected = " ".join(words[: words.index(last)])
    published_folder(folder, [2, int(last[1:])])

    run = train_config(config_of(folder, tmp_path / "run", **SMALL), tmp_path)
    settings = GeneratorSettings(60, pad_id=0, start_id=1, end_id=2, max_length=24)
    preset = build_generator(PresetModel(architecture="preset", path=str(folder), dropout=0.0), settings)
    for mine, its in zip(load_float32(run / MODEL).weights, preset.weights, strict=True):
        np.testing.assert_array_equal(*map(keras.ops.convert_to_numpy, (mine, its)))
    manifest, metrics = open_artifact(run).manifest, json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    assert (manifest["languages"], manifest["running_text"], metrics["training"]["history"]) == (["en"], False, [])
    config = load_config(run / "config.yaml")
    assert (config.data.train, config.training.epochs, config.model.dropout) == (None, 0, 0.0)
    with pytest.raises(UsageError, match="this run has no examples of its own: give some with --data FILE"):
        evaluate(run)

    bundle, served = (export(run, ExportOptions(target, "none")) for target in ("litert", "saved_model"))
    verification = open_artifact(bundle).manifest["verification"]
    assert verification["examples"] == 16 and verification["max_error"] < 1e-3
    for path in (run, bundle, served):
        predictor = textapp.load(path, trusted=True)
        assert predictor(prompt).output.strip() == expected, path
        assert predictor(prompt, no_repeat_ngram_size=9).output.strip() == expected  # step by step
        assert "".join(predictor.stream(prompt)).strip() == expected


def test_the_lengths_and_the_check_without_data(llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = load_config(train_config(config_of(llama, tmp_path / "run"), tmp_path) / "config.yaml")
    assert (config.lengths, config.generate_lengths) == ([512], [(32, 128), (128, 128), (256, 256)])
    short = config_of(llama, tmp_path / "short", lengths=[200])
    run = train_config(short, tmp_path)
    assert load_config(run / "config.yaml").generate_lengths == [(32, 128)]
    records, max_drop = verified_on(run, tmp_path, monkeypatch)  # too few to tell 0.5 percent of perplexity
    assert (len(records), max_drop) == (16, 2)
    assert verified_on(run, tmp_path, monkeypatch, max_drop=0.1)[1] == 0.1


def test_a_language_model_with_a_test_file_alone(llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{"prompt": "red blue", "text": "red blue red blue red"}] * 3
    (tmp_path / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    run = train_config(config_of(llama, tmp_path / "run", data={"test": "test.jsonl"}, **SMALL), tmp_path)
    metrics = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    assert (metrics["test"]["data"], metrics["test"]["examples"]) == ("test.jsonl", 3)
    assert np.isfinite(metrics["test"]["perplexity"]) and "validation" not in metrics
    assert verified_on(run, tmp_path, monkeypatch) == (rows, None)


def test_with_training_data_it_is_the_baseline_of_a_training(llama: Path, tmp_path: Path) -> None:
    (tmp_path / "train.txt").write_text("red blue red\n" * 200, encoding="utf-8")
    config = config_of(llama, tmp_path / "run", data={"train": "train.txt"}, lengths=[32])
    metrics = json.loads((train_config(config, tmp_path) / "metrics.json").read_text(encoding="utf-8"))
    assert metrics["validation"]["perplexity"] > 1 and metrics["training"]["history"] == []


def test_a_translator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = translator_presets.save_preset("bart", tmp_path / "bart")
    parts = {"task": "translation", "lengths": [8], "generate_lengths": [[8, 8]]}
    with pytest.raises(DataError, match=r"data: found no examples, .* by data\.test"):
        train_config(config_of(folder, tmp_path / "run", **parts), tmp_path)
    (tmp_path / "test.tsv").write_text("source\ttarget\n" + "red blue\tblue red\n" * 4, encoding="utf-8")
    config = config_of(folder, tmp_path / "run", **parts, data={"test": "test.tsv"})
    run = train_config(config, tmp_path)
    metrics = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    assert metrics["test"]["examples"] == 4 and "bleu" in metrics["test"]
    assert verified_on(run, tmp_path, monkeypatch) == ([{"source": "red blue", "target": "blue red"}] * 4, None)


def test_there_is_nothing_to_check(llama: Path, tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text(
        f"task: generation\nrun: r\nmodel: {{architecture: preset, path: {llama}}}\ntraining: {{epochs: 0}}\n",
        encoding="utf-8",
    )
    with pytest.raises(UsageError, match=r"data\.train: found no files, expected some to check"):
        check(file)
