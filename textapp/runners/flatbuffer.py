"""Reads the tables of a flatbuffer that may be damaged, such as a .tflite file."""

from __future__ import annotations

import mmap
import struct
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

_MAX_NAMES = 1 << 16
_MAX_FIELDS = 16  # of a table that are read


class Fault(Exception):
    """What is wrong with a file."""


class Table(NamedTuple):
    """A table of the file: where it starts, and where its `_MAX_FIELDS` or more fields are: 0 for one that it lacks."""

    start: int
    fields: Sequence[int]

    def at(self, number: int) -> int:
        """The position of a field; 0: it has its default."""
        offset = self.fields[number]
        return self.start + offset if offset else 0


class Flatbuffer:
    """The content of a file. Every method raises a `Fault`, or an error of `struct`, where that leads out of the file.

    Args:
        content: the whole file.
    """

    def __init__(self, content: mmap.mmap) -> None:
        self.content, self.size = content, len(content)
        self.u16, self.u32 = struct.Struct("<H").unpack_from, struct.Struct("<I").unpack_from
        self.i32, self.u64 = struct.Struct("<i").unpack_from, struct.Struct("<Q").unpack_from
        self._layouts: dict[int, tuple[int, tuple[int, ...]]] = {}
        self._lists: dict[int, Callable[..., tuple[int, ...]]] = {}  # of so many integers

    def table(self, start: int) -> Table:
        vtable = start - self.i32(self.content, start)[0]
        extent, fields = self._layouts.get(vtable) or self._layout(vtable)
        if start + extent > self.size:
            raise Fault(f"a table at byte {start} does not fit into the file")
        return Table(start, fields)

    def _layout(self, vtable: int) -> tuple[int, tuple[int, ...]]:
        """The size of tables of one layout, and the places of their fields; many tables share a layout."""
        if vtable < 0:
            raise Fault("a table has no layout")
        length, extent = self.u16(self.content, vtable)[0], self.u16(self.content, vtable + 2)[0]
        if length < 4 or length % 2 or extent < 4 or vtable + length > self.size:
            raise Fault(f"the layout of a table at byte {vtable} does not fit into the file")
        fields = struct.unpack_from(f"<{length // 2 - 2}H", self.content, vtable + 4)
        if fields and max(fields) >= extent:
            raise Fault(f"a table at byte {vtable} has a field behind its end")
        self._layouts[vtable] = layout = (extent, fields + (0,) * (_MAX_FIELDS - len(fields)))
        return layout

    def vector(self, table: Table, number: int, width: int) -> tuple[int, int]:
        """The start and the number of elements of a vector, each of `width` bytes."""
        offset = table.fields[number]  # read here and not by `at`: large files have a million vectors
        if not offset:
            return 0, 0
        position = table.start + offset
        start = position + self.u32(self.content, position)[0]
        count = self.u32(self.content, start)[0]
        if start + 4 + count * width > self.size:
            raise Fault(f"a list of {count} elements at byte {start} does not fit into the file")
        return start + 4, count

    def tables(self, table: Table, number: int) -> Iterator[Table]:
        start, count = self.vector(table, number, 4)
        for position, offset in zip(
            range(start, start + 4 * count, 4), struct.unpack_from(f"<{count}I", self.content, start), strict=True
        ):
            yield self.table(position + offset)

    def integers(self, table: Table, number: int) -> tuple[int, ...]:
        start, count = self.vector(table, number, 4)
        if not count:
            return ()
        if count not in self._lists:
            self._lists[count] = struct.Struct(f"<{count}i").unpack_from
        return self._lists[count](self.content, start)

    def name(self, table: Table, number: int) -> str:
        start, count = self.vector(table, number, 1)
        if count > _MAX_NAMES or (start and (start + count >= self.size or self.content[start + count] != 0)):
            raise Fault("a name is too long or has no end")
        return self.content[start : start + count].decode("utf-8", "replace")

    def number(self, table: Table, number: int, read: Callable[..., tuple[int]] | None = None) -> int:
        position = table.at(number)
        return (read or self.u32)(self.content, position)[0] if position else 0

    def whole(self, table: Table, number: int, allowed: range, what: str) -> None:
        value = self.number(table, number)
        if value not in allowed:
            raise Fault(f"its {what} is {value}, expected {allowed[0]}")

    def index(self, index: int, count: int, what: str) -> int:
        if not 0 <= index < count:
            raise Fault(f"{what} has the number {index}, expected one of {count}")
        return index
