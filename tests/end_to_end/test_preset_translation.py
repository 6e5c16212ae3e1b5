"""An encoder-decoder preset from its folder to bundles that translate: token for token the same everywhere."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from translator_presets import save_preset

import textapp
from textapp.artifact import open_artifact
from textapp.commands.evaluate import evaluate
from textapp.commands.export import export
from textapp.commands.train import train
from textapp.export.options import ExportOptions

WORDS = {"red": "blue", "blue": "red", "sea": "house", "house": "sea", "dog": "night"}
TEXTS = ["red house", "", "dog sea dog blue", "night", "red"]


def write_config(folder: Path, **model: object) -> Path:
    dice = random.Random(1)
    chosen = [dice.choices(list(WORDS), k=dice.randint(1, 3)) for _ in range(120)]
    rows = [{"source": " ".join(words), "target": " ".join(WORDS[word] for word in words)} for words in chosen]
    (folder / "pairs.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    config = {
        "task": "translation", "run": str(folder / "run"), "lengths": [16], "generate_lengths": [[16, 12]],
        "data": {"train": "pairs.jsonl", "validation": 0.2, "source_language": "en", "target_language": "en"},
        "model": {"architecture": "preset", "path": "preset", **model},
        "training": {"epochs": 1, "batch_size": 16, "device": "cpu", "precision": "float32"},
    }  # fmt: skip
    (folder / "run.yaml").write_text(json.dumps(config), encoding="utf-8")
    return folder / "run.yaml"


def answers(path: Path) -> list[Any]:
    translate = textapp.load(path, trusted=True)
    greedy = [translate(text) for text in TEXTS]
    beams = [translate(text, beam_size=2, num_hypotheses=2).output for text in TEXTS]
    streamed = ["".join(translate.stream(text)) for text in TEXTS]
    assert streamed == [answer.output for answer in greedy]
    return [streamed, beams]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "model"), [("bart", {}), ("t5_gated", {"lora_rank": 2})])
def test_trained_exported_and_the_same_everywhere(name: str, model: dict[str, int], tmp_path: Path) -> None:
    save_preset(name, tmp_path / "preset")
    run = train(write_config(tmp_path, **model), data_dir=tmp_path)
    figures = evaluate(run, data_dir=tmp_path, output=tmp_path / "evaluation")
    assert figures["perplexity"] > 1 and 0 <= figures["bleu"] <= 100
    expected = answers(run)
    assert len(set(expected[0])) > 1
    for target, quantize in (("litert", "none"), ("saved_model", "none")):
        bundle = export(run, ExportOptions(target, quantize, max_drop=100), data_dir=tmp_path)
        assert open_artifact(bundle).manifest["verification"]["equal_texts"] == 100
        assert answers(bundle) == expected
    bundle = export(run, ExportOptions("litert", "dynamic", 100), data_dir=tmp_path, output=tmp_path / "int8")
    assert open_artifact(bundle).manifest["quantize"] == "dynamic"
