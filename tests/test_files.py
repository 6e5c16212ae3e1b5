"""Files that get their name when they are whole."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from killing import killed

from textapp.errors import ArtifactError, UsageError
from textapp.files import atomic_file, check_output, write_text


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    file = tmp_path / "metrics.json"
    (tmp_path / "metrics.json.partial").write_text("mine")
    write_text(file, "old")
    file.chmod(0o640)
    with pytest.raises(OSError, match="No space"), atomic_file(file) as opened:
        opened.write("half")
        raise OSError(28, "No space left on device")
    assert file.read_text() == "old" and sorted(tmp_path.iterdir()) == [file, tmp_path / "metrics.json.partial"]
    write_text(file, "new")
    assert file.read_text() == "new" and file.stat().st_mode & 0o777 == 0o640
    assert (tmp_path / "metrics.json.partial").read_text() == "mine"


def test_a_pipe_with_a_name_of_ours_is_not_written(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "metrics.json")
    with pytest.raises(ArtifactError, match="metrics.json: found a folder, a pipe or a device, expected a file"):
        write_text(tmp_path / "metrics.json", "{}")


def test_a_file_in_a_folder_that_cannot_be_written_is_found_first(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(UsageError, match="no folder that can be written"):
        check_output(tmp_path / "answers")


def test_what_a_killed_process_left_of_a_file_goes(tmp_path: Path) -> None:
    file = tmp_path / "answers[1].jsonl"
    killed("with atomic_file(Path(sys.argv[1])) as file:\n print('begun', flush=True); time.sleep(60)", file)
    assert len(list(tmp_path.iterdir())) == 1 and not file.exists()
    with atomic_file(file) as one, atomic_file(file) as two:  # one that is in use stays
        one.write("one")
        two.write("two")
    assert list(tmp_path.iterdir()) == [file] and file.read_text() == "one"


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "folder" / "file")
    write_text(tmp_path / "link", "text")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "folder" / "file").read_text() == "text"
    with atomic_file(Path("/dev/null")) as file:
        file.write("text")
    assert not Path("/dev/null").is_file()
    with pytest.raises(UsageError, match="is a folder"):
        check_output(tmp_path)
