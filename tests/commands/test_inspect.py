from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from textapp.artifact import write_manifest
from textapp.commands.inspect import inspect
from textapp.errors import ArtifactError


def test_a_run_tells_its_model_its_quality_and_its_exports(
    tiny_run: Path, tiny_bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = inspect(tiny_run, as_json=True)
    assert json.loads(capsys.readouterr().out) == found
    assert (found["kind"], found["architecture"], found["lengths"]) == ("run", "cnn", [16, 32])
    assert found["parameters"] > 20_000  # most of them in the table of embeddings
    assert 0 < found["quality"]["test"]["accuracy"] <= 100
    assert [(row["path"], row["quantize"]) for row in found["exports"]] == [(str(tiny_bundle), "dynamic")]


def test_a_bundle_tells_its_signatures_from_the_file_itself(
    tiny_run: Path, tiny_bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = inspect(tiny_bundle)
    assert list(found["signatures"]) == [f"classify_{length}" for length in found["lengths"]]
    assert found["lengths"] == [16, 32]  # the config names them, so the export adds none
    classes = len(found["labels"])
    assert found["signatures"]["classify_16"] == {
        "inputs": {"token_ids": {"shape": [1, 16], "dtype": "int32"}},
        "outputs": {"probabilities": {"shape": [1, classes], "dtype": "float32"}},
    }
    assert found["ops"]["FULLY_CONNECTED"] >= 1
    assert found["parent"]["run"] == tiny_run.name
    out = capsys.readouterr().out
    assert f"token_ids [1, 16]   probabilities [1, {classes}]" in out and "litert" in out


def test_a_saved_model_tells_what_its_manifest_declares(tmp_path: Path) -> None:
    signatures = {"tokens": {"inputs": {"token_ids": [None, None]}, "outputs": {"probabilities": [None, 2]}}}
    manifest = {"kind": "bundle", "task": "classification", "target": "saved_model", "signatures": signatures}
    write_manifest(tmp_path, manifest)
    found = inspect(tmp_path)
    assert found["signatures"]["tokens"]["outputs"] == {"probabilities": {"shape": [None, 2]}}
    assert found["parameters"] is None and found["quality"] is None


def test_pairs_of_lengths_are_told_as_pairs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_manifest(tmp_path, {"kind": "bundle", "task": "translation", "generate_lengths": [[8, 24], [16, 32]]})
    assert inspect(tmp_path)["generate_lengths"] == [[8, 24], [16, 32]]
    assert "24 tokens after 8, 32 tokens after 16" in capsys.readouterr().out


def test_a_changed_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "model.keras").write_bytes(b"whole")
    write_manifest(tmp_path, {"kind": "run", "task": "classification"})
    (tmp_path / "model.keras").write_bytes(b"wholE")
    with pytest.raises(ArtifactError, match="changed since it was written"):
        inspect(tmp_path)


def test_inspect_works_where_tensorflow_cannot_be_imported(tiny_bundle: Path) -> None:
    code = (
        "import sys; sys.modules['tensorflow'] = sys.modules['keras'] = None; from pathlib import Path; "
        "from textapp.commands.inspect import inspect; inspect(Path(sys.argv[1]), as_json=True)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, tiny_bundle], cwd=Path(__file__).parents[2], capture_output=True, encoding="utf-8"
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["kind"] == "bundle"
