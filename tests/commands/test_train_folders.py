"""Training and the folders of the user: what stays, what is refused before the start, two at once."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from textapp.artifact import open_artifact, write_manifest
from textapp.catalog import parse_config
from textapp.commands import train as module
from textapp.commands.train import train_config
from textapp.config import Config
from textapp.errors import ArtifactError, UsageError
from textapp.folders import WorkFolder


@pytest.fixture
def messages(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> pytest.LogCaptureFixture:
    monkeypatch.setattr(logging.getLogger("textapp"), "propagate", True)
    caplog.set_level(logging.INFO, "textapp")
    return caplog


def write_data(file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    words = {"good": ["fine", "great"], "bad": ["poor", "awful"]}
    lines = [f"number {i} was {words[('good', 'bad')[i % 2]][i // 2 % 2]}\t{('good', 'bad')[i % 2]}" for i in range(32)]
    file.write_text("\n".join(["text\tlabel", *lines]) + "\n", encoding="utf-8")


def config_of(run: Path, **data: Any) -> Config:
    return parse_config({
        "task": "classification", "run": str(run), "lengths": [8],
        "data": {"train": "data.tsv", "validation": 0.25, **data},
        "model": {"architecture": "mlp", "embedding_dim": 4, "ngrams": 1},
        "training": {"epochs": 1, "batch_size": 8, "device": "cpu"},
    })  # fmt: skip


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with data and a finished run; read only."""
    folder = tmp_path_factory.mktemp("finished")
    write_data(folder / "data.tsv")
    train_config(config_of(folder / "run"), folder)
    return folder


@pytest.fixture
def copied(finished: Path, tmp_path: Path) -> Iterator[Path]:
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    return tmp_path


def tree(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()}


def test_overwrite_keeps_the_files_of_the_user(copied: Path, messages: pytest.LogCaptureFixture) -> None:
    run = copied / "run"
    theirs = ["notes.txt", "tokenizer/notes.txt", "exports/litert/measured.txt", "logs/mine", "run.old/model.keras"]
    model = open_artifact(run).manifest["files"]["model.keras"]
    for name in ("litert", "good"):
        (run / "exports" / name).mkdir(parents=True)
        (run / "exports" / name / "model.tflite").touch()
        manifest = {"kind": "bundle", "task": "classification", "target": "litert", "parent": {"sha256": model}}
        write_manifest(run / "exports" / name, manifest)
    for name in theirs:
        (run / name).parent.mkdir(parents=True, exist_ok=True)
        (run / name).write_text("mine")
    for name in ("run.old", "run.partial"):
        (copied / name).mkdir()
        write_data(copied / name / "data.tsv")
    shutil.move(copied / "data.tsv", run / "data.tsv")
    changed = config_of(run, train=["run/data.tsv", "run.old/data.tsv", "run.partial/data.tsv"])
    changed = parse_config({**changed.model_dump(mode="json"), "seed": 5})
    train_config(changed, copied, overwrite=True)
    assert open_artifact(run).manifest["seed"] == 5
    assert tree(run).issuperset([*theirs, "data.tsv", "exports/good/model.tflite"])
    assert [(run / name).read_text() for name in theirs] == ["mine"] * len(theirs)
    assert not (run / "exports" / "litert" / "model.tflite").exists()
    assert "exports/litert: removed, as it held the model that was replaced" in messages.text
    assert "exports/good: holds another model than this run" in messages.text
    assert sorted(path.name for path in copied.iterdir()) == ["run", "run.old", "run.partial"]
    assert open_artifact(run).manifest["columns"]["text"]


def test_data_that_would_be_deleted_are_refused(copied: Path) -> None:
    (copied / "run" / "evaluation").mkdir()
    write_data(copied / "run" / "evaluation" / "mistakes.tsv")
    before = tree(copied)
    with pytest.raises(UsageError, match="mistakes.tsv: is a file of .*run, which will be replaced: copy it"):
        train_config(config_of(copied / "run", train="run/evaluation/mistakes.tsv"), copied, overwrite=True)
    assert tree(copied) == before


def test_a_link_as_run_is_followed(copied: Path) -> None:
    (copied / "run").rename(copied / "disk")
    (copied / "run").symlink_to("disk")
    train_config(config_of(copied / "run"), copied, overwrite=True)
    assert (copied / "run").is_symlink() and open_artifact(copied / "run").kind == "run"
    shutil.rmtree(copied / "disk")
    train_config(config_of(copied / "run"), copied)
    assert (copied / "run").is_symlink() and open_artifact(copied / "disk").kind == "run"
    assert sorted(path.name for path in copied.iterdir()) == ["data.tsv", "disk", "run"]


def test_a_place_that_cannot_be_written_is_found_before_the_data_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    for run in (tmp_path / "file", tmp_path / "file" / "run"):
        with pytest.raises(UsageError, match="file"):
            train_config(config_of(run, train="none.tsv"), tmp_path)
    monkeypatch.setattr(os.path, "ismount", lambda path: path == tmp_path / "run")
    with pytest.raises(UsageError, match="run: is a mount point"):
        train_config(config_of(tmp_path / "run", train="none.tsv"), tmp_path)


def test_the_second_training_ends_before_the_data_are_read(finished: Path, tmp_path: Path) -> None:
    expected = f"run: process {os.getpid()} on .*: wait until it ends"
    with WorkFolder(tmp_path / "run", "training"), pytest.raises(ArtifactError, match=expected):
        train_config(config_of(tmp_path / "run", train="none.tsv"), finished)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["tokenizer", ".", ".."])
def test_a_folder_deleted_while_it_trains_is_no_finished_run(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    real = module.fit

    def fit(prepared: Any, objective: Any, folder: Path, strategy: Any) -> Any:
        result = real(prepared, objective, folder, strategy)
        shutil.rmtree((folder / name).resolve())
        return result

    monkeypatch.setattr(module, "fit", fit)
    with pytest.raises(ArtifactError, match="was (changed|deleted) during the training"):
        train_config(config_of(tmp_path / "run"), finished)
    assert not (tmp_path / "run").exists()
    monkeypatch.undo()
    train_config(config_of(tmp_path / "run"), finished)
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_the_data_are_not_read_again_at_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_data(tmp_path / "data.tsv")
    (tmp_path / "data.tsv").write_text((tmp_path / "data.tsv").read_text().replace("text\tlabel\n", ""))
    real = module.fit

    def fit(*arguments: Any) -> Any:
        (tmp_path / "data.tsv").write_text("gone")
        return real(*arguments)

    monkeypatch.setattr(module, "fit", fit)
    run = train_config(config_of(tmp_path / "run"), tmp_path)
    assert open_artifact(run).manifest["columns"]["text"][-1] == 0


def stopped(config: Config, data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Trains, and stops before the run is finished."""

    def stops(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(module, "finish", stops)
        train_config(config, data_dir)


def test_data_that_changed_end_a_resumed_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, messages: pytest.LogCaptureFixture
) -> None:
    for name in ("a", "b"):
        write_data(tmp_path / "data" / f"{name}.tsv")
    with (tmp_path / "data" / "b.tsv").open("a") as file:
        file.write("one more\tgood\n")
    config = config_of(tmp_path / "run", train="*.tsv")
    stopped(config, tmp_path / "data", monkeypatch)

    content = (tmp_path / "data" / "b.tsv").read_bytes()
    (tmp_path / "data" / "b.tsv").write_bytes(content.replace(b"number 7 ", b"number 8 "))
    with pytest.raises(ArtifactError, match=r"b.tsv: changed since the training was started .*--overwrite"):
        train_config(config, tmp_path / "data")
    (tmp_path / "data" / "b.tsv").write_bytes(content)
    (tmp_path / "data" / "c.tsv").write_bytes(content + content)
    with pytest.raises(ArtifactError, match="c.tsv: not among the data that the training was started with"):
        train_config(config, tmp_path / "data")
    (tmp_path / "data" / "c.tsv").unlink()
    (tmp_path / "data" / "b.tsv").rename(tmp_path / "b.tsv")
    with pytest.raises(ArtifactError, match="b.tsv: no longer among the data"):
        train_config(config, tmp_path / "data")
    (tmp_path / "b.tsv").rename(tmp_path / "data" / "b.tsv")

    (tmp_path / "data").rename(tmp_path / "moved")  # the same data elsewhere
    train_config(config, tmp_path / "moved")
    assert "resuming" in messages.text and open_artifact(tmp_path / "run").kind == "run"


def test_damaged_checkpoints_are_found_when_a_training_is_resumed(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, work, whole = tmp_path / "run", tmp_path / "run.textapp-work", tmp_path / "whole"
    stopped(config_of(run), finished, monkeypatch)
    shutil.copytree(work, whole)
    for damage, expected in (
        ("last.npz", "last.npz: damaged"),
        ("best.npz", "best.npz: damaged.*best weights of this training are lost"),
        ("-best.npz", "best.npz: missing, so the best weights of this training are lost"),
        ("request.json", "request.json: missing or damaged"),
        ("-request.json", "request.json: missing or damaged"),
    ):
        shutil.rmtree(work)
        shutil.copytree(whole, work)
        file = work / "new" / "checkpoints" / damage.removeprefix("-")
        file.unlink() if damage[0] == "-" else file.write_bytes(b"")
        with pytest.raises(ArtifactError, match=expected):
            train_config(config_of(run), finished)
    train_config(config_of(run), finished, overwrite=True)
    assert {path.name for path in tmp_path.iterdir()} == {"run", "whole"} and open_artifact(run).kind == "run"


def test_a_last_checkpoint_that_is_gone_is_that_before_it(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, messages: pytest.LogCaptureFixture
) -> None:
    run, checkpoints = tmp_path / "run", tmp_path / "run.textapp-work" / "new" / "checkpoints"
    stopped(config_of(run), finished, monkeypatch)
    (checkpoints / "last.npz").rename(checkpoints / "previous.npz")
    train_config(config_of(run), finished)
    assert f"last.npz: missing: going on from {checkpoints / 'previous.npz'}" in messages.text
    assert "resuming" in messages.text and open_artifact(run).kind == "run"


def test_a_run_put_in_the_place_while_it_trains_stays(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = module.fit

    def fit(*arguments: Any) -> Any:
        shutil.copytree(finished / "run", tmp_path / "run")
        return real(*arguments)

    monkeypatch.setattr(module, "fit", fit)
    with pytest.raises(ArtifactError, match=r"run: a run was put there during the training: the new one is .*new"):
        train_config(config_of(tmp_path / "run"), finished)
    assert open_artifact(tmp_path / "run").manifest == open_artifact(finished / "run").manifest
    assert open_artifact(tmp_path / "run.textapp-work" / "new").kind == "run"
