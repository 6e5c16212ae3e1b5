"""The index of a folder: what it finds, and that it is right after whatever happened to the folder or to itself."""

from __future__ import annotations

import errno
import gzip
import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from textapp.errors import DataError, UsageError
from textapp.retrieval import update as module
from textapp.retrieval.index import Index
from textapp.retrieval.update import Settings, index_name, open_index

pytest.importorskip("bm25s")
ROOT = Path(__file__).parents[2]
LONG_AGO = 1_600_000_000


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "documents"
    for name, text in {
        "tower.txt": "The tower was built in 1889.\n\nIt is made of iron.",
        "rivers/nile.html": "<p>The <b>Nile</b> flows north.</p>",
        "rivers/长江.md": "长江是中国最长的河流。",
        "rows.jsonl": '{"text": "Ada wrote programs."}\n{"text": "Ada rode horses."}\n',
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
        os.utime(folder / name, (LONG_AGO, LONG_AGO))
    return folder


@pytest.fixture
def at(tmp_path: Path) -> Path:
    return tmp_path / "index"


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that are read."""
    names: list[str] = []
    original = module.read_documents

    def read(path: Path, *args):
        names.append(path.name)
        return original(path, *args)

    monkeypatch.setattr(module, "read_documents", read)
    return names


def found(index: Index, question: str, count: int = 1) -> list[str]:
    return [passage.file for passage in index.search(question, count)]


def everything(index: Index) -> list[tuple]:
    return sorted(passage[:5] for passage in index.search("", 10_000))


def same(index: Index, other: Index) -> bool:
    """Whether two indexes find the same passages with the same scores."""
    questions = ("tower built in 2001", "Ada rode horses", "最长的河流", "new lighthouse of the Nile")
    return everything(index) == everything(other) and all(index.search(q, 3) == other.search(q, 3) for q in questions)


def test_passages_are_found_by_their_terms(folder: Path, at: Path) -> None:
    index = open_index(folder, at)
    assert len(index) == 5
    assert found(index, "When was the TOWER built?") == ["tower.txt"]
    assert found(index, "where does the nile flow") == ["rivers/nile.html"]
    assert found(index, "最长的河流？") == ["rivers/长江.md"]
    assert [(p.file, p.line, p.text) for p in index.search("Who rode horses?", 1)] == [
        ("rows.jsonl", 2, "Ada rode horses.")
    ]
    assert found(index, "Ada", 3) == ["rows.jsonl", "rows.jsonl"]  # only passages with a term
    assert found(index, "zzz") == []
    assert len(found(index, "zzz", 5)) == 5  # all, as there are no more than these


def test_scores_are_those_of_bm25(folder: Path, at: Path) -> None:
    (best, _) = open_index(folder, at).search("Ada horses", 2)
    lengths = [11, 4, 19, 3, 3]  # terms of the passages
    relative = 1.5 * (0.25 + 0.75 * 3 / np.mean(lengths)) + 1

    def idf(passages: int) -> float:
        return np.log(1 + (5 - passages + 0.5) / (passages + 0.5))

    assert best.score == pytest.approx((idf(1) + idf(2)) / relative, rel=1e-5)


def test_a_passage_is_a_slice_of_its_document(folder: Path, at: Path) -> None:
    text = "".join(f"Sentence {number} of the long story. 第{number}句。\r\n" for number in range(400))
    (folder / "long.txt").write_bytes(text.encode())
    passages = [passage for passage in open_index(folder, at).search("", 1000) if passage.file == "long.txt"]
    assert len(passages) > 10
    assert all(passage.text == text[passage.start : passage.end] for passage in passages)
    assert {place for p in passages for place in range(p.start, p.end)} == set(range(len(text)))


def test_an_unchanged_folder_is_not_read_again(folder: Path, at: Path, reads: list[str]) -> None:
    before = everything(open_index(folder, at))
    assert len(reads) == 4
    index = open_index(folder, at)
    assert len(reads) == 4 and everything(index) == before
    os.utime(folder / "tower.txt")  # another time, the same content
    open_index(folder, at)
    assert len(reads) == 4


def test_only_changed_and_new_files_are_read(folder: Path, at: Path, tmp_path: Path, reads: list[str]) -> None:
    open_index(folder, at)
    reads.clear()
    (folder / "tower.txt").write_text("The tower fell in 2001. " * 100, encoding="utf-8")
    (folder / "a.txt.gz").write_bytes(gzip.compress(b"A new lighthouse."))
    (folder / "rivers" / "nile.html").unlink()
    index = open_index(folder, at)
    assert sorted(reads) == ["a.txt.gz", "tower.txt"]
    assert found(index, "lighthouse") == ["a.txt.gz"] and found(index, "nile") == []
    assert "2001" in index.search("tower", 1)[0].text and found(index, "1889") == []
    assert same(index, open_index(folder, tmp_path / "another"))
    assert len(list(at.glob("snapshot-*"))) == 1


def test_a_change_that_keeps_size_and_time_shows_if_the_file_was_new(folder: Path, at: Path) -> None:
    file = folder / "tower.txt"
    file.write_text("one lighthouse", encoding="utf-8")
    status = file.stat()
    open_index(folder, at)
    file.write_text("two lighthouse", encoding="utf-8")
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert open_index(folder, at).search("lighthouse", 1)[0].text == "two lighthouse"


@pytest.mark.parametrize(
    "name", [*map("*/{}".format, ("text.bin", "terms.bin", "passages.npy", "data.*")), "index.json"]
)
@pytest.mark.parametrize("damage", ["cut", "changed", "missing"])
def test_a_damaged_index_is_built_again(
    folder: Path, at: Path, name: str, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    before = everything(open_index(folder, at))
    (file,) = at.glob(name)
    content = file.read_bytes()
    if damage == "missing":
        file.unlink()
    else:
        file.write_bytes(content[:-9] if damage == "cut" else content[:-1] + bytes([content[-1] ^ 255]))
    with caplog.at_level(logging.WARNING, "textapp"):
        assert everything(open_index(folder, at)) == before
    silent = (name, damage) == ("index.json", "missing")  # as if there had been none
    assert ("is damaged" in caplog.text) is not silent and len(list(at.glob("snapshot-*"))) == 1


@pytest.mark.parametrize("key", ["versions", "folder", "encoding", "columns"])
def test_an_index_of_something_else_is_built_again(
    folder: Path, at: Path, key: str, reads: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    open_index(folder, at)
    content = json.loads((at / "index.json").read_text(encoding="utf-8"))
    (at / "index.json").write_text(json.dumps({**content, key: "other"}), encoding="utf-8")
    with caplog.at_level(logging.WARNING, "textapp"):
        open_index(folder, at)
    assert len(reads) == 8 and "it is built again" in caplog.text


def test_another_folder_has_another_index(folder: Path, at: Path, tmp_path: Path) -> None:
    open_index(folder, at)
    assert found(open_index(folder / "rivers", at), "tower") == []
    assert index_name(folder) != index_name(folder / "rivers")
    assert index_name(folder) == index_name(folder / "rivers" / "..")


def test_files_that_cannot_be_read_are_named_and_read_once(folder: Path, at: Path, reads: list[str]) -> None:
    (folder / "image.txt").write_bytes(bytes(range(256)) * 10)
    (folder / "cut.txt.gz").write_bytes(gzip.compress(b"some text" * 1000)[:30])
    (folder / "rows.jsonl").write_text('{"text": "good"}\nbad\n{"text": "fine"}\n', encoding="utf-8")
    (folder / "lost.md").symlink_to(folder / "nowhere.md")
    (folder / "dots.txt").write_text("...", encoding="utf-8")
    (folder / "x.pdf").write_bytes(b"%PDF")
    for path in folder.glob("*.*"):
        if path.exists():
            os.utime(path, (LONG_AGO, LONG_AGO))
    index = open_index(folder, at)
    assert sorted(index.faults) == ["cut.txt.gz", "dots.txt", "image.txt", "lost.md", "rows.jsonl", "x.pdf"]
    assert index.faults["rows.jsonl"].startswith("1 of 3 rows are not read, such as line 2: not JSON")
    assert index.faults["image.txt"].startswith("is not text")
    assert index.faults["dots.txt"] == "has no words"
    assert found(index, "tower") == ["tower.txt"] and found(index, "fine") == ["rows.jsonl"]
    reads.clear()
    again = open_index(folder, at)
    assert again.faults == index.faults and reads == [] and again.snapshot.folder == index.snapshot.folder


@pytest.mark.parametrize(
    "name", ["snapshot-2024/thesis.txt", "index.json", "index.html", "snapshot-0123456789ab/thesis.txt"]
)
def test_a_folder_of_the_user_with_names_like_ours_is_left_alone(folder: Path, at: Path, name: str) -> None:
    (at / name).parent.mkdir(parents=True)
    (at / name).write_text("years of work")
    with pytest.raises(UsageError, match=f"holds {name.split('/')[0]}, which is no part of an index: give a new"):
        open_index(folder, at)
    assert [path for path in at.rglob("*") if path.is_file()] == [at / name]
    assert (at / name).read_text() == "years of work"


def test_a_file_that_breaks_off_leaves_nothing(folder: Path, at: Path) -> None:
    before = everything(open_index(folder, at))
    rows = "".join(f'{{"text": "row {number}"}}\n' for number in range(3)).encode()
    (folder / "a.jsonl.gz").write_bytes(gzip.compress(rows * 20_000, 1)[:-2000])
    index = open_index(folder, at)
    assert everything(index) == before and "gzip" in index.faults["a.jsonl.gz"]


def test_a_full_disk_is_no_document_that_cannot_be_read(
    folder: Path, at: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = everything(open_index(folder, at))
    (folder / "new.txt").write_text("A new lighthouse.", encoding="utf-8")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with (
        monkeypatch.context() as patched,
        pytest.raises(DataError, match=r"index could not be written \(No space left"),
    ):
        patched.setattr(module.SnapshotWriter, "add", full)
        open_index(folder, at)
    assert len(list(at.glob("snapshot-*"))) == 1
    (folder / "new.txt").unlink()
    assert everything(open_index(folder, at)) == before


def test_a_folder_where_nothing_can_be_read_is_an_error(tmp_path: Path, at: Path) -> None:
    (tmp_path / "documents").mkdir()
    (tmp_path / "documents" / "a.txt").write_bytes(bytes(range(256)) * 10)
    with pytest.raises(DataError, match=r"none of its 1 documents can be read, such as a.txt: is not text"):
        open_index(tmp_path / "documents", at)
    assert [path.name for path in at.iterdir()] == ["lock"]


def test_one_file_is_a_folder_of_its_own(folder: Path, at: Path, reads: list[str]) -> None:
    for _ in range(2):
        assert found(open_index(folder / "tower.txt", at), "tower") == ["tower.txt"]
    assert reads == ["tower.txt"]


def test_the_index_may_lie_in_the_folder(folder: Path) -> None:
    for _ in range(2):
        index = open_index(folder, folder / "index")
        assert len(index) == 5 and index.faults == {}


def test_nothing_else_in_its_folder_is_touched(folder: Path, at: Path) -> None:
    at.mkdir()
    (at / "thesis.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(UsageError, match="holds thesis.txt, which is no part of an index"):
        open_index(folder, at)
    assert (at / "thesis.txt").read_text(encoding="utf-8") == "mine"


def test_an_interrupted_update_leaves_the_old_index(folder: Path, at: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = everything(open_index(folder, at))
    (folder / "tower.txt").write_text("changed", encoding="utf-8")

    def interrupted(snapshot: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(module, "build_scores", interrupted)
        open_index(folder, at)
    assert len(list(at.glob("snapshot-*"))) == 1
    (folder / "tower.txt").write_text("The tower was built in 1889.\n\nIt is made of iron.", encoding="utf-8")
    assert everything(open_index(folder, at)) == before


def test_an_open_index_outlives_an_update(folder: Path, at: Path) -> None:
    old = open_index(folder, at)
    (folder / "tower.txt").write_text("The lighthouse.", encoding="utf-8")
    open_index(folder, at)
    assert old.search("iron", 1)[0].text.endswith("It is made of iron.")


def test_two_processes_at_once(folder: Path, at: Path) -> None:
    for number in range(60):
        (folder / f"{number}.txt").write_text(f"number{number} " * 300, encoding="utf-8")
    program = (
        "import sys; from pathlib import Path; from textapp.retrieval.update import open_index\n"
        "index = open_index(Path(sys.argv[1]), Path(sys.argv[2]))\n"
        "print(len(index), index.search('number7', 1)[0].file)"
    )
    command = [sys.executable, "-c", program, str(folder), str(at)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    children = [subprocess.Popen(command, stdout=subprocess.PIPE, encoding="utf-8", env=environment) for _ in range(3)]
    outputs = {child.communicate(timeout=120)[0] for child in children}
    assert len(outputs) == 1 and outputs.pop().endswith("7.txt\n") and not any(child.returncode for child in children)


def test_progress_counts_the_files_to_read(folder: Path, at: Path) -> None:
    from contextlib import nullcontext

    steps: list[int] = []

    def progress(count: int) -> nullcontext:
        steps.append(count)
        return nullcontext(lambda: steps.append(-1))

    open_index(folder, at, progress=progress)
    open_index(folder, at, progress=progress)
    assert steps == [4, -1, -1, -1, -1]


def test_columns_of_tables(folder: Path, at: Path) -> None:
    (folder / "more.csv").write_text("title,body\nx,A submarine.\n", encoding="utf-8")
    index = open_index(folder, at, Settings(columns=("body",)))
    assert found(index, "submarine") == ["more.csv"] and "no column for text" in index.faults["rows.jsonl"]


def test_without_bm25s_the_package_is_named(folder: Path, at: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bm25s", None)
    with pytest.raises(UsageError, match=r"pip install 'textapp\[retrieval\]'"):
        open_index(folder, at)
