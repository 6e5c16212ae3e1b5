"""Work folders, new folders, and their locks."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from killing import ROOT, killed

from textapp import locks
from textapp.errors import ArtifactError, UsageError
from textapp.folders import WorkFolder, check_place, interrupted, new_folder, scratch_folder
from textapp.locks import MARKER


def nothing(_: Path) -> set[str]:
    return set()


WORKS = """
with WorkFolder(Path(sys.argv[1]), sys.argv[2]) as work:
    work.clear()
    print("begun", flush=True)
    time.sleep(60)
"""


def test_the_second_process_is_told_of_the_first(tmp_path: Path) -> None:
    final = tmp_path / "run"
    code = "import sys, time\nfrom pathlib import Path\nfrom textapp.folders import *\n" + WORKS
    other = subprocess.Popen(
        [sys.executable, "-c", code, str(final), "training"], cwd=ROOT, stdout=subprocess.PIPE, encoding="utf-8"
    )
    assert other.stdout.readline() == "begun\n"
    with pytest.raises(ArtifactError, match=rf"run: process {other.pid} on .* works on it \(training, since 2"):
        WorkFolder(final, "training").__enter__()
    other.kill()
    other.communicate()
    with WorkFolder(final, "training") as work:  # the lock went with its process
        assert json.loads((work.path / MARKER).read_text())["pid"] == os.getpid()
    assert list(tmp_path.iterdir()) == []


def test_without_locks_a_process_that_is_gone_is_recognised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dead = killed(WORKS, tmp_path / "run", "training")
    assert json.loads((tmp_path / "run.textapp-work" / MARKER).read_text())["pid"] == dead
    monkeypatch.setattr(locks, "fcntl", None)
    with WorkFolder(tmp_path / "run", "training") as work:
        marker = json.loads((work.path / MARKER).read_text())
        (work.path / MARKER).write_text(json.dumps({**marker, "pid": os.getppid()}))
        with pytest.raises(ArtifactError, match=f"process {os.getppid()}"):
            WorkFolder(tmp_path / "run", "training").__enter__()


@pytest.mark.parametrize("content", [None, "{}", "mine"])
def test_a_folder_of_the_user_with_our_name_is_refused(tmp_path: Path, content: str | None) -> None:
    folder = tmp_path / "run.textapp-work"
    folder.mkdir()
    (folder / "thesis.txt").write_text("years of work")
    if content is not None:
        (folder / MARKER).write_text(content)
    with pytest.raises(UsageError, match="run.textapp-work: .* found one of yours: rename it"):
        WorkFolder(tmp_path / "run", "training").__enter__()
    assert (folder / "thesis.txt").read_text() == "years of work"


def test_what_the_user_put_into_a_work_folder_stays(tmp_path: Path) -> None:
    with WorkFolder(tmp_path / "run", "export") as work:
        work.clear()
        (work.path / "thesis.txt").write_text("years of work")
        work.swap(nothing)
    assert (work.path / "thesis.txt").read_text() == "years of work" and (tmp_path / "run").is_dir()
    with WorkFolder(tmp_path / "run", "export"):  # it is still ours
        pass


def test_interrupted_work_of_another_kind_stays(tmp_path: Path) -> None:
    with WorkFolder(tmp_path / "run", "training", keeps="last.npz") as work:
        work.clear()
        (work.new / "last.npz").write_text("hours of work")
    for purpose, keeps in (("export", None), ("compression", "steps/1/done.json"), ("training", "other.npz")):
        with pytest.raises(UsageError, match="run.textapp-work: found another training that was interrupted: end it"):
            WorkFolder(tmp_path / "run", purpose, keeps).__enter__()
    assert (work.new / "last.npz").read_text() == "hours of work"
    with WorkFolder(tmp_path / "run", "training", keeps="last.npz") as again:
        assert (again.new / "last.npz").is_file()
    with WorkFolder(tmp_path / "run", "export", overwrite=True):
        pass
    assert not (tmp_path / "run.textapp-work").exists()


def test_a_pipe_with_a_name_of_ours_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "run.textapp-work").mkdir()
    os.mkfifo(tmp_path / "run.textapp-work" / MARKER)
    assert interrupted(tmp_path / "run") == ""


def test_a_work_folder_that_was_deleted_does_not_become_a_run(tmp_path: Path) -> None:
    with (
        pytest.raises(ArtifactError, match="was deleted or replaced during the training"),
        WorkFolder(tmp_path / "run", "training") as work,
    ):
        shutil.rmtree(work.path)
        work.new.mkdir(parents=True)
        work.swap(nothing)
    assert list(tmp_path.iterdir()) == []


def test_a_swap_that_fails_leaves_the_old_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    final = tmp_path / "run"
    final.mkdir()
    (final / "old").touch()
    real = os.replace

    def fails(one: Path, two: Path) -> None:
        if one.name == "new":
            raise KeyboardInterrupt
        real(one, two)

    monkeypatch.setattr(os, "replace", fails)
    with pytest.raises(KeyboardInterrupt), WorkFolder(final, "export") as work:
        work.clear()
        work.swap(nothing)
    assert [path.name for path in tmp_path.rglob("*")] == ["run", "old"]


def test_a_folder_made_by_hand_after_a_kill_is_not_touched(tmp_path: Path) -> None:
    final = tmp_path / "run"
    with WorkFolder(final, "export") as work:
        for folder in (work.new, work.old, final):
            folder.mkdir()
        with pytest.raises(ArtifactError, match=f"{final}: was made after .* the new folder is {work.new}"):
            work.settle(nothing)
    assert work.old.is_dir() and final.is_dir()


def test_places_that_cannot_be_written_are_found_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="is a mount point"):
        check_place(Path("/proc"))
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(UsageError, match=f"run: {tmp_path} cannot be written"):
        check_place(tmp_path / "run")


def test_temporary_folders_of_killed_processes_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    (tmp_path / "textapp-export-mine").mkdir()
    (tmp_path / "textapp-export-mine" / "thesis.txt").touch()
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    killed("with scratch_folder('export') as work:\n (work / 'x').touch(); print('begun', flush=True); time.sleep(60)")
    assert len(list(tmp_path.iterdir())) == 2
    with scratch_folder("export") as first, scratch_folder("export") as second:  # one that is in use stays
        assert first.is_dir() and second.is_dir() and str(os.getpid()) in str(first)
    assert [path.name for path in tmp_path.iterdir()] == ["textapp-export-mine"]
    assert (tmp_path / "textapp-export-mine" / "thesis.txt").exists()


def test_a_new_folder_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    final = tmp_path / "cache" / "copy"
    with pytest.raises(OSError, match="full"), new_folder(final, "copy") as new:
        (new / "half").touch()
        raise OSError("full")
    assert list(final.parent.iterdir()) == []
    with new_folder(final, "copy") as slower:
        (slower / "slower").touch()
        with new_folder(final, "copy") as new:
            (new / "faster").touch()
            assert not final.exists()
    assert [path.name for path in final.parent.iterdir()] == ["copy"]
    assert [path.name for path in final.iterdir()] == ["faster"]
