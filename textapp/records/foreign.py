"""Names files that are no text, such as spreadsheets and archives, and says how to turn them into text."""

from __future__ import annotations

import re
from pathlib import Path

HEAD = 512  # bytes of a file that `foreign` looks at

_TABLE = "save it as 'CSV UTF-8' there"
_PLAIN = "save it as plain text in UTF-8, or copy its text to a .txt file"
_UNPACK = "unpack it, or pack it as .gz, which is read as it is"
_CONVERT = "write it as .csv or .jsonl, with pandas or pyarrow"
_ADVICE: dict[str, tuple[str, str]] = {  # kind -> what it is, what to do
    **dict.fromkeys(("xlsx", "xlsm", "xlsb", "xls"), ("an Excel workbook", f"open it in Excel and {_TABLE}")),
    "ods": ("a spreadsheet of LibreOffice", f"open it in LibreOffice and {_TABLE}"),
    "numbers": ("a spreadsheet of Numbers", "export it as CSV in UTF-8"),
    **dict.fromkeys(("docx", "doc", "odt", "rtf", "pages"), ("a document of a word processor", _PLAIN)),
    **dict.fromkeys(("pptx", "ppt", "odp"), ("a presentation", _PLAIN)),
    "pdf": ("a PDF", "extract its text, such as with pdftotext -layout"),
    **dict.fromkeys(("parquet", "arrow", "feather", "orc", "avro"), ("a table of binary columns", _CONVERT)),
    **dict.fromkeys(("pkl", "pickle", "npy", "npz", "h5", "hdf5"), ("an array or an object of Python", _CONVERT)),
    **dict.fromkeys(("db", "sqlite", "sqlite3"), ("a database", "export the table as .csv, such as with sqlite3 -csv")),
    **dict.fromkeys(("sav", "dta", "sas7bdat", "rds", "rdata"), ("a table of statistics", "export it as .csv")),
    "tfrecord": ("TFRecords", _CONVERT),
    **dict.fromkeys(("zip", "7z", "bz2", "xz", "zst", "rar", "tar", "tgz", "lz4", "br"), ("an archive", _UNPACK)),
    "gz": ("a gzip file", "give it a name such as train.csv.gz"),
    "html": ("a web page", "download the file itself, which a login or a preview may stand before"),
    **dict.fromkeys(("png", "jpg", "jpeg", "gif", "webp"), ("an image", "recognise its text with OCR first")),
    "lfs": (
        "a pointer of Git LFS, in place of the file",
        "git lfs install, then git lfs pull, in the repository that it comes from",
    ),
}
_MAGIC: tuple[tuple[bytes, str], ...] = (
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "xls"),
    (b"%PDF-", "pdf"),
    (b"{\\rtf", "rtf"),
    (b"PAR1", "parquet"),
    (b"ARROW1", "arrow"),
    (b"FEA1", "feather"),
    (b"ORC", "orc"),
    (b"Obj\x01", "avro"),
    (b"\x89HDF\r\n", "h5"),
    (b"\x93NUMPY", "npy"),
    (b"SQLite format 3\0", "sqlite"),
    (b"PK\x03\x04", "zip"),
    (b"PK\x05\x06", "zip"),
    (b"7z\xbc\xaf\x27\x1c", "7z"),
    (b"BZh", "bz2"),
    (b"\xfd7zXZ\0", "xz"),
    (b"\x28\xb5\x2f\xfd", "zst"),
    (b"\x04\x22\x4d\x18", "lz4"),
    (b"Rar!\x1a\x07", "rar"),
    (b"\x1f\x8b", "gz"),
    (b"\x89PNG", "png"),
    (b"\xff\xd8\xff", "jpg"),
    (b"GIF8", "gif"),
    (b"version https://git-lfs.github.com/spec/", "lfs"),
)
_WORDS = ("arrow", "avro", "bz2", "feather", "gif", "orc", "parquet")  # their bytes may begin a text too
_BINARY = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]")
# What the first names in a zip, or in the directory of an old Office file, tell of its kind.
_IN_ZIP = (
    (b"mimetypeapplication/vnd.oasis.opendocument.spreadsheet", "ods"),
    (b"mimetypeapplication/vnd.oasis.opendocument.text", "odt"),
    (b"mimetypeapplication/vnd.oasis.opendocument.presentation", "odp"),
    (b"xl/", "xlsx"),
    (b"word/", "docx"),
    (b"ppt/", "pptx"),
    (b"[Content_Types].xml", "xlsx"),
    (b"_rels/.rels", "xlsx"),
)


def foreign(path: Path, head: bytes) -> str | None:
    """What a file is if it is no text, and how to turn it into text; None if it may be text.

    Args:
        path: its name, which tells the kind where the bytes do not.
        head: its first `HEAD` bytes, as they are on the disk or unpacked; empty: only the name is looked at.

    Example: `foreign(Path("train.xlsx"), b"")` is "is an Excel workbook: open it in Excel and save it as 'CSV UTF-8'
    there".
    """
    suffix = path.suffix.lower().removeprefix(".")
    named = suffix if suffix in _ADVICE and suffix not in ("gz", "html", "lfs") else None
    if path.name.lower().endswith(".tar.gz"):
        named = "tgz"
    kind = _kind(head, suffix)
    if kind in ("zip", "xls"):  # these hold many kinds
        kind = named or next((found for name, found in _IN_ZIP if name in head), kind)
    elif kind == "gz" and suffix in ("gz", "tgz") or kind is None and (not head or _BINARY.search(head)):
        kind = named
    if kind is None:
        return None
    what, mend = _ADVICE[kind]
    misnamed = f", though its name ends in .{suffix}" if suffix and not named else ""
    return f"is {what}{misnamed}: {mend}"


def _kind(head: bytes, suffix: str) -> str | None:
    """The kind that the first bytes tell."""
    page = head.removeprefix(b"\xef\xbb\xbf").lstrip()[:14].lower() == b"<!doctype html"
    if page and suffix in ("csv", "tsv", "json", "jsonl"):  # in place of a download; in a .txt it may be a text
        return "html"
    kind = next((kind for magic, kind in _MAGIC if head.startswith(magic)), None)
    return None if kind in _WORDS and not _BINARY.search(head) else kind
