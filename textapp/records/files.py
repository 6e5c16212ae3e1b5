"""Finds files by path or glob, unpacks and decodes them a line at a time, and reports the line of each broken byte."""

from __future__ import annotations

import glob
import gzip
import io
import logging
import os
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from textapp.encodings import AUTO, CONTROL, DOUBLE_BYTES, SAMPLE, likely_encodings, text_encoding
from textapp.errors import DataError, UsageError
from textapp.records.foreign import HEAD, foreign
from textapp.remote import RemotePath, is_remote

UTF_8 = "utf-8"
MAX_LINE, MAX_UNPACKED = "TEXTAPP_MAX_LINE_MB", "TEXTAPP_MAX_UNPACKED_MB"
_MB = 1 << 20
_LINE_MB = 16
_UNPACKED_MB, _UNPACKED_TIMES = 256, 100  # texts are packed 3 to 20 times; zeros 1,000 times
_PIECE = 1 << 20  # characters
_SHOWN = 200  # characters kept of a line that is too long
_WIDE_MARKS = (b"\xff\xfe", b"\xfe\xff", b"\x00\x00\xfe\xff")
_BROKEN = re.compile("[\udc80-\udcff\0]")  # what is left of a byte that cannot be decoded; a zero byte

_logger = logging.getLogger("textapp")

Ranges = Sequence[tuple[int, int]]  # of bytes, from one place to another
_only: dict[Path, Ranges] = {}  # the files of which nothing but these is read


@contextmanager
def reading_only(ranges: Mapping[Path, Ranges]) -> Iterator[None]:
    """Within it, of these files nothing but some ranges of bytes is read, one behind the other.

    Args:
        ranges: of plain files; each begins and ends where a line does.
    """
    _only.update(ranges)
    try:
        yield
    finally:
        for path in ranges:
            del _only[path]


class Source:
    """The text of an open file, which can be read once.

    Attributes:
        path: the file.
        encoding: what it is decoded from.
        head: its first characters, to see what it holds.
        broken: number of a line, from 1 -> what is wrong with it; of the lines that were read.
    """

    def __init__(self, path: Path, encoding: str, data: _Bytes) -> None:
        self.path = path
        self.encoding = encoding
        self.head = data.head.decode("utf-8-sig" if encoding == UTF_8 else encoding, "ignore")
        self.broken: dict[int, str] = {}
        self._data = io.BufferedReader(data, 1 << 16)
        self._line_end = "\r" if ends_with_return(self.head) else "\n"
        self._others = _Utf8Lines.of(data.head).valid > 0 and encoding == UTF_8

    def lines(self) -> Iterator[str]:
        r"""Yields every line with its end, `\n` or `\r\n`; if the file has `\r` alone, `\n` stands for it.

        A byte that cannot be decoded is a lone surrogate. Of a line that is too long only the beginning is kept.

        Raises:
            DataError: the rest of the file cannot be read, unpacked or decoded.
        """
        limit, end, number, others = megabytes(MAX_LINE, _LINE_MB), self._line_end, 0, self._others
        with self._reader() as reader:
            while line := reader.readline(limit):
                number += 1
                if len(line) == limit and not line.endswith(end):
                    line = line[:_SHOWN] + end * _skip_line(reader, end)
                    self.broken[number] = f"longer than {limit // _MB} MB: split it, or set {MAX_LINE} to more"
                elif line.isascii() and "\0" not in line:
                    pass
                elif (fault := broken_byte(line, self.encoding, others=others)) is not None:
                    self.broken[number] = fault
                else:
                    others = True
                yield line if end == "\n" else line.replace(end, "\n")

    def pieces(self) -> Iterator[str]:
        r"""Yields the text in pieces of a million characters, with line ends as in `lines`.

        Raises:
            DataError: as for `lines`, and for a byte that cannot be decoded, with its line.
        """
        line, offset = 1, 0  # of the beginning of the piece
        with self._reader() as reader:
            while piece := reader.read(_PIECE):
                if (broken := _BROKEN.search(piece)) is not None:
                    line += piece.count(self._line_end, 0, broken.start())
                    start = piece.rfind(self._line_end, 0, broken.start()) + 1
                    fault = broken_byte(piece[start:], self.encoding, 0 if start else offset)
                    raise DataError(f"{self.path}:{line}: {fault}")
                line += piece.count(self._line_end)
                last = piece.rfind(self._line_end) + 1
                offset = (0 if last else offset) + len(piece[last:].encode(self.encoding, "surrogateescape"))
                yield piece if self._line_end == "\n" else piece.replace(self._line_end, "\n")

    @contextmanager
    def _reader(self) -> Iterator[io.TextIOWrapper]:
        name = "utf-8-sig" if self.encoding == UTF_8 else self.encoding
        with io.TextIOWrapper(self._data, name, errors="surrogateescape", newline=self._line_end) as reader:
            try:
                yield reader
            except UnicodeError as error:  # of UTF-16 and UTF-32, which have no single bytes to skip
                raise DataError(
                    f"{self.path}: is not {self.encoding} throughout ({getattr(error, 'reason', error)}): {_HOW}"
                ) from error


def ends_with_return(head: str) -> bool:
    r"""Whether lines end with `\r` alone; then a `\n` is inside a quoted cell, as Excel on a Mac writes it."""
    alone = head.count("\r") - head.count("\r\n")
    return alone > 2 * (head.count("\n") - head.count("\r\n")) and "\r\n" not in head


def _skip_line(reader: io.TextIOWrapper, end: str) -> bool:
    """Reads to the end of a line; returns whether it has a line end."""
    while piece := reader.readline(_PIECE):
        if piece.endswith(end):
            return True
    return False


def broken_byte(line: str, encoding: str = UTF_8, offset: int = 0, others: bool = False) -> str | None:
    """Describes the first byte of a line that cannot be decoded (here a lone surrogate) or is zero.

    Args:
        line: the text.
        encoding: what it was decoded from.
        offset: number of bytes of the line before this text.
        others: whether other lines have characters beyond ASCII in this encoding.

    Returns:
        The description; None if there is no such byte.
    """
    match = _BROKEN.search(line) if not line.isascii() or "\0" in line else None
    if match is None:
        return None
    number = offset + len(line[: match.start()].encode(encoding, "surrogateescape")) + 1
    if match.group() == "\0":
        return f"byte {number} of the line is zero, which no text has: delete it"
    found = f"byte {number} of the line is 0x{ord(match.group()) - 0xDC00:02x}, which is not {encoding.upper()}"
    likely = [name for name in likely_encodings(line.encode(encoding, "surrogateescape")) if name != encoding]
    looks = f"the line looks like {_perhaps(likely)}" if likely else ""
    if others:
        return f"{found}, as other lines are: correct or delete this line{f' ({looks})' if looks else ''}"
    return f"{found}: {looks + ': ' + _how_to_read(likely[0]) if looks else _HOW}"


_EMPTY = "the file is empty; expected a text"
_HOW = "save the file as UTF-8, or name its encoding with data.encoding or --encoding"


def _how_to_read(encoding: str) -> str:
    return f"set data.encoding: {encoding}, or --encoding {encoding}, or save the file as UTF-8"


def _perhaps(likely: Sequence[str]) -> str:
    """`cp1252, perhaps cp1250`."""
    return f"{likely[0]}, perhaps {' or '.join(likely[1:3])}" if len(likely) > 1 else likely[0]


# --- finding and opening -------------------------------------------------------------------------------------------


_BASE = " (relative paths of a config start at --data-dir, else TEXTAPP_DATA, else the working directory)"


def expand(source: str | Path | list[str], data_dir: Path | None = None) -> list[Path]:
    """Finds the files that a config or an option names.

    Args:
        source: a path, a URL, a glob, or a list of them; relative ones start at `data_dir`.
        data_dir: the folder of the data of a config; None: the files are those of an option, and start here.

    Returns:
        The files, each once, in the given order; those of one glob are sorted by name. A `RemotePath` for a URL.

    Raises:
        DataError: a path or a glob matches no file, or a server cannot be asked.
    """
    paths: list[Path] = []
    for name in source if isinstance(source, list) else [source]:
        if is_remote(name):
            paths += [path for path in _remote_files(str(name)) if path not in paths]
            continue
        whole = Path(data_dir or "") / os.path.expanduser(name)
        matches = [whole] if whole.exists() else [Path(path) for path in sorted(glob.glob(str(whole), recursive=True))]
        files = [path for path in matches if not path.is_dir()]
        if not files:
            found = "a folder" if whole.is_dir() else "no such file"
            raise DataError(
                f"{whole}: {found}; expected a file or a glob such as data/*.tsv{'' if data_dir is None else _BASE}"
            )
        paths += [path for path in files if path not in paths]
    return paths


def _remote_files(url: str) -> list[Any]:
    try:
        files = RemotePath(url).matching()
    except OSError as error:
        raise DataError(f"{url}: cannot be read: {error.strerror or error}") from error
    if not files:
        raise DataError(f"{url}: no such file; expected the URL of a file, or a glob such as s3://bucket/data/*.tsv")
    return files


def kind_of(path: Path) -> str:
    """The extension that gives a file's format, without `.gz`: `.tsv` for `train.tsv.gz`."""
    name = path.name.lower()
    return Path(name.removesuffix(".gz")).suffix


def read_source(path: Path, encoding: str = UTF_8) -> Source:
    """Opens a file, gzip or not, with or without a byte order mark.

    Args:
        path: the file.
        encoding: a name that Python knows, or `auto`: the likely one is taken, and logged.

    Raises:
        DataError: the file cannot be opened or unpacked, is empty, is no text, or is in another encoding.
        UsageError: there is no such encoding.
    """
    encoding = text_encoding(encoding)
    try:
        data = _Bytes(path)
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error
    head = data.head
    if (what := foreign(path, head)) is not None:
        raise DataError(f"{path}: {what}")
    if not head.removeprefix(b"\xef\xbb\xbf").strip():
        raise DataError(f"{path}: {_EMPTY}")
    source = Source(path, _settled(path, encoding, head), data)
    if not source.head.strip():  # nothing but blanks, or half a character, in UTF-16 or UTF-32
        raise DataError(f"{path}: {_EMPTY}")
    return source


def _settled(path: Path, encoding: str, head: bytes) -> str:
    """The encoding of a file.

    Raises:
        DataError: its beginning shows that it is in another one, or that it is no text.
    """
    sample = _beyond_ascii(path, head) if encoding == AUTO else head
    likely = likely_encodings(sample)
    if likely == [UTF_8] and encoding in (AUTO, UTF_8):  # most files; their lines need not be counted
        return _taken(path, encoding)
    lines = _Utf8Lines.of(sample)
    if encoding == AUTO and not lines.most:
        return _likely(path, likely, sample)
    if encoding in (AUTO, UTF_8):
        if likely[:1] not in (["iso2022_jp"], ["hz"]) and not lines.few:
            return _taken(path, encoding)
        _check_text(path, likely, sample)
        raise DataError(f"{path}: is {_perhaps(likely)}, not UTF-8: {_how_to_read(likely[0])}")
    if encoding.startswith(("utf-16", "utf-32")):
        if head.startswith(_WIDE_MARKS):
            return encoding[:6]  # which drops the mark
        family = encoding if encoding[6:] else encoding[:6]
        if likely and not likely[0].startswith(family):
            raise DataError(f"{path}: is {_perhaps(likely)}, not {encoding}: {_how_to_read(likely[0])}")
        return likely[0] if likely and encoding in ("utf-16", "utf-32") else encoding
    if lines.most:
        broken = f", but for line {lines.first_broken}, which has to be corrected" if lines.first_broken else ""
        how = f"set data.encoding: {UTF_8}, or --encoding {UTF_8} (auto: the likely one of each file)"
        raise DataError(f"{path}: is UTF-8, not {encoding}{broken}: {how}")
    if likely and likely[0] in DOUBLE_BYTES and text_encoding(likely[0]) != encoding:
        _logger.warning("%s: read as %s, as it is named, though it looks like %s", path, encoding, likely[0])
    return encoding


def _taken(path: Path, encoding: str) -> str:
    """UTF-8, which is logged if `auto` took it."""
    if encoding == AUTO:
        _logger.info("%s: read as %s", path, UTF_8)
    return UTF_8


def _likely(path: Path, likely: Sequence[str], sample: bytes) -> str:
    """The encoding that `auto` takes, which is logged."""
    _check_text(path, likely, sample)
    _logger.info("%s: read as %s", path, likely[0])
    if len(likely) > 1:
        others = " or ".join(likely[1:3])
        _logger.warning("%s: %s is not certain, it may be %s: name it with data.encoding", path, likely[0], others)
    return text_encoding(likely[0])


def _check_text(path: Path, likely: Sequence[str], sample: bytes) -> None:
    if likely:
        return
    if CONTROL.search(sample):
        raise DataError(f"{path}: is not text (an image, a program?); expected a text file: {_HOW}")
    raise DataError(f"{path}: is not UTF-8, and its encoding is not recognised: {_HOW}")


class _Utf8Lines(NamedTuple):
    """How many lines with characters beyond ASCII are UTF-8.

    Attributes:
        valid, broken: the lines that are, and that are not; the last one is left out, as it may be cut off.
        filled: the lines that are not blank.
        first_broken: number of the first that is not; 0 if all are.
        starts_broken: whether it is the first line that is not blank.
    """

    valid: int
    broken: int
    filled: int
    first_broken: int
    starts_broken: bool

    @classmethod
    def of(cls, head: bytes) -> _Utf8Lines:
        valid, broken, filled, first, starts = 0, 0, 0, 0, False
        lines = head.split(b"\n")
        for number, line in enumerate(lines[:-1] if len(lines) > 1 else lines, start=1):
            filled += bool(line.strip())
            text = line.decode("utf-8", "surrogateescape")
            if _BROKEN.search(text):
                broken, first, starts = broken + 1, first or number, starts or filled == 1
            elif not text.isascii():
                valid += 1
        return cls(valid, broken, filled, first, starts)

    @property
    def most(self) -> bool:
        """Whether more of these lines are UTF-8 than not."""
        return self.valid > self.broken

    @property
    def few(self) -> bool:
        """Whether the text as a whole is in another encoding, instead of having single broken bytes."""
        return self.broken > self.valid and (self.starts_broken or 2 * self.broken > self.filled)


def _beyond_ascii(path: Path, head: bytes) -> bytes:
    """The first bytes of a file that show its encoding: those around the first that is not ASCII."""
    if not head.isascii() or not path.is_file():
        return head
    with _Bytes(path) as data:
        while block := data.read(SAMPLE):
            if not block.isascii():
                return block[block.rfind(b"\n", 0, _first_beyond(block)) + 1 :]
    return head


def _first_beyond(block: bytes) -> int:
    return next(index for index, byte in enumerate(block) if byte > 0x7F)


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...

    def close(self) -> None: ...


class _FileRanges:
    """Ranges of a file, as a file."""

    def __init__(self, path: Path, ranges: Ranges) -> None:
        self._file, self._ranges = path.open("rb"), list(ranges)

    def read(self, size: int, /) -> bytes:
        while self._ranges:
            begin, end = self._ranges[0]
            self._file.seek(begin)
            if block := self._file.read(min(size, end - begin)):
                self._ranges[0] = (begin + len(block), end)
                return block
            self._ranges.pop(0)
        return b""

    def close(self) -> None:
        self._file.close()


class _Bytes(io.RawIOBase):
    """The bytes of a file, unpacked; a pipe is read once.

    Attributes:
        head: the first of them.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._count, self._limit = 0, float("inf")
        self._stored: _Readable = _FileRanges(path, _only[path]) if path in _only else path.open("rb")
        self._file = self._stored
        if path.name.lower().endswith(".gz"):
            self._file = gzip.open(self._stored)  # type: ignore[call-overload] # noqa: SIM115
            usual = max(_UNPACKED_MB, _UNPACKED_TIMES * path.stat().st_size // _MB)
            self._limit = megabytes(MAX_UNPACKED, usual)
        self.head = b""
        while len(self.head) < SAMPLE and (block := self._unpacked(SAMPLE - len(self.head))):
            self.head += block
        self._replayed = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if self._replayed < len(self.head):
            block = self.head[self._replayed : self._replayed + len(buffer)]
            self._replayed += len(block)
        else:
            block = self._unpacked(len(buffer))
        buffer[: len(block)] = block
        return len(block)

    def _unpacked(self, size: int) -> bytes:
        try:
            block = self._file.read(size)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            if self._path.is_file():  # and no pipe, which is read once
                with self._path.open("rb") as packed:
                    what = foreign(self._path, packed.read(HEAD))
                if what is not None:  # a pointer of Git LFS, a workbook
                    raise DataError(f"{self._path}: {what}") from error
            raise DataError(
                f"{self._path}: not a complete gzip file ({error}): copy it again, or rename it without .gz"
            ) from error
        except OSError as error:
            raise DataError(f"{self._path}: cannot be read: {error.strerror or error}") from error
        self._count += len(block)
        if self._count > self._limit:
            raise DataError(
                f"{self._path}: unpacks to more than {self._limit // _MB:.0f} MB, far more than texts do:"
                f" if it is meant, set {MAX_UNPACKED} to more"
            )
        return block

    def close(self) -> None:
        self._file.close()
        self._stored.close()  # which gzip leaves open
        super().close()


def megabytes(variable: str, default: int) -> int:
    """A limit in bytes, from an environment variable in MB.

    Args:
        variable: its name.
        default: the limit in MB if it is not set.

    Raises:
        UsageError: it is no number from 1.
    """
    value = os.environ.get(variable) or str(default)
    if not (value.isascii() and value.isdigit() and int(value[:9])):
        raise UsageError(f"the environment variable {variable}: found {value!r}, expected a number of MB from 1")
    return int(value) * _MB
