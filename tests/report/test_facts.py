from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from pages import make_run

from textapp.artifact import open_artifact, write_manifest
from textapp.errors import UsageError
from textapp.metrics.bootstrap import confusion_intervals, share_interval
from textapp.metrics.size import gzip_bytes
from textapp.report.facts import gather, run_facts
from textapp.report.kept import keep, kept

SCORES = {"data": "test.tsv", "examples": 100, "accuracy": 80.0, "f1_macro": 79.0, "confusion": [[40, 10], [10, 40]]}


def test_a_run_that_was_only_trained_tells_the_test_of_its_training(tmp_path: Path) -> None:
    facts = run_facts(open_artifact(make_run(tmp_path / "run", {"test": SCORES, "validation": {"accuracy": 1.0}})))
    (variant,) = facts.variants
    assert (variant.title, variant.data, variant.quality["accuracy"]) == (
        "run · keras float32",
        "test (test.tsv)",
        80.0,
    )
    assert variant.intervals["f1_macro"] == confusion_intervals([[40, 10], [10, 40]])["f1_macro"]
    assert facts.train_files == "a.tsv, b.tsv" and facts.confusion == ([[40, 10], [10, 40]], "test (test.tsv)")
    assert facts.samples is None and variant.speed == {} and variant.p50 is None


def test_a_share_has_an_interval_from_its_count_alone(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", {"validation": {"exact_match": 60.0, "f1": 70.0, "examples": 50}})
    assert run_facts(open_artifact(run)).variants[0].intervals == {"exact_match": share_interval(60.0, 50)}


def test_an_evaluation_counts_more_than_the_training_and_damaged_files_not_at_all(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", {"test": SCORES})
    (run / "evaluation").mkdir()
    evaluated = {"data": "mine.csv", "accuracy": 70.0, "examples": 20, "intervals": {"accuracy": [60, 80], "bad": [1]}}
    (run / "evaluation" / "metrics.json").write_text(json.dumps(evaluated), encoding="utf-8")
    (run / "evaluation" / "mistakes.tsv").write_text("text\tlabel\n好\ta\n", encoding="utf-8")
    facts = run_facts(open_artifact(run))
    assert (facts.variants[0].data, facts.variants[0].intervals) == ("mine.csv", {"accuracy": [60, 80]})
    assert facts.samples is not None and facts.samples[1] == [{"text": "好", "label": "a"}]
    (run / "evaluation" / "metrics.json").write_text("{", encoding="utf-8")
    (run / "evaluation" / "benchmark.json").write_text("[1]", encoding="utf-8")
    assert run_facts(open_artifact(run)).variants[0].quality["accuracy"] == 80.0


def test_a_damaged_export_and_one_of_another_model_are_told(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", {})
    for name, parent in (("litert", None), ("old", {"sha256": "other"})):
        bundle = run / "exports" / name
        bundle.mkdir(parents=True)
        (bundle / "golden.json").write_text('[{"text": "a", "token_ids": [1], "signature": "s", "label": "b"}]')
        write_manifest(bundle, {"kind": "bundle", "task": "classification", "target": "litert", "parent": parent})
    facts = run_facts(open_artifact(run))
    assert [each.name for each in facts.variants] == ["keras float32", "litert float32"]
    assert facts.samples == ("Answers that litert float32 gave when it was exported", [{"text": "a", "label": "b"}])
    assert "another model" in facts.notes[0] and "old" in facts.notes[0]
    (run / "exports" / "litert" / "golden.json").write_text("[]")
    facts = run_facts(open_artifact(run))
    assert len(facts.variants) == 1 and "golden.json: changed" in facts.notes[0]


@pytest.mark.parametrize(
    ("counts", "told"),
    [
        ({"parameters": 2**32, "nonzero": 2**31}, {"parameters": 2**32, "nonzero": 2**31}),
        ({"parameters": 2, "nonzero": 3}, {}),
        ({"parameters": "2", "nonzero": 1}, {}),
        ({}, {}),
    ],
)
def test_a_saved_model_has_the_parameters_that_its_export_counted(tmp_path: Path, counts: dict, told: dict) -> None:
    bundle = make_run(tmp_path / "run", {}) / "exports" / "saved_model"
    (bundle / "saved_model").mkdir(parents=True)
    (bundle / "saved_model" / "saved_model.pb").write_bytes(b"graph" * 100)
    manifest = {"kind": "bundle", "task": "classification", "target": "saved_model", "quantize": "int4-weights"}
    write_manifest(bundle, {**manifest, "verification": {"max_error": 0.1, **counts}})
    variant = run_facts(open_artifact(tmp_path / "run")).variants[1]
    assert variant.title == "run · saved_model int4-weights"
    packed = gzip_bytes(bundle / "saved_model")
    assert variant.sizes == {"file_bytes": 500, "gzip_bytes": packed, **told} and packed < 100


def test_runs_of_different_tasks_are_refused(tmp_path: Path) -> None:
    runs = [open_artifact(make_run(tmp_path / name, {}, task=name)) for name in ("translation", "generation")]
    with pytest.raises(UsageError, match="generation: is of generation, but .* of translation: make a report for each"):
        gather(runs)


def test_figures_of_a_model_that_was_replaced_are_not_those_of_the_new_one(tmp_path: Path) -> None:
    run = open_artifact(make_run(tmp_path / "run", {}))
    keep([(run, {"accuracy": 1.0, "latency_ms": {"p50": float("nan")}})])
    row = kept(run)
    assert row["accuracy"] == 1.0 and row["latency_ms"] == {"p50": None}
    (run.path / "config.yaml").write_text("task: y")
    write_manifest(run.path, {name: run.manifest[name] for name in ("kind", "task", "labels")}, run.manifest["files"])
    assert kept(open_artifact(run.path)) == {}


def test_rows_of_bundles_are_kept_beside_that_of_their_run(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", {})
    bundle = run / "exports" / "litert"
    bundle.mkdir(parents=True)
    write_manifest(bundle, {"kind": "bundle", "task": "classification", "target": "litert"})
    keep([(open_artifact(run), {"f1": 1.0})])
    keep([(open_artifact(bundle), {"f1": 2.0})])
    assert [kept(open_artifact(each))["f1"] for each in (run, bundle)] == [1.0, 2.0]
    assert not list(bundle.glob("evaluation*"))  # a bundle holds what a device needs, and nothing else


def test_a_file_is_packed_as_gzip_would(tmp_path: Path) -> None:
    (tmp_path / "zeros").write_bytes(bytes(100_000))
    assert abs(gzip_bytes(tmp_path / "zeros") - len(gzip.compress(bytes(100_000), 6))) < 32
    assert gzip_bytes(tmp_path) == gzip_bytes(tmp_path / "zeros")
