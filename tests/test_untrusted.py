"""Files of strangers: regular, of bounded size, with keys of the expected type."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from textapp.errors import ArtifactError
from textapp.untrusted import (
    FLAG,
    LENGTHS,
    NUMBER,
    TEXT,
    Document,
    either,
    git_lfs_pointer,
    key,
    list_of,
    one_of,
    read_json,
    shown,
    whole,
)  # fmt: skip

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:" + 64 * "a" + "\nsize 12345\n"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"[" * 100_000, "nested too deeply"),
        (b"\xff{}", "not UTF-8"),
        (b'{"a": 1, "a": 2}', "the key 'a' is repeated"),
        (b"9" * 5000, "cannot be read as JSON"),
        (b"{", "cannot be read as JSON"),
        (POINTER.encode(), "found a Git LFS pointer instead of the file itself: run git lfs pull"),
    ],
)
def test_json_that_cannot_be_read(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(ArtifactError, match=rf"a\.json: .*{message}"):
        read_json(tmp_path / "a.json")


def test_a_pipe_is_not_waited_for_and_a_giant_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.json")
    with pytest.raises(ArtifactError, match=r"pipe\.json: found a pipe, expected a regular file"):
        read_json(tmp_path / "pipe.json")
    with (tmp_path / "giant.json").open("wb") as file:
        file.truncate(5 << 30)  # takes no space
    with pytest.raises(ArtifactError, match=r"giant\.json: found 5120 MB, expected at most 64 MB"):
        read_json(tmp_path / "giant.json")


def test_only_a_pointer_of_git_lfs_is_one(tmp_path: Path) -> None:
    (tmp_path / "model.tflite").write_text(POINTER)
    (tmp_path / "readme").write_text("version https://git-lfs.github.com is a tool")
    assert "run git lfs pull" in (git_lfs_pointer(tmp_path / "model.tflite") or "")
    assert git_lfs_pointer(tmp_path / "readme") is None and git_lfs_pointer(tmp_path / "absent") is None


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        (whole(1, 9), [1, 9], [0, 10, True, 1.0, "1", None]),
        (TEXT, ["", "a"], [None, 1, ["a"], "\ud800"]),
        (FLAG, [True, False], [0, 1, None, "true"]),
        (NUMBER, [0, 1.5, -1], [float("nan"), float("inf"), 10**400, True, "1"]),
        (one_of("auto", True), ["auto", True], [1, "Auto", None]),
        (list_of(whole(), exactly=2), [[1, 2]], [[1], [1, 2, 3], [1, "2"], "12", None, {"a": 1}]),
        (either(TEXT, whole()), ["a", 1], [None, 1.5]),
        (LENGTHS, [[16], [4, 8]], [[], [8, 4], [4, 4], [0], [10**9], 16, [4, "8"], [[4]]]),
    ],
)
def test_the_types_of_values(kind: Any, good: list[Any], bad: list[Any]) -> None:
    assert all(map(kind.fits, good)) and not any(map(kind.fits, bad))


def test_a_message_names_file_key_found_and_expected() -> None:
    document = Document({"lengths": [8, 4]})
    document.source = "a/manifest.json"
    with pytest.raises(ArtifactError) as error:
        key(document, "lengths", LENGTHS)
    assert str(error.value).startswith(
        "a/manifest.json: key 'lengths': found [8, 4], expected a list of whole numbers from 1 to 1048576, ascending: "
    )
    with pytest.raises(ArtifactError, match=r"a/manifest\.json: has no key 'labels', expected a list"):
        key(document, "labels", list_of(TEXT))


def test_what_is_shown_is_short() -> None:
    deep: Any = []
    for _ in range(900):
        deep = [deep]
    assert len(shown(deep)) < 100 and len(shown("x" * 10**6)) < 100 and "\n" not in shown("a\nb" * 9)
