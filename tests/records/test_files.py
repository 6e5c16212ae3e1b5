"""Files are read a line at a time, from many encodings, with limits."""

from __future__ import annotations

import gzip
import tracemalloc
from pathlib import Path

import pytest

from textapp.errors import DataError, UsageError
from textapp.records import files
from textapp.records.files import MAX_LINE, MAX_UNPACKED, expand, read_source

CHINESE = "标签,文本\n好评,酒店很干净\n差评,隔音太差\n"


def file(folder: Path, content: bytes | str, name: str = "a.csv") -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030", "big5", "utf-16", "utf-16-le", "utf-32"])
def test_a_named_encoding_is_read(tmp_path: Path, encoding: str) -> None:
    text = "標籤,內容\r\n好評,酒店\n"
    path = file(tmp_path, text.encode(encoding))
    assert list(read_source(path, encoding).lines()) == ["標籤,內容\r\n", "好評,酒店\n"]
    assert "".join(read_source(path, encoding).pieces()) == text


@pytest.mark.parametrize("content", [CHINESE, "plain"])
def test_utf_8_with_or_without_a_mark_may_be_called_utf_8_sig(tmp_path: Path, content: str) -> None:
    for written in ("utf-8", "utf-8-sig"):
        path = file(tmp_path, content.encode(written))
        assert "".join(read_source(path, "utf-8-sig").lines()) == content


@pytest.mark.parametrize(
    ("encoding", "content"),
    [
        ("utf-16", b"\0"),
        ("utf-16", b"\xff\xfe"),
        ("utf-16-le", " \n".encode("utf-16-le")),
        ("utf-32", b"\xff\xfe\0\0\n\0\0\0"),
    ],
)
def test_a_file_of_blanks_is_empty_in_wide_encodings_too(tmp_path: Path, encoding: str, content: bytes) -> None:
    with pytest.raises(DataError, match=r"a\.json: the file is empty; expected a text"):
        read_source(file(tmp_path, content, "a.json"), encoding)


def test_a_mark_is_dropped_also_if_the_order_of_bytes_is_named(tmp_path: Path) -> None:
    path = file(tmp_path, b"\xff\xfe" + CHINESE.encode("utf-16-le"))
    assert "".join(read_source(path, "utf-16-le").lines()) == CHINESE


@pytest.mark.parametrize(
    ("encoding", "likely"),
    [("gb18030", "gb18030"), ("utf-16", "utf-16"), ("utf-16-le", "utf-16-le"), ("utf-32", "utf-32")],
)
def test_a_file_in_another_encoding_is_an_error_that_names_it(tmp_path: Path, encoding: str, likely: str) -> None:
    path = file(tmp_path, CHINESE.encode(encoding))
    with pytest.raises(DataError, match=rf"a\.csv: is {likely}, not UTF-8: set data.encoding: {likely}, or --encoding"):
        read_source(path)


def test_utf8_read_as_another_encoding_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"is UTF-8, not gb18030: set data.encoding: utf-8, or --encoding utf-8 .auto"):
        read_source(file(tmp_path, CHINESE), "gbk")
    assert list(read_source(file(tmp_path, "plain\n"), "gbk").lines()) == ["plain\n"]


@pytest.mark.parametrize(("encoding", "taken"), [("gb18030", "gb18030"), ("utf-8", "utf-8"), ("utf-16", "utf-16")])
def test_auto_says_what_it_took(tmp_path: Path, caplog, encoding: str, taken: str) -> None:
    path = file(tmp_path, CHINESE.encode(encoding))
    with caplog.at_level("INFO", "textapp"):
        assert "".join(read_source(path, "auto").lines()) == CHINESE
    assert caplog.messages == [f"{path}: read as {taken}"]


def test_auto_finds_the_first_characters_beyond_ascii(tmp_path: Path) -> None:
    path = file(tmp_path, b"plain text\n" * 60_000 + "酒店很干净\n隔音太差\n".encode("gbk"))
    assert list(read_source(path, "auto").lines())[-1] == "隔音太差\n"


def test_single_broken_bytes_are_faults_of_their_lines(tmp_path: Path) -> None:
    source = read_source(file(tmp_path, b"good\ncaf\xe9 noir\nbad\nx\0y\n"))
    assert [line.strip() for line in source.lines()] == ["good", "caf\udce9 noir", "bad", "x\0y"]
    assert set(source.broken) == {2, 4}
    assert source.broken[2].startswith("byte 4 of the line is 0xe9, which is not UTF-8: the line looks like cp1252")
    assert source.broken[4] == "byte 2 of the line is zero, which no text has: delete it"


def test_a_zero_byte_far_from_the_beginning_is_a_fault(tmp_path: Path) -> None:
    source = read_source(file(tmp_path, b"fine\n" * 100_000 + b"a\0b\n"))
    assert len(list(source.lines())) == 100_001 and set(source.broken) == {100_001}
    with pytest.raises(DataError, match=r"a\.csv:100001: byte 2 of the line is zero"):
        list(read_source(tmp_path / "a.csv").pieces())


def test_a_broken_byte_of_a_long_line_is_counted_from_its_beginning(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(files, "_PIECE", 4)
    with pytest.raises(DataError, match=r"a\.csv:2: byte 11 of the line is 0xff"):
        list(read_source(file(tmp_path, "é\nabcdéfghi".encode() + b"\xff")).pieces())


def test_a_line_end_of_its_own(tmp_path: Path) -> None:
    assert list(read_source(file(tmp_path, "a,b\r1,2\r")).lines()) == ["a,b\n", "1,2\n"]
    assert "".join(read_source(file(tmp_path, "a,b\r1,2")).pieces()) == "a,b\n1,2"
    # A single one within a line is no line end: lines of parallel files are counted as other tools count them.
    assert list(read_source(file(tmp_path, "a\rb\nc\n")).lines()) == ["a\rb\n", "c\n"]


def test_a_line_that_is_too_long_is_a_fault_of_its_own(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv(MAX_LINE, "1")
    source = read_source(file(tmp_path, "a\n" + "x" * (3 << 20) + "\nb"))
    first, long, last = source.lines()
    assert (first, len(long), last) == ("a\n", 201, "b")
    assert source.broken == {2: f"longer than 1 MB: split it, or set {MAX_LINE} to more"}


def test_what_unpacks_to_far_more_than_texts_do_is_an_error(tmp_path: Path, monkeypatch) -> None:
    path = file(tmp_path, gzip.compress(b"x" * (300 << 20), 1), "a.csv.gz")
    tracemalloc.start()
    with pytest.raises(DataError, match=f"unpacks to more than 256 MB, .*: if it is meant, set {MAX_UNPACKED} to more"):
        list(read_source(path).lines())
    assert tracemalloc.get_traced_memory()[1] < 100 << 20
    tracemalloc.stop()
    monkeypatch.setenv(MAX_UNPACKED, "400")
    assert len(list(read_source(path).lines())) == 1
    monkeypatch.setenv(MAX_UNPACKED, "many")
    with pytest.raises(UsageError, match=f"the environment variable {MAX_UNPACKED}: found 'many', expected a number"):
        read_source(path)


def test_a_home_folder_is_expanded(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    path = file(tmp_path, "x")
    assert expand("~/a.csv", Path("elsewhere")) == [path]


def test_a_broken_line_among_others_is_to_be_corrected_not_the_encoding(tmp_path: Path) -> None:
    lines = "très bien\nà côté\n".encode() * 20
    for broken, looks in (("dé jà vu".encode("cp1252"), "cp1252"), ("隔音太差".encode("gbk"), "gb18030")):
        path = file(tmp_path, lines + broken + b"\n" + lines)
        for encoding in ("utf-8", "auto"):
            source = read_source(path, encoding)
            assert len(list(source.lines())) == 81 and set(source.broken) == {41}
            assert "not UTF-8, as other lines are: correct or delete this line" in source.broken[41]
            assert looks in source.broken[41] and "--encoding" not in source.broken[41]
        with pytest.raises(DataError, match=r"is UTF-8, not gb18030, but for line 41, which has to be corrected: set"):
            read_source(path, "gbk")


def test_auto_takes_what_is_certain_and_tells_what_is_not(tmp_path: Path, caplog) -> None:
    path = file(tmp_path, "label,text\npos,déjà vu\n".encode("cp1252"))
    assert "".join(read_source(path, "auto").lines()) == "label,text\npos,déjà vu\n"
    assert "cp1252 is not certain, it may be cp1250" in caplog.text
    with pytest.raises(DataError, match="is not UTF-8, and its encoding is not recognised: save the file as UTF-8, or"):
        read_source(file(tmp_path, b" \xe2 b\xd4b\x80b \xf5\x8b  \xebababb  \x9f\n"), "auto")


def test_another_encoding_than_it_looks_like_is_told(tmp_path: Path, caplog) -> None:
    read_source(file(tmp_path, CHINESE.encode("gbk")), "big5")
    assert "read as cp950, as it is named, though it looks like gb18030" in caplog.text


@pytest.mark.parametrize(("encoding", "data", "text"), [
    ("utf-16", CHINESE.encode("utf-16-le"), CHINESE), ("utf-8-sig", b"\xef\xbb\xbfx\n", "x\n"),
    ("utf-8-sig", b"x\n", "x\n"), ("iso-2022-jp", "日本語\n".encode("iso2022_jp"), "日本語\n"),
])  # fmt: skip
def test_marks_and_escapes(tmp_path: Path, encoding: str, data: bytes, text: str) -> None:
    assert "".join(read_source(file(tmp_path, data), encoding).lines()) == text


@pytest.mark.parametrize(("encoding", "data", "likely"), [
    ("utf-16", b"plain\n", "utf-8"), ("utf-16-be", CHINESE.encode("utf-16-le"), None),
    ("utf-8", "ラベル\n".encode("iso2022_jp"), "iso2022_jp"), ("utf-8", "标签\n".encode("hz"), "hz"),
])  # fmt: skip
def test_what_it_looks_like(tmp_path: Path, encoding: str, data: bytes, likely: str | None) -> None:
    with pytest.raises(DataError, match=f"is {likely or 'utf-16-le'}.*, not (?i:{encoding}): set"):
        read_source(file(tmp_path, data), encoding)


def test_excel_on_a_mac_has_line_ends_of_its_own_in_cells(tmp_path: Path) -> None:
    path = file(tmp_path, 'text,label\r"two\nlines",a\rone,b\r')
    assert list(read_source(path).lines()) == ["text,label\n", '"two\nlines",a\n', "one,b\n"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:1a\n",
            "is a pointer of Git LFS, in place of the file",
        ),
        (b"PK\x03\x04 xl/workbook.xml", "is an Excel workbook, though its name ends in .gz: open it in Excel"),
        (b"text,label\n", "not a complete gzip file .*: copy it again, or rename it without .gz"),
    ],
)
def test_what_is_called_gz_and_is_none_is_named(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "a.csv.gz").write_bytes(content)
    with pytest.raises(DataError, match=f"a.csv.gz: {message}"):
        read_source(tmp_path / "a.csv.gz")


def test_a_missing_file_names_the_option_only_where_one_chose_the_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none.tsv: no such file; expected a file or a glob such as .* --data-dir"):
        expand("none.tsv", tmp_path)
    with pytest.raises(DataError, match=r"none.tsv: no such file; expected a file or a glob such as data/\*.tsv$"):
        expand(str(tmp_path / "none.tsv"))
