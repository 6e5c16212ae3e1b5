from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
import zipfile
from pathlib import Path

import pytest

from textapp.records.foreign import foreign


def zipped(*names: str, content: str = "text,label\n") -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name in names:
            archive.writestr(name, content)
    return file.getvalue()


WORKBOOK = zipped("[Content_Types].xml", "_rels/.rels", "xl/workbook.xml")
DOCUMENT = zipped("word/document.xml", "[Content_Types].xml")
OLD_OFFICE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(100)


@pytest.mark.parametrize(
    ("name", "head", "message"),
    [
        ("a.xlsx", WORKBOOK, "is an Excel workbook: open it in Excel and save it as 'CSV UTF-8' there"),
        ("a.XLSX", b"", "is an Excel workbook: open it in Excel and save it as 'CSV UTF-8' there"),
        ("a.csv", WORKBOOK, "is an Excel workbook, though its name ends in .csv: open it in Excel and save it as"),
        ("a.xls", OLD_OFFICE, "is an Excel workbook: open it in Excel"),
        ("a.doc", OLD_OFFICE, "is a document of a word processor: save it as plain text"),
        ("a.ods", zipped("mimetype", content="application/vnd.oasis.opendocument.spreadsheet"), "of LibreOffice: open"),
        ("a.csv", zipped("mimetype", content="application/vnd.oasis.opendocument.spreadsheet"), "of LibreOffice, thou"),
        ("a.txt", DOCUMENT, "is a document of a word processor, though its name ends in .txt: save it as plain"),
        ("a.pdf", b"%PDF-1.7\n", "is a PDF: extract its text, such as with pdftotext"),
        ("a.parquet", b"PAR1\x15\x04\x15", "is a table of binary columns: write it as .csv or .jsonl, with pandas"),
        ("a.zip", zipped("train.csv"), "is an archive: unpack it, or pack it as .gz"),
        ("a.csv", zipped("train.csv"), "is an archive, though its name ends in .csv: unpack it"),
        ("a.tsv.bz2", bz2.compress(b"text"), "is an archive: unpack it"),
        ("a.tsv.xz", lzma.compress(b"text"), "is an archive: unpack it"),
        ("a.7z", b"7z\xbc\xaf\x27\x1c\0\4", "is an archive: unpack it"),
        ("a.csv.gz", zipped("train.csv"), "is an archive, though its name ends in .gz: unpack it"),
        (
            "a.csv",
            gzip.compress(b"text", mtime=0),
            "is a gzip file, though its name ends in .csv: give it a name such as train",
        ),
        ("a.tar.gz", gzip.compress(b"text", mtime=0), "is an archive: unpack it"),
        ("a.csv", b"SQLite format 3\0", "is a database, though its name ends in .csv: export the table as .csv"),
        (
            "a.csv",
            b"\n<!DOCTYPE html>\n<html>",
            "is a web page, though its name ends in .csv: download",
        ),
        ("a.csv", b"version https://git-lfs.github.com/spec/v1\noid", "is a pointer of Git LFS, in place of the file"),
        ("a", b"\x89PNG\r\n", "is an image: recognise"),
    ],
)
def test_a_file_that_is_no_text_is_named_with_its_mend(name: str, head: bytes, message: str) -> None:
    assert message in (foreign(Path(name), head[:512]) or "")


@pytest.mark.parametrize(
    ("name", "head"),
    [
        ("a.csv", b"text,label\ngood,pos\n"),
        ("a.csv", "\ufefftext,label\n好,pos\n".encode()),
        ("a.csv.gz", gzip.compress(b"text,label\n", mtime=0)),
        ("a.txt", b"ORC armies are green\n"),
        ("a.txt", b"GIF89a is a format\n"),
        ("a.txt", b"<!doctype html><p>a text to learn"),
        ("train.br", b"Demat d'an holl\n"),  # Breton, not Brotli
        ("train.rar", b"Kia orana\n"),  # Rarotongan
        ("a.log", b"one line\n"),
        ("a", b""),
    ],
)
def test_a_text_is_none_of_these(name: str, head: bytes) -> None:
    assert foreign(Path(name), head) is None


def test_a_tar_is_an_archive() -> None:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("train.csv"))
    assert "is an archive" in (foreign(Path("a.tar"), file.getvalue()[:512]) or "")
