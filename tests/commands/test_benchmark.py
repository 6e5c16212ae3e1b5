from __future__ import annotations

import json
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from textapp.artifact import Artifact, open_artifact, write_manifest
from textapp.commands.benchmark import Child, benchmark, interleaved, model_size, open_all, start
from textapp.commands.tables import variant
from textapp.errors import ArtifactError


def folder(path: Path, **manifest: Any) -> Path:
    path.mkdir(parents=True)
    (path / "model.tflite").write_bytes(b"x" * 10)
    write_manifest(path, {"task": "classification", **manifest})
    return path


class FakeChild:
    """Answers each block in the order of being asked: the turns can be read off."""

    turns: list[str] = []

    def __init__(self, name: str) -> None:
        self.name = name

    def times(self, records: list[Any]) -> list[float]:
        self.turns.append(f"{self.name}{len(records)}")
        return [1.0] * len(records)


def test_models_take_turns_and_none_is_always_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeChild, "turns", [])
    queries = [[{"text": str(index)} for index in range(50)], [{"text": "only"}] * 25]
    timings = interleaved([FakeChild("a"), FakeChild("b")], queries)
    assert FakeChild.turns == ["a20", "b20", "a20", "b20", "b5", "a20", "a10"]
    assert list(map(len, timings)) == [50, 25]


def test_one_run_alone_stands_for_its_bundles_too(tmp_path: Path) -> None:
    run = folder(tmp_path / "run", kind="run")
    bundle = folder(run / "exports" / "litert", kind="bundle", target="litert", quantize="none")
    assert [artifact.path for artifact in open_all([run])] == [run, bundle]
    assert [artifact.path for artifact in open_all([run, run])] == [run, bundle]
    other = folder(tmp_path / "other", kind="run")
    assert [artifact.path for artifact in open_all([other, run])] == [other, run]
    assert [variant(artifact.manifest) for artifact in open_all([run])] == ["keras float32", "litert float32"]


def test_the_size_is_that_of_model_and_tokenizer(tmp_path: Path) -> None:
    run = folder(tmp_path / "run", kind="run")
    (run / "tokenizer").mkdir()
    (run / "tokenizer" / "settings.json").write_text("{}")
    (run / "exports").mkdir()
    (run / "exports" / "large").write_bytes(b"x" * 999)
    assert model_size(run) == 12


def test_a_fault_of_the_child_comes_back_as_its_own_class(tmp_path: Path) -> None:
    broken = Artifact(tmp_path / "absent", {"kind": "bundle"})
    with Child(broken, 1, "auto") as child, pytest.raises(ArtifactError, match="absent: no such folder"):
        child.ask({"do": "answer", "record": {"text": "a"}})


def test_a_child_that_dies_is_told_with_its_last_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "textapp").mkdir()
    (tmp_path / "textapp" / "__init__.py").write_text("raise RuntimeError('out of luck')")
    monkeypatch.chdir(tmp_path)  # where `python -m` looks first
    with ExitStack() as stack, pytest.raises(ArtifactError, match="its process ended: exit code 1;.*out of luck"):
        start(Artifact(tmp_path, {"kind": "run"}), 1, "auto", {"text": "a"}, stack)


def test_a_bundle_is_measured_by_itself(tiny_bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (row,) = benchmark([tiny_bundle], as_json=True)
    assert json.loads(capsys.readouterr().out) == [row]
    assert row["path"] == str(tiny_bundle) and row["variant"] == "litert dynamic"
    assert 0 < row["latency_ms"]["p50"] <= row["latency_ms"]["p90"] <= row["latency_ms"]["p99"] < row["start_ms"]
    assert 0 < row["accuracy"] <= 100 and 0 < row["f1_macro"] <= 100
    assert row["examples"] > 100 and row["data"].startswith("test")
    assert row["size_bytes"] > (tiny_bundle / "model.tflite").stat().st_size
    assert 20 < row["peak_memory_mb"] < 400  # TensorFlow alone would take more


def test_a_run_and_its_bundle_agree_in_quality(
    tiny_run: Path, tiny_bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = benchmark([tiny_run, tiny_bundle])
    table = capsys.readouterr().out
    assert "keras float32" in table and "litert dynamic" in table and "macro F1" in table
    assert abs(rows[0]["accuracy"] - rows[1]["accuracy"]) < 3


def test_other_data_may_be_named(tiny_bundle: Path, tmp_path: Path) -> None:
    label = open_artifact(tiny_bundle).manifest["labels"][0]
    file = tmp_path / "mine.csv"
    file.write_text(f"a,b\nfine,{label}\n好,{label}\n", encoding="utf-8")
    (row,) = benchmark([tiny_bundle], data=[file], columns="text=a,label=b", as_json=True)
    assert row["examples"] == 2 and "mine.csv" in row["data"]
