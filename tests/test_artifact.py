"""Folders that are whole or not there."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from textapp.artifact import (
    MANIFEST,
    check_no_input,
    check_not_of_an_artifact,
    check_target,
    exports_of,
    made_files,
    open_artifact,
    replaced_folder,
    write_manifest,
)
from textapp.errors import ArtifactError, UsageError
from textapp.folders import WorkFolder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "run"
    (made / "tokenizer").mkdir(parents=True)
    (made / "model.bin").write_bytes(b"weights")
    (made / "tokenizer" / "settings.json").write_text("{}")
    write_manifest(made, {"kind": "run", "task": "classification"})
    return made


def test_a_folder_that_is_not_there_is_told_with_what_was_wanted(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="nope: no such folder; expected a run folder or a bundle"):
        open_artifact(tmp_path / "nope")
    with pytest.raises(ArtifactError, match="nope: no such folder; expected a run folder$"):
        open_artifact(tmp_path / "nope", "a run folder")


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
    with WorkFolder(tmp_path / "run", "training", keeps="last") as work:
        work.clear()
        (work.new / "last").touch()
        with pytest.raises(ArtifactError, match=f"process {os.getpid()} on .* works on it .training.*wait"):
            open_artifact(tmp_path / "run")
    for path in (tmp_path / "run", work.path, work.new):
        with pytest.raises(ArtifactError, match=f"{work.path} is an interrupted training: .* to resume it"):
            open_artifact(path)


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


def write_bundle(bundle: Path, target: str, model: str) -> None:
    bundle.mkdir(parents=True)
    (bundle / "model.tflite").touch()
    manifest = {"kind": "bundle", "task": "classification", "target": target, "parent": {"sha256": model}}
    write_manifest(bundle, manifest)


def test_what_textapp_made_in_a_run_is_known(folder: Path) -> None:
    ours = ["checkpoints/last.npz", "checkpoints/previous.npz", "checkpoints/epoch_3.npz"]
    ours += ["checkpoints/request.json", "evaluation/metrics.json"]
    ours += ["logs/train/events.out.tfevents.1.host.2.0.v2"]
    theirs = ["notes.txt", "checkpoints/notes.txt", "checkpoints/mine.npz", "logs/notes", "evaluation/judged.tsv"]
    theirs += ["model.bin.old", "tokenizer/readme", "exports/litert/notes.txt", "exports/readme"]
    for name in ours + theirs:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    write_bundle(folder / "exports" / "litert-good", "litert", "")
    (folder / "exports" / "litert" / "notes.txt").rename(folder / "kept")
    (folder / "exports" / "litert").rmdir()
    write_bundle(folder / "exports" / "litert", "litert", "")
    (folder / "kept").rename(folder / "exports" / "litert" / "notes.txt")
    made = made_files(folder)
    assert made.issuperset([*ours, MANIFEST, "model.bin", "tokenizer/settings.json", "exports/litert/model.tflite"])
    assert not made.intersection([*theirs, "exports/litert-good/manifest.json", "exports/litert-good/model.tflite"])


def test_the_files_of_the_user_stay_when_a_run_is_replaced(folder: Path) -> None:
    (folder / "data").mkdir()
    (folder / "data" / "train.tsv").write_text("good\tpos")
    (folder / "tokenizer" / "notes.txt").write_text("mine")
    (folder / "config.yaml").write_text("not in the manifest, so mine")
    (folder / "link").symlink_to("data")
    with replaced_folder(folder) as new:
        (new / "model.bin").write_bytes(b"new")
        (new / "config.yaml").write_text("textapp's")
    files = {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*") if path.is_file()}
    assert files == {
        "data/train.tsv": "good\tpos", "tokenizer/notes.txt": "mine", "model.bin": "new", "config.yaml": "textapp's",
        "config.yaml.kept": "not in the manifest, so mine",
    }  # fmt: skip
    assert (folder / "link").is_symlink() and [path.name for path in folder.parent.iterdir()] == ["run"]


def test_a_kill_between_the_two_renames_is_made_good(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "notes.txt").write_text("mine")
    pid = os.fork()
    if not pid:  # the child dies as by SIGKILL, after the first rename
        real = os.replace
        monkeypatch.setattr(os, "replace", lambda one, two: real(one, two) if two != folder else os._exit(9))
        with replaced_folder(folder) as new:
            (new / "model.bin").write_bytes(b"new")
            write_manifest(new, {"kind": "run", "task": "classification"})
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 9 and not folder.exists()
    assert open_artifact(folder).manifest["files"].keys() == {"model.bin"}
    assert (folder / "model.bin").read_bytes() == b"new" and (folder / "notes.txt").read_text() == "mine"
    assert [path.name for path in folder.parent.iterdir()] == ["run"]


def test_a_damaged_run_is_recognised_and_a_stranger_s_folder_is_not(folder: Path, tmp_path: Path) -> None:
    (folder / MANIFEST).write_text("{")
    with pytest.raises(UsageError, match="exists and is not a run"):
        check_target(folder, "run", "checkpoints/request.json")
    assert check_target(folder, "run", "model.bin")
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="exists and is not a run"):
        check_target(tmp_path / "file", "run")
    with pytest.raises(UsageError, match="file is no folder"):
        check_target(tmp_path / "file" / "run", "run")
    assert not check_target(tmp_path / "new", "run")


def test_a_symbolic_link_means_its_target(folder: Path, tmp_path: Path) -> None:
    link = tmp_path / "elsewhere" / "link"
    link.parent.mkdir()
    link.symlink_to(folder)
    assert check_target(link, "run")
    with replaced_folder(link) as new:
        (new / "model.bin").write_bytes(b"new")
    assert link.is_symlink() and (folder / "model.bin").read_bytes() == b"new"
    link.unlink()
    link.symlink_to(tmp_path / "not" / "yet")
    assert not check_target(link, "run")
    with replaced_folder(link) as new:
        (new / "model.bin").write_bytes(b"new")
    assert (tmp_path / "not" / "yet" / "model.bin").is_file() and list(link.parent.iterdir()) == [link]
    link.unlink()
    link.symlink_to(link)
    with pytest.raises(UsageError, match="link"):
        check_target(link, "run")


def test_inputs_and_models_are_not_overwritten(folder: Path, tmp_path: Path) -> None:
    (folder / "train.tsv").touch()
    check_no_input(folder, [folder / "train.tsv", tmp_path / "data.tsv"])
    with pytest.raises(UsageError, match="settings.json: is a file of .*which will be replaced: copy it"):
        check_no_input(folder, [folder / "tokenizer" / "settings.json"])
    (tmp_path / "hard").hardlink_to(folder / "model.bin")
    (tmp_path / "soft").symlink_to(folder / "model.bin")
    for name in (folder / "model.bin", folder / MANIFEST, tmp_path / "hard", tmp_path / "soft"):
        with pytest.raises(UsageError, match=f"{name}: is a file of {folder}, which would be damaged"):
            check_not_of_an_artifact(name, folder)
    check_not_of_an_artifact(folder / "answers.jsonl", folder)


@pytest.mark.parametrize("name", ["model.keras", "tokenizer/chat_template.jinja", "saved_model/a/answers.jsonl"])
def test_a_file_that_would_be_taken_for_a_part_of_a_model_is_not_written(folder: Path, name: str) -> None:
    with pytest.raises(UsageError, match=f"{name}: is a file of {folder}, which would be damaged"):
        check_not_of_an_artifact(folder / name)


def test_what_the_caller_made_before_may_be_replaced(folder: Path) -> None:
    (folder / "evaluation").mkdir()
    (folder / "evaluation" / "metrics.json").touch()
    with pytest.raises(UsageError, match="metrics.json: is a file of"):
        check_not_of_an_artifact(folder / "evaluation" / "metrics.json")
    check_not_of_an_artifact(folder / "evaluation" / "metrics.json", replaces={"evaluation/metrics.json"})


def test_of_a_preparation_textapp_made_what_is_listed_alone(folder: Path) -> None:
    write_manifest(folder, {"kind": "preparation", "task": "translation"}, ["model.bin"])
    for name in ("checkpoints/last.npz", "logs/train/events.out.tfevents.1", "evaluation/metrics.json"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("mine")
    write_bundle(folder / "exports" / "litert", "litert", "0" * 64)
    made = made_files(folder)
    assert {"manifest.json", "model.bin"} <= made and not any(name.split("/")[0] in made for name in (
        "checkpoints/", "logs/", "evaluation/", "exports/"))  # fmt: skip
    assert not any(name.startswith(("checkpoints", "logs", "evaluation", "exports")) for name in made)


def test_a_pipe_in_place_of_a_manifest_or_a_report_is_not_waited_for(folder: Path) -> None:
    (folder / "exports" / "litert").mkdir(parents=True)
    os.mkfifo(folder / "exports" / "litert" / MANIFEST)
    os.mkfifo(folder / "report.html")
    assert "report.html" not in made_files(folder) and exports_of(folder) == [folder / "exports" / "litert"]


def test_a_name_that_no_file_can_have_is_no_file(folder: Path) -> None:
    (folder / MANIFEST).write_text(json.dumps({"kind": "run", "files": {"a\0b": "0" * 64}}))
    check_not_of_an_artifact(folder / "answers.jsonl")


def test_a_bundle_of_another_model_is_not_shown_with_the_run(folder: Path) -> None:
    (folder / "model.keras").write_bytes(b"weights")
    write_manifest(folder, {"kind": "run", "task": "classification"})
    own = open_artifact(folder).manifest["files"]["model.keras"]
    write_bundle(folder / "exports" / "litert", "litert", own)
    write_bundle(folder / "exports" / "copy", "litert", "0" * 64)
    assert exports_of(folder) == [folder / "exports" / "litert"]


def test_a_bundle_knows_the_run_around_it(folder: Path, tmp_path: Path) -> None:
    bundle = folder / "exports" / "litert"
    bundle.mkdir(parents=True)
    write_manifest(bundle, {"kind": "bundle", "task": "classification"})
    assert open_artifact(bundle).parent == folder.resolve()
    moved = bundle.rename(tmp_path / "elsewhere")
    assert open_artifact(moved).parent is None


def test_the_manifest_is_plain_json(folder: Path) -> None:
    assert json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["format"] == 1
