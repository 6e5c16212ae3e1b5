"""Parts of files of records, which processes read at the same time, and behind each other are the whole files.

A file whose records are lines is cut at line ends. Its format is judged by its first lines, such as the delimiter and
the columns of a table; so each part but the first is read behind these lines, whose records are then left out.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from textapp.records.files import UTF_8, Ranges, expand, kind_of, reading_only
from textapp.records.layout import Layout
from textapp.records.markup import KINDS as MARKUP
from textapp.records.sources import Source, parallel_sides
from textapp.records.tables import PEEKED_ROWS

PART_BYTES = 8 << 20  # at least; smaller files are not cut
MOST_PARTS = 32  # of a file: each is read behind its first lines
HEAD_LINES = PEEKED_ROWS + 100  # of which a hundred may be blank
ROWS = (".csv", ".tsv", ".jsonl")  # whose records are rows
LINES = (*ROWS, ".txt")
_TABLES = (".csv", ".tsv")
_BLOCK = 1 << 20
_LONGEST_LINE = 1 << 24

Records = Sequence[dict[str, Any]]


class Part(NamedTuple):
    """A part of a file, or of two parallel files.

    Attributes:
        source: of the whole, as a recipe reads it.
        ranges: path -> the bytes to read; empty: all.
        head: path -> those whose records are left out, the first ones of `ranges`; empty: none.
    """

    source: Any
    ranges: dict[Path, Ranges]
    head: dict[Path, Ranges]


def parts_of(source: Source, layout: Layout, data_dir: Path, kinds: Collection[str]) -> list[list[Part]]:
    """The parts of each file of a source, or of each pair of parallel files; one where it cannot be cut.

    Args:
        source: the files.
        layout: their encoding.
        data_dir: the folder that relative paths start at.
        kinds: the extensions of files whose records are lines, or rows of a table that are mostly lines.

    Raises:
        DataError: a file does not exist.
    """
    sides = parallel_sides(source)
    if sides is None:
        groups = [(str(path), [path]) for path in expand(source, data_dir)]  # type: ignore[arg-type]
    else:
        pairs = [expand(side, data_dir) for side in sides]
        if len(pairs[0]) != len(pairs[1]):
            names = [[str(path) for path in side] for side in pairs]
            return [[Part(dict(zip(("source", "target"), names, strict=True)), {}, {})]]  # which its reader refuses
        groups = [({"source": str(a), "target": str(b)}, [a, b]) for a, b in zip(*pairs, strict=True)]
    return [_cut(whole, paths, layout, kinds) or [Part(whole, {}, {})] for whole, paths in groups]


def _cut(whole: Any, paths: list[Path], layout: Layout, kinds: Collection[str]) -> list[Part]:
    """The parts of files whose lines belong together; none if they cannot be cut."""
    packed = any(path.name.lower().endswith(".gz") or not path.is_file() for path in paths)
    if len(paths) == 1:
        others = layout.pattern is None and kind_of(paths[0]) not in kinds
    else:  # lines, whatever their extension, but for segments
        others = any(kind_of(path) in (*ROWS, ".json", *MARKUP) for path in paths)
    size = 0 if packed or others or layout.encoding != UTF_8 else min(path.stat().st_size for path in paths)
    if size < 2 * PART_BYTES:
        return []
    files = [_Lines(path, layout.pattern is None and len(paths) == 1) for path in paths]
    if any(file.joined or file.count != files[0].count or file.count < HEAD_LINES for file in files):
        return []
    heads = [file.place(HEAD_LINES) for file in files]
    count = min(MOST_PARTS, size // max(PART_BYTES, 4 * max(heads)))
    lines = [files[0].count * number // count for number in range(count + 1)] if count else []
    if count < 2 or lines[1] <= HEAD_LINES:
        return []
    cuts = {file.path: [file.place(line) for line in lines] for file in files}
    head: dict[Path, Ranges] = {path: [(0, end)] for path, end in zip(paths, heads, strict=True)}
    parts = [Part(whole, {path: [(0, places[1])] for path, places in cuts.items()}, {})]
    for number in range(1, count):
        ranges = {path: [*head[path], (places[number], places[number + 1])] for path, places in cuts.items()}
        parts.append(Part(whole, ranges, head))
    return parts


class _Lines:
    """Where the lines of a file begin.

    Args:
        path: the file.
        table: whether it may be a table, in which a cell in quotes may go over several lines.

    Attributes:
        path: the file.
        count: number of lines.
        joined: whether one may go on in the next: it has an odd number of quotes, and in a `.tsv` a cell that begins
            with one.
    """

    def __init__(self, path: Path, table: bool) -> None:
        self.path, self.joined = path, False
        table = table and kind_of(path) in _TABLES
        size, last, begun, counts = 0, b"\n", b"\n", []
        with path.open("rb") as file:
            while block := file.read(_BLOCK):
                counts.append(block.count(b"\n"))
                if table and not self.joined:
                    whole, end, rest = (begun + block).rpartition(b"\n")
                    self.joined = self._may_go_on(whole + end) or len(rest) > _LONGEST_LINE
                    begun = end + rest
                size, last = size + len(block), block[-1:]
        self._ends = np.cumsum(counts, dtype=np.int64)
        self._size = size
        self.count = (int(self._ends[-1]) if counts else 0) + (last != b"\n")

    def _may_go_on(self, lines: bytes) -> bool:
        """Whether one of these lines, which follow a line end, may go on in the next."""
        if b'"' not in lines or (kind_of(self.path) == ".tsv" and b'\t"' not in lines and b'\n"' not in lines):
            return False
        content = np.frombuffer(lines, np.uint8)
        quotes = np.cumsum(content == 34)[content == 10]
        return bool((np.diff(quotes, prepend=0) % 2).any())

    def place(self, line: int) -> int:
        """The place of the first byte of a line, counted from 0; that of the end for the number of lines."""
        if line == 0 or line >= self.count:
            return self._size if line else 0
        number = int(np.searchsorted(self._ends, line))
        with self.path.open("rb") as file:
            file.seek(number * _BLOCK)
            ends = np.flatnonzero(np.frombuffer(file.read(_BLOCK), np.uint8) == 10)
        return number * _BLOCK + int(ends[line - (int(self._ends[number - 1]) if number else 0) - 1]) + 1


class Uncut(Exception):
    """A part cannot be read by itself."""


def read_part(
    part: Part, read: Callable[[Source], Iterator[Records]], heads: dict[str, int] | None = None
) -> Iterator[Records]:
    """The records of a part, in blocks.

    Args:
        part: of a file.
        read: a source to its records in blocks.
        heads: source -> the number of records of its first lines, once they have been counted.

    Raises:
        Uncut: the first lines do not show the format of the whole; read the whole instead.
        DataError: a record is invalid, or the file; read the whole to learn its line.
    """
    left, heads, source = 0, {} if heads is None else heads, str(part.source)
    if part.head:
        if source not in heads:
            with reading_only(part.head):
                heads[source] = sum(map(len, read(part.source)))
        left = heads[source]
        if left < PEEKED_ROWS:
            raise Uncut
    with reading_only(part.ranges):
        for block in read(part.source):
            if kept := block[left:]:
                yield kept
            left = max(0, left - len(block))
