"""Folders that are whole or not there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from textapp.artifact import MANIFEST, open_artifact, partial_folder, replaced_folder, swap, write_manifest, write_text
from textapp.errors import ArtifactError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "run"
    (made / "tokenizer").mkdir(parents=True)
    (made / "model.bin").write_bytes(b"weights")
    (made / "tokenizer" / "settings.json").write_text("{}")
    write_manifest(made, {"kind": "run", "task": "classification"})
    return made


def test_a_whole_folder_opens(folder: Path) -> None:
    artifact = open_artifact(folder)
    assert artifact.kind == "run" and set(artifact.manifest["files"]) == {"model.bin", "tokenizer/settings.json"}


def test_one_changed_byte_is_found(folder: Path) -> None:
    (folder / "model.bin").write_bytes(b"weightz")
    with pytest.raises(ArtifactError, match=r"model\.bin: changed"):
        open_artifact(folder)


def test_a_folder_of_bundles_names_them(folder: Path) -> None:
    with pytest.raises(ArtifactError, match=f"has no manifest.json.*: use {folder}"):
        open_artifact(folder.parent)


def test_a_missing_file_is_named(folder: Path) -> None:
    (folder / "tokenizer" / "settings.json").unlink()
    with pytest.raises(ArtifactError, match=r"settings\.json: missing"):
        open_artifact(folder)


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"format": 1}', '{"format": 99, "kind": "run", "files": {}, "task": "x"}']
)
def test_a_manifest_cut_off_or_foreign_is_refused(folder: Path, content: str) -> None:
    (folder / MANIFEST).write_text(content)
    with pytest.raises(ArtifactError, match="manifest"):
        open_artifact(folder)


def test_a_training_cut_off_says_how_it_goes_on(tmp_path: Path) -> None:
    partial_folder(tmp_path / "run").mkdir()
    with pytest.raises(ArtifactError, match="to resume it"):
        open_artifact(tmp_path / "run")
    with pytest.raises(ArtifactError, match="to resume it"):
        open_artifact(tmp_path / "run.partial")


def test_a_folder_is_replaced_whole_or_not_at_all(folder: Path) -> None:
    with pytest.raises(RuntimeError), replaced_folder(folder) as partial:
        (partial / "new").touch()
        raise RuntimeError("in the middle")
    assert open_artifact(folder).kind == "run"
    assert [path.name for path in folder.parent.iterdir()] == ["run"]
    with replaced_folder(folder) as partial:
        (partial / "new").touch()
    assert [path.name for path in folder.iterdir()] == ["new"]
    assert [path.name for path in folder.parent.iterdir()] == ["run"]


def test_a_swap_that_fails_leaves_the_old_folder(folder: Path) -> None:
    with pytest.raises(FileNotFoundError):
        swap(partial_folder(folder), folder)
    assert open_artifact(folder).kind == "run"
    assert [path.name for path in folder.parent.iterdir()] == ["run"]


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "metrics.json"
    write_text(file, "old")

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OSError, match="No space"):
        write_text(file, "new")
    assert file.read_bytes() == b"old" and list(tmp_path.iterdir()) == [file]


def test_a_bundle_knows_the_run_around_it(folder: Path, tmp_path: Path) -> None:
    bundle = folder / "exports" / "litert"
    bundle.mkdir(parents=True)
    write_manifest(bundle, {"kind": "bundle", "task": "classification"})
    assert open_artifact(bundle).parent == folder.resolve()
    moved = bundle.rename(tmp_path / "elsewhere")
    assert open_artifact(moved).parent is None


def test_the_manifest_is_plain_json(folder: Path) -> None:
    assert json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["format"] == 1
