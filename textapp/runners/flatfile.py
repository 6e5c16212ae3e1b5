"""Checks a .tflite file before an interpreter opens it: all its offsets, indices, sizes and types lie in range.

The interpreter trusts a file, so that one wrong number can end the process. Only what leads somewhere is read: tables,
indices and shapes, never the weights. The field numbers are those of TensorFlow Lite's schema.fbs.

Most of the time goes into graphs, of which a language model has many, so a copy of the file can be made that has the
graphs of one signature alone.
"""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import NamedTuple

from textapp.errors import ArtifactError
from textapp.runners.flatbuffer import Fault, Flatbuffer, Table

MAX_TENSOR_BYTES = 1 << 31
MAX_RANK = 8
# Bits of an element by TensorType; 0: strings, resources and variants, whose size is not that of the shape.
_BITS = {
    0: 32, 1: 16, 2: 32, 3: 8, 4: 64, 5: 0, 6: 8, 7: 16, 8: 64, 9: 8, 10: 64, 11: 128, 12: 64, 13: 0, 14: 0, 15: 32,
    16: 16, 17: 4, 18: 16, 19: 2,
}  # fmt: skip
# Operators whose inputs may be missing (-1), from the third on; of an LSTM from the second on.
_BUILTINS_WITH_OPTIONAL_INPUTS = {3: 2, 4: 2, 9: 2, 67: 2, 132: 2, 16: 1, 27: 1, 35: 1, 44: 1, 46: 1, 52: 1}
_FULLY_CONNECTED = 9
_IF, _WHILE, _CALL_ONCE = 118, 119, 129
_FLOAT16, _INT4 = 1, 17
_BLOCKWISE = 2  # the kind of a quantization with a scale for each block of a row, which another tensor holds
_CUSTOM = 32
# Operators with two or one numbers of subgraphs in their options.
_GRAPHS_IN_OPTIONS = {_IF: 2, _WHILE: 2, _CALL_ONCE: 1}
_STABLEHLO = range(163, 208)  # may hold subgraphs too; no converter of textapp writes them

Shapes = dict[str, tuple[int, ...]]


class SignatureShapes(NamedTuple):
    """The shapes of a signature of a .tflite file.

    Attributes:
        inputs, outputs: name -> shape.
    """

    inputs: Shapes
    outputs: Shapes


def check_flatfile(path: str | Path, graphs: bool = True) -> dict[str, SignatureShapes]:
    """Checks a .tflite file, and returns the shapes of its signatures by name.

    Args:
        path: the file.
        graphs: whether its graphs are checked, too, as they have to be before anything runs them.

    Raises:
        ArtifactError: it is missing or damaged.

    Example: `check_flatfile("model.tflite")["classify_16"].inputs == {"token_ids": (1, 16)}`.
    """
    with _opened(path) as (_, content):
        checker = _Checker(content)
        if graphs:
            checker.check()
        return checker.signatures()


def copy_of_one(path: str | Path, signature: str, worth: int) -> int | None:
    """Copies a file into memory, with the graphs of one signature, which are checked; all others are empty in it.

    Args:
        path: the file.
        signature: one of its signatures.
        worth: the number of operators that the copy has to be without.

    Returns:
        the descriptor of the copy, which the caller closes; None: it would have most of the operators, or this system
        has no files in memory.

    Raises:
        ArtifactError: the file is missing or damaged.
    """
    with _opened(path) as (file, content):
        if _Checker(content).operators_beside(signature) < worth:
            return None
        empty = -(-len(content) // 8) * 8
        copy = _copy(file, empty + len(_EMPTY_GRAPH))
        if copy is None:
            return None
        try:
            with mmap.mmap(copy, 0) as copied:
                copied[empty:] = _EMPTY_GRAPH
                checker = _Checker(copied)
                checker.keep(signature, checker.check(signature), empty + _EMPTY_GRAPH_TABLE)
        except BaseException:
            os.close(copy)
            raise
        return copy


def _copy(file: int, size: int) -> int | None:
    """The descriptor of a copy of a file in memory, with zeros up to a size; None: the system has none, or no room."""
    try:
        copy = os.memfd_create("model.tflite")
    except (AttributeError, OSError):
        return None
    try:
        while os.sendfile(copy, file, None, size):
            pass
        os.ftruncate(copy, size)
    except OSError:
        os.close(copy)
        return None
    return copy


@contextmanager
def _opened(path: str | Path) -> Iterator[tuple[int, mmap.mmap]]:
    """The descriptor and the content of a file; turns what is wrong with it into an ArtifactError."""
    try:
        with Path(path).open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            yield file.fileno(), content
    except OSError as error:
        found = "no such file" if isinstance(error, FileNotFoundError) else f"cannot be read ({error.strerror})"
        raise ArtifactError(f"{path}: {found}; expected a .tflite file") from error
    except (Fault, struct.error, ValueError, IndexError, OverflowError) as error:
        reason = str(error) if isinstance(error, Fault) else f"it is cut off or no .tflite file ({error})"
        raise ArtifactError(f"{path}: the file is damaged: {reason}: copy it again, or export it anew") from error


class _Tensor(NamedTuple):
    shape: tuple[int, ...]
    kind: int
    constant: bool
    variable: bool
    in_blocks: bool


# A layout of four fields; a table of that layout, whose tensors, inputs, outputs and operators are one empty list.
_EMPTY_GRAPH_TABLE = 12
_EMPTY_GRAPH = struct.pack("<6H i4I I", 12, 20, 4, 8, 12, 16, 12, 16, 12, 8, 4, 0)


class _Checker(Flatbuffer):
    """Walks through one file, and checks what all its graphs refer to.

    Args:
        content: the whole file.
    """

    def __init__(self, content: mmap.mmap) -> None:
        super().__init__(content)
        if self.size < 8 or self.content[4:8] != b"TFL3":
            raise Fault("it does not begin as a .tflite file does")
        self._model = model = self.table(self.u32(content, 0)[0])
        self.whole(model, 0, range(3, 4), "version")
        self._codes = [self._code(table) for table in self.tables(model, 1)]
        self._sizes = [self._buffer_size(table) for table in self.tables(model, 4)]
        for table in self.tables(model, 6):
            self.name(table, 0)
            self.index(self.number(table, 1), len(self._sizes), "a buffer of metadata")
        self._graphs = list(self.tables(model, 2))
        if not self._graphs:
            raise Fault("it has no graph")

    def signatures(self) -> dict[str, SignatureShapes]:
        return dict(self._signature(table) for table in self.tables(self._model, 7))

    def check(self, signature: str | None = None) -> set[int]:
        """Checks the graphs of a signature, or all; returns their numbers."""
        waiting = set(range(len(self._graphs))) if signature is None else {self._first_graph(signature)}
        called: dict[int, set[int]] = {}
        while waiting:
            number = waiting.pop()
            called[number] = self._graph(self._graphs[number])
            waiting |= called[number] - called.keys()
        graphs = set(called)
        _check_calls(called)
        return graphs

    def operators_beside(self, signature: str) -> int:
        """The number of operators in graphs that a signature does not run."""
        kept: set[int] = set()
        waiting = {self._first_graph(signature)}
        while waiting:
            number = waiting.pop()
            kept.add(number)
            for operator in self.tables(self._graphs[number], 3):
                waiting |= self._options(operator, self._code_of(operator)) - kept
        return sum(self.vector(table, 3, 4)[1] for number, table in enumerate(self._graphs) if number not in kept)

    def keep(self, signature: str, graphs: set[int], empty: int) -> None:
        """Leaves one signature in the file, and another graph in the place of those that it does not run.

        Args:
            signature: the one that stays.
            graphs: those that it runs, which keep their numbers.
            empty: where the table of the other graph is, behind the model.
        """
        model, offset = self._model, struct.Struct("<I")
        first, count = self.vector(model, 2, 4)
        for number in set(range(count)) - graphs:
            offset.pack_into(self.content, first + 4 * number, empty - (first + 4 * number))
        first, _ = self.vector(model, 7, 4)
        offset.pack_into(self.content, first, self._signature_table(signature).start - first)
        offset.pack_into(self.content, first - 4, 1)

    def _signature_table(self, signature: str) -> Table:
        return next(table for table in self.tables(self._model, 7) if self.name(table, 2) == signature)

    def _first_graph(self, signature: str) -> int:
        return self._graph_number(self._signature_table(signature), signature)

    def _graph_number(self, table: Table, signature: str) -> int:
        return self.index(self.number(table, 4), len(self._graphs), f"the graph of the signature {signature!r}")

    def _code(self, table: Table) -> int:
        old, new = table.at(0), self.number(table, 3, self.i32)
        self.name(table, 1)
        code = max(self.content[old] if old else 0, new)
        if code in _STABLEHLO:
            raise Fault(f"it has the operator {code}, which textapp does not export")
        return code

    def _buffer_size(self, table: Table) -> int:
        """The bytes of a buffer, inside of the flatbuffer or behind it."""
        start, size = self.number(table, 1, self.u64), self.number(table, 2, self.u64)
        if start > 1:
            if start + size > self.size:
                raise Fault(f"a buffer ends at byte {start + size}, behind the end of the file at {self.size}")
            return size
        return self.vector(table, 0, 1)[1]

    # --- graphs ------------------------------------------------------------------------------------------------------

    def _graph(self, table: Table) -> set[int]:
        """Checks a graph; returns those that it calls."""
        tables = list(self.tables(table, 0))
        tensors = [self._tensor(each) for each in tables]
        inputs, outputs = self.integers(table, 1), self.integers(table, 2)
        for index in (*inputs, *outputs):
            self.index(index, len(tensors), "an input or an output of a graph")
        ready = [tensor.constant or tensor.variable for tensor in tensors]
        for each, tensor in zip(tables, tensors, strict=True):
            if tensor.in_blocks:
                self._blocks(each, tensor, tensors)
        for index in inputs:
            if tensors[index].constant:
                raise Fault(f"the constant tensor {index} is the input of a graph")
            ready[index] = True
        called: set[int] = set()
        for operator in self.tables(table, 3):
            called |= self._operator(operator, tensors, ready)
        for index in outputs:
            if not ready[index]:
                raise Fault(f"tensor {index} is the output of a graph, but no operator computes it")
        self.name(table, 4)
        for each in tables:
            self.name(each, 3)
        return called

    def _tensor(self, table: Table) -> _Tensor:
        shape = self.integers(table, 0)
        position = table.at(1)
        kind = self.content[position] if position else 0
        if len(shape) > MAX_RANK or min(shape, default=0) < 0:
            raise Fault(f"a tensor has the shape {list(shape[: MAX_RANK + 1])}, expected {MAX_RANK} sizes from 0")
        if kind not in _BITS:
            raise Fault(f"a tensor has the unknown type {kind}")
        need = -(-prod(shape) * _BITS[kind] // 8)
        if need > MAX_TENSOR_BYTES:
            raise Fault(f"a tensor of the shape {list(shape)} takes {need >> 20} MB, expected at most 2048 MB")
        open_shape = self.integers(table, 7)
        if open_shape and (len(open_shape) != len(shape) or min(open_shape) < -1):
            raise Fault(f"a tensor of the shape {list(shape)} has the signature {list(open_shape)}")
        have = self._sizes[self.index(self.number(table, 2), len(self._sizes), "the buffer of a tensor")]
        sparse, variable = table.at(6), table.at(5)
        if sparse:
            raise Fault("a tensor is sparse, which textapp does not export")
        if have and _BITS[kind] and have != need:
            raise Fault(f"a tensor of the shape {list(shape)} has {have} bytes, expected {need}")
        if have and not _BITS[kind]:
            raise Fault("a constant holds strings or resources, which textapp does not export")
        if table.at(9):
            raise Fault("a tensor is a variant, which textapp does not export")
        in_blocks = self._quantization(table, shape)
        constant = have > 0 or (need == 0 and bool(_BITS[kind]))
        return _Tensor(shape, kind, constant, bool(variable and self.content[variable]), in_blocks)

    def _quantization(self, table: Table, shape: tuple[int, ...]) -> bool:
        """Checks the scales of a tensor; returns whether it is quantized in blocks, whose scales `_blocks` checks."""
        position = table.at(4)
        if not position:
            return False
        quantization = self.table(position + self.u32(self.content, position)[0])
        scales, zeros = self.vector(quantization, 2, 4)[1], self.vector(quantization, 3, 8)[1]
        details, axis = quantization.at(4), self.number(quantization, 6, self.i32)
        if details and self.content[details]:
            if self.content[details] != _BLOCKWISE or scales or zeros:
                raise Fault("a tensor has a custom quantization, which textapp does not export")
            return True
        if scales not in (0, 1) and (not 0 <= axis < len(shape) or shape[axis] != scales):
            raise Fault(f"a tensor of the shape {list(shape)} has {scales} scales along axis {axis}")
        if zeros not in (0, 1, scales):
            raise Fault(f"a tensor has {scales} scales and {zeros} zero points")
        return False

    def _blocks(self, table: Table, tensor: _Tensor, tensors: list[_Tensor]) -> None:
        """Checks the scales of a kernel that is quantized in blocks."""
        position = table.at(4)
        quantization = self.table(position + self.u32(self.content, position)[0])
        position = quantization.at(5)
        if not position:
            raise Fault("a tensor is quantized in blocks of no size")
        blocks = self.table(position + self.u32(self.content, position)[0])
        size = self.number(blocks, 2, self.i32)
        kernel = tensor.kind == _INT4 and tensor.constant and len(tensor.shape) == 2
        if not kernel or self.number(blocks, 1, self.i32) != -1:
            raise Fault("a tensor in blocks is no kernel of int4, or has zero points, which textapp does not export")
        outputs, inputs = tensor.shape
        if size <= 0 or inputs % size:
            raise Fault(f"a tensor of the shape {list(tensor.shape)} has blocks of {size}")
        scales = tensors[self.index(self.number(blocks, 0, self.i32), len(tensors), "the scales of a tensor")]
        if scales.kind != _FLOAT16 or not scales.constant or scales.shape != (outputs, inputs // size):
            raise Fault(
                f"a tensor of the shape {list(tensor.shape)} in blocks of {size} has scales of the shape "
                f"{list(scales.shape)}, or of no float16"
            )

    def _code_of(self, operator: Table) -> int:
        return self._codes[self.index(self.number(operator, 0), len(self._codes), "the code of an operator")]

    def _operator(self, table: Table, tensors: list[_Tensor], ready: list[bool]) -> set[int]:
        """Checks one operator, marks its outputs as computed, and returns the graphs that it calls."""
        code = self._code_of(table)
        inputs, outputs, between = self.integers(table, 1), self.integers(table, 2), self.integers(table, 8)
        optional = _BUILTINS_WITH_OPTIONAL_INPUTS.get(code, len(inputs))
        count = len(tensors)
        for place, index in enumerate(inputs):
            if index == -1 and place >= optional:
                continue
            if not 0 <= index < count:
                self.index(index, count, "an input of an operator")
            if not ready[index]:
                raise Fault(f"an operator reads tensor {index} before it is computed")
            if tensors[index].in_blocks and (code, place) != (_FULLY_CONNECTED, 1):
                raise Fault(f"tensor {index} is in blocks, and an operator reads it that is no matrix product")
        for index in outputs:
            tensor = tensors[self.index(index, count, "an output of an operator")]
            if tensor.constant and 0 not in tensor.shape:
                raise Fault(f"an operator writes tensor {index}, which is constant")
            ready[index] = True
        for index in between:
            if index != -1:
                self.index(index, count, "a tensor of an operator")
        self.vector(table, 5, 1)
        if table.at(9) or table.at(12):
            raise Fault("an operator has options outside of the flatbuffer, which textapp does not export")
        return self._options(table, code)

    def _options(self, table: Table, code: int) -> set[int]:
        """The graphs that an operator calls."""
        kind, position = table.at(3), table.at(4)
        if not position:
            if code in _GRAPHS_IN_OPTIONS:
                raise Fault("an operator that calls graphs does not name them")
            return set()
        options = self.table(position + self.u32(self.content, position)[0])
        if code not in _GRAPHS_IN_OPTIONS:
            return set()
        if not kind:
            raise Fault("an operator has options without a type")
        numbers = [self.number(options, number, self.i32) for number in range(_GRAPHS_IN_OPTIONS[code])]
        return {self.index(number, len(self._graphs), "a graph that an operator calls") for number in numbers}

    def _signature(self, table: Table) -> tuple[str, SignatureShapes]:
        name = self.name(table, 2)
        graph = self._graphs[self._graph_number(table, name)]
        inputs, outputs = self._sides(table, graph, 0), self._sides(table, graph, 1)
        count = self.vector(graph, 1, 4)[1]
        if len(inputs) != count:
            raise Fault(f"the signature {name!r} names {len(inputs)} inputs of {count}")
        return name, SignatureShapes(inputs, outputs)

    def _sides(self, table: Table, graph: Table, number: int) -> Shapes:
        """The shapes of the inputs, 0, or the outputs, 1, of a signature."""
        members, shapes = self.integers(graph, number + 1), {}
        start, count = self.vector(graph, 0, 4)
        for each in self.tables(table, number):
            name, index = self.name(each, 0), self.number(each, 1)
            if index not in members:
                raise Fault(f"the signature's tensor {name!r} is number {index}, which its graph does not list")
            position = start + 4 * self.index(index, count, "an input or an output of a graph")
            shapes[name] = self._tensor(self.table(position + self.u32(self.content, position)[0])).shape
        return shapes


def _check_calls(waiting: dict[int, set[int]]) -> None:
    """Checks that no graph calls itself, also by way of others: that would never end.

    Args:
        waiting: the graphs that each calls.
    """
    while waiting:
        done = [number for number, called in waiting.items() if not called & waiting.keys()]
        if not done:
            raise Fault("a graph calls itself")
        for number in done:
            del waiting[number]
