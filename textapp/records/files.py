"""Finds files by path or glob, unpacks and decodes them, and reports the line of each broken byte."""

from __future__ import annotations

import glob
import gzip
import re
import zlib
from pathlib import Path
from typing import NamedTuple

from textapp.errors import DataError

_HOW_TO_CONVERT = (
    "save the file as UTF-8; for a whole file in another encoding: iconv -f LATIN1 -t UTF-8 (Chinese: -f GB18030)"
)
_BROKEN = re.compile("[\udc80-\udcff]")
_PEEKED = 8000  # bytes in which a text must have no zero byte


class Source(NamedTuple):
    """The content of a file.

    Attributes:
        text: its characters, without the byte order mark; a broken byte is a lone surrogate.
        broken: number of a line, from 1 -> description of its first broken byte.
    """

    text: str
    broken: dict[int, str]


def expand(source: str | Path | list[str], data_dir: Path) -> list[Path]:
    """Finds the files that a config names.

    Args:
        source: a path, a glob, or a list of them; relative ones start at `data_dir`.
        data_dir: the folder of the data.

    Returns:
        The files, each once, in the given order; those of one glob are sorted by name.

    Raises:
        DataError: a path or a glob matches no file.
    """
    paths: list[Path] = []
    for name in source if isinstance(source, list) else [source]:
        whole = Path(data_dir) / name
        matches = [whole] if whole.exists() else [Path(path) for path in sorted(glob.glob(str(whole), recursive=True))]
        files = [path for path in matches if not path.is_dir()]
        if not files:
            found = "a folder" if whole.is_dir() else "no such file"
            raise DataError(
                f"{whole}: {found}; expected a file or a glob such as data/*.tsv"
                f" (relative paths of a config start at --data-dir, else TEXTAPP_DATA, else the working directory)"
            )
        paths += [path for path in files if path not in paths]
    return paths


def kind_of(path: Path) -> str:
    """The extension that gives a file's format, without `.gz`: `.tsv` for `train.tsv.gz`."""
    name = path.name.lower()
    return Path(name.removesuffix(".gz")).suffix


def read_source(path: Path) -> Source:
    """Reads a whole file, gzip or not, as UTF-8 with or without a byte order mark.

    Raises:
        DataError: the file cannot be opened or unpacked, is empty, is UTF-16, or is not text.
    """
    try:
        data = path.read_bytes()
        if path.name.lower().endswith(".gz"):
            data = gzip.decompress(data)
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file") from error
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(
            f"{path}: not a complete gzip file ({error}): copy it again, or rename it without .gz"
        ) from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise DataError(f"{path}: is UTF-16, expected UTF-8: iconv -f UTF-16 -t UTF-8 {path.name}")
    if b"\0" in data[:_PEEKED]:
        raise DataError(f"{path}: contains zero bytes, so it is not text (an image, a program?); expected UTF-8 text")
    data = data.removeprefix(b"\xef\xbb\xbf")
    if not data.strip():
        raise DataError(f"{path}: the file is empty; expected one example per line")
    try:
        return Source(data.decode("utf-8"), {})
    except UnicodeDecodeError:
        text = data.decode("utf-8", errors="surrogateescape")
        return Source(text, _broken_lines(text))


def _broken_lines(text: str) -> dict[int, str]:
    lines = enumerate(text.split("\n"), start=1)
    return {line: fault for line, content in lines if (fault := broken_byte(content)) is not None}


def broken_byte(line: str) -> str | None:
    """Describes the first byte of a line that is not UTF-8 (here a lone surrogate); None if there is none."""
    match = _BROKEN.search(line)
    if match is None:
        return None
    offset = len(line[: match.start()].encode("utf-8"))
    byte = ord(match.group()) - 0xDC00
    return f"byte {offset + 1} of the line is 0x{byte:02x}, which is not UTF-8: {_HOW_TO_CONVERT}"
