from __future__ import annotations

import gzip
import os
from pathlib import Path

import pytest

from textapp.errors import DataError
from textapp.records.rows import RowError
from textapp.retrieval.documents import Document, list_files, read_documents


def write(folder: Path, **files: str) -> None:
    for name, text in files.items():
        path = folder / name.replace("__", "/").replace("_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def test_files_of_all_folders_are_sorted_and_hidden_ones_skipped(tmp_path: Path) -> None:
    write(tmp_path, b_txt="b", a__z_md="z", a__b__c_html="c", a_jsonl="{}", a_b_txt="x")
    for name in (".hidden.txt", ".git/x.txt", "a/.x.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("no", encoding="utf-8")
    (tmp_path / "p.PDF").write_bytes(b"%PDF")
    (tmp_path / "Q.TXT.GZ").write_bytes(gzip.compress(b"q"))
    listing = list_files(tmp_path)
    assert listing.names == ["Q.TXT.GZ", "a/b/c.html", "a/z.md", "a.b.txt", "a.jsonl", "b.txt"]
    assert list(listing.others) == ["p.PDF"] and listing.others["p.PDF"].startswith("expected one of .txt, .md")


def test_a_folder_may_be_left_out(tmp_path: Path) -> None:
    write(tmp_path, a_txt="a", index__b_txt="b")
    assert list_files(tmp_path, tmp_path / "index").names == ["a.txt"]


def test_a_pipe_does_not_hold_up(tmp_path: Path) -> None:
    write(tmp_path, a_txt="a")
    os.mkfifo(tmp_path / "pipe.txt")
    assert list_files(tmp_path).others == {"pipe.txt": "is no file but a pipe or a device"}


def test_a_folder_without_documents_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"has no documents; expected files .txt, .md.* found none"):
        list_files(tmp_path)
    (tmp_path / "x.png").write_bytes(b"\x89PNG")
    with pytest.raises(DataError, match=r"found 1 of other kinds, such as x.png"):
        list_files(tmp_path)
    with pytest.raises(DataError, match=r"nowhere: no such folder"):
        list_files(tmp_path / "nowhere")


def test_text_is_taken_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_bytes("\ufeff# One\r\n\r\nTwo  three\n".encode())
    assert list(read_documents(tmp_path / "a.md")) == [Document("# One\r\n\r\nTwo  three\n", None)]


def test_pages_lose_their_markup(tmp_path: Path) -> None:
    write(tmp_path, a_html="<script>x()</script><h1>A&amp;B</h1><p>1<b>0</b> km</p><!-- no -->")
    (document,) = read_documents(tmp_path / "a.html")
    assert document.text.split() == ["A&B", "10", "km"]


def test_each_row_of_a_table_is_a_document(tmp_path: Path) -> None:
    write(
        tmp_path, a_jsonl='{"id": 1, "text": "one"}\n\nnot json\n{"text": "two"}\n', b_csv='id,content\n1,"x\ny"\n2,z\n'
    )
    first, fault, second = read_documents(tmp_path / "a.jsonl")
    assert (first, second) == (Document("one", 1), Document("two", 4))
    assert isinstance(fault, RowError) and fault.line == 3
    assert list(read_documents(tmp_path / "b.csv")) == [Document("x\ny", 2), Document("z", 4)]
    assert [document.text for document in read_documents(tmp_path / "b.csv", columns=("id",))] == ["1", "2"]
    with pytest.raises(DataError, match="no column for text.* found 'id', 'content'|body"):
        list(read_documents(tmp_path / "b.csv", columns=("body",)))


@pytest.mark.parametrize("encoding", ["gb18030", "utf-16", "big5"])
def test_the_likely_encoding_of_each_file_is_taken(tmp_path: Path, encoding: str) -> None:
    text = "北京大學是一所大學，在北京市海淀區。這裡有很多學生和老師。" * 3
    (tmp_path / "a.txt").write_bytes(text.encode(encoding))
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(f'{{"text": "{text}"}}\n'.encode(encoding)))
    assert list(read_documents(tmp_path / "a.txt")) == [Document(text, None)]
    assert list(read_documents(tmp_path / "b.jsonl.gz")) == [Document(text, 1)]
    assert list(read_documents(tmp_path / "a.txt", encoding)) == [Document(text, None)]


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"", "the file is empty"),
        (bytes(range(256)) * 20, "is not text"),
        (
            b"good line\n" * 50 + b"caf\xe9 au lait\n" + b"\xe4\xb8\xad good\n" * 5,
            r"a.txt:51: byte 4 of the line is 0xe9",
        ),
    ],
)
def test_files_that_are_no_text(tmp_path: Path, content: bytes, fault: str) -> None:
    (tmp_path / "a.txt").write_bytes(content)
    with pytest.raises(DataError, match=fault):
        list(read_documents(tmp_path / "a.txt"))
