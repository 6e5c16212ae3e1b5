"""A disk that fills up in the middle: a clear error, and what was whole before is whole after.

The disk is a real one, a small tmpfs in a mount namespace of its own; where that is not allowed the tests are skipped.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from textapp.artifact import open_artifact
from textapp.demo.samples import make_samples

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, textapp_here) -> Path:
    folder = tmp_path_factory.mktemp("disk")
    lines = ["label\ttext", *("\t".join(sample) for sample in make_samples()[0][:300])]
    (folder / "data.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    config = {
        "task": "classification", "run": str(folder / "run"), "data": {"train": "data.tsv"},
        "tokenizer": {"vocabulary_size": 1000}, "lengths": [16],
        "model": {"architecture": "mlp", "embedding_dim": 16, "ngrams": 1},
        "training": {"epochs": 1, "device": "cpu"},
    }  # fmt: skip
    (folder / "run.yaml").write_text(json.dumps(config), encoding="utf-8")
    train = ("train", folder / "run.yaml", "--data-dir", folder)
    for arguments in (train, ("export", folder / "run", "--quantize", "none")):
        done = textapp_here(*arguments)
        assert done.code == 0, done.stderr
    shutil.rmtree(folder / "run" / "logs")
    return folder


def on_small_disk(trained: Path, folder: Path, room: int, *arguments: object) -> subprocess.CompletedProcess:
    """Runs a command beside a copy of the trained run, on a disk where `room` bytes are left.

    The disk goes with its process, so what stood on it in the end is copied to `folder/after`.
    """
    if not shutil.which("unshare") or subprocess.run(["unshare", "-rm", "true"], capture_output=True).returncode:
        pytest.skip("no mount namespace of one's own here: unshare -rm is not allowed")
    disk = folder / "disk"
    disk.mkdir()
    used = sum(-(-file.stat().st_size // 4096) * 4096 for file in trained.rglob("*") if file.is_file())
    command = " ".join(shlex.quote(str(part)) for part in (sys.executable, "-m", "textapp", *arguments))
    script = (
        f"mount -t tmpfs -o size={used + room} tmpfs {disk} && cp -r {trained}/. {disk} || exit 99\n"
        f"{command}; code=$?; cp -r {disk} {folder}/after; exit $code"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        ["unshare", "-rm", "sh", "-c", script], capture_output=True, encoding="utf-8", env=environment
    )


@pytest.mark.parametrize("room", [16_000, 300_000])
def test_training_leaves_the_finished_run(trained: Path, tmp_path: Path, room: int) -> None:
    disk = tmp_path / "disk"
    done = on_small_disk(
        trained, tmp_path, room, "train", disk / "run.yaml", "--data-dir", disk, "--run", disk / "run", "--overwrite"
    )
    assert done.returncode == 1 and "Traceback" not in done.stderr, done.stderr
    assert "run.textapp-work: could not be written: No space left on device; an older finished run" in done.stderr
    assert open_artifact(tmp_path / "after" / "run").manifest == open_artifact(trained / "run").manifest


def test_an_export_leaves_the_bundle(trained: Path, tmp_path: Path) -> None:
    run = tmp_path / "disk" / "run"
    done = on_small_disk(trained, tmp_path, 60_000, "export", run, "--quantize", "none")
    assert done.returncode == 1 and "Traceback" not in done.stderr, done.stderr
    assert "exports/litert: could not be written: No space left on device; an export" in done.stderr
    bundle = Path("run/exports/litert")
    assert open_artifact(tmp_path / "after" / bundle).manifest == open_artifact(trained / bundle).manifest
    assert sorted(path.name for path in (tmp_path / "after" / bundle.parent).iterdir()) == ["litert"]


def test_a_prediction_leaves_the_answers_before(trained: Path, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    (trained / "answers.jsonl").write_text("before")
    arguments = ("--input", disk / "data.tsv", "--output", disk / "answers.jsonl")
    done = on_small_disk(trained, tmp_path, 4096, "predict", disk / "run" / "exports" / "litert", *arguments)
    assert done.returncode == 1 and done.stderr.startswith("error: No space left on device"), done.stderr
    assert (tmp_path / "after" / "answers.jsonl").read_text() == "before"
    assert not [path.name for path in (tmp_path / "after").iterdir() if "answers.jsonl" in path.name[1:]][1:]
