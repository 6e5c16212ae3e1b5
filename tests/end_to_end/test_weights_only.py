"""A SavedModel with integer weights answers every command as the Keras model with the same weights."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from exports import export_run, rounded_keras
from writers import make_documents, make_pairs

import textapp
from textapp.artifact import open_artifact
from textapp.metrics.size import gzip_bytes, size_bytes

TEXTS = {"translation": ["rot haus", "hund katze baum wald", "", "tag"], "generation": ["red blue", "night", "", "sea"]}
RECORDS = {"translation": make_pairs, "generation": make_documents}


@pytest.mark.parametrize("quantize", ["int8-weights", "int4-weights"])
def test_a_classifier(quantize: str, tiny_run: Path, tiny_bundle: Path, tmp_path: Path, textapp_here) -> None:
    run = shutil.copytree(tiny_run, tmp_path / "run")  # with the file for LiteRT in it
    test = tiny_run.with_name("samples") / "test.tsv"

    def result(*arguments: object) -> dict | list:
        done = textapp_here(*arguments, "--json")
        assert done.code == 0, done.stderr
        return json.loads(done.stdout)

    bundle = run / "exports" / "saved_model"
    exported = result("export", run, "--target", "saved_model", "--quantize", quantize, "--max-drop", 5)
    counts = exported["verification"]
    total = result("inspect", run)["parameters"]
    assert counts["parameters"] == total and 0.7 * total < counts["nonzero"] <= total
    shown = result("inspect", bundle)
    assert (shown["quantize"], shown["verification"]) == (quantize, counts)

    answers = tmp_path / "answers.jsonl"
    textapp_here("predict", bundle, "--trusted", "--input", test, "--output", answers)
    found = [json.loads(line) for line in answers.read_text(encoding="utf-8").splitlines()]
    expected = rounded_keras(open_artifact(run), quantize).batch([row["input"] for row in found])
    for answer, row in zip(expected, found, strict=True):
        assert row["probabilities"] == pytest.approx(dict(answer.probabilities), abs=1e-5)
    with test.open(encoding="utf-8", newline="") as opened:
        labels = [row["label"] for row in csv.DictReader(opened, delimiter="\t")]
    accuracy = 100 * sum(row["label"] == label for row, label in zip(found, labels, strict=True)) / len(labels)
    assert result("evaluate", bundle, "--trusted")["accuracy"] == pytest.approx(accuracy)

    served, device = result("benchmark", bundle, run / "exports" / tiny_bundle.name, "--trusted")
    assert (served["variant"], device["variant"]) == (f"saved_model {quantize}", "litert dynamic")
    assert served["accuracy"] == pytest.approx(accuracy) and served["latency_ms"]["p50"] > 0
    variants = {row["variant"]: row for row in result("report", run)["variants"]}
    file = bundle / "saved_model"
    assert variants[f"saved_model {quantize}"] == {
        "run": "run", "variant": f"saved_model {quantize}", "file_bytes": size_bytes(file),
        "gzip_bytes": gzip_bytes(file), "parameters": total, "nonzero": counts["nonzero"],
    }  # fmt: skip


@pytest.mark.parametrize(("task", "quantize"), [("translation", "int4-weights"), ("generation", "int8-weights")])
def test_a_model_that_writes(task: str, quantize: str, tiny_writer: Callable[[str], Path], tmp_path: Path) -> None:
    run, records = open_artifact(tiny_writer(task)), RECORDS[task](40)
    bundle = export_run(run, "saved_model", quantize, 50.0, records, out=tmp_path / "bundle")
    keras, served = rounded_keras(run, quantize), textapp.load(bundle, trusted=True)
    expected = [answer.output for answer in keras.batch(TEXTS[task])]
    assert [answer.output for answer in served.batch(TEXTS[task])] == expected and any(expected)
    assert "".join(served.stream(TEXTS[task][0])) == expected[0]
    beams = [predictor(TEXTS[task][0], beam_size=2, num_hypotheses=2).output for predictor in (served, keras)]
    assert beams[0] == beams[1]
    figures = [predictor.figures(records)["perplexity"] for predictor in (served, keras)]
    assert figures[0] == pytest.approx(figures[1], rel=1e-3)
