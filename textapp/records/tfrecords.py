"""TFRecord files of token ids, written and read without TensorFlow: each record is a `tf.train.Example` of integers.

A record is its length in 8 bytes, the masked CRC-32C of these, the content, and the masked CRC-32C of that. Checksums
and integers are computed for many records at once, in NumPy.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache, lru_cache
from itertools import chain, repeat

import numpy as np

HEAD, TAIL = 12, 4  # bytes before and after the content of a record
_BYTES, _FEATURE, _INTEGERS = b"\x0a", b"\x12", b"\x1a"  # tags: field 1, 2, 3, each of a length and bytes
_MASK = np.uint32(0xA282EAD8)


def frames(contents: Sequence[bytes]) -> tuple[bytes, np.ndarray]:
    """Records with their lengths and checksums, as they are in a file.

    Args:
        contents: of the records.

    Returns:
        The bytes, and the place of each content in them, int64 `[records]`.
    """
    sizes = np.fromiter(map(len, contents), np.int64, len(contents))
    if not len(sizes):
        return b"", sizes
    places = np.cumsum(sizes + HEAD + TAIL) - sizes - TAIL
    data = bytearray(bytes(HEAD + TAIL).join([b"", *contents, b""])[TAIL:-HEAD])
    lengths = sizes.astype("<u8")
    _put(data, places - HEAD, lengths)
    of_lengths = masked_crcs(lengths.tobytes(), np.arange(len(sizes)) * 8, np.full(len(sizes), 8))
    _put(data, places - TAIL, of_lengths.astype("<u4"))
    _put(data, places + sizes, masked_crcs(data, places, sizes).astype("<u4"))
    return bytes(data), places


def _put(data: bytearray, places: np.ndarray, numbers: np.ndarray) -> None:
    """Writes each number at its place."""
    size = numbers.itemsize
    np.frombuffer(data, np.uint8)[places[:, None] + np.arange(size)] = numbers.view(np.uint8).reshape(-1, size)


def masked_crcs(data: bytes | bytearray, starts: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """The masked CRC-32C of parts of some bytes, as TFRecord files have it.

    Args:
        data: all bytes.
        starts, sizes: int64 `[parts]`.

    Returns:
        uint32 `[parts]`.
    """
    table, flat = _table(), np.frombuffer(data, np.uint8)
    order = np.argsort(-sizes, kind="stable")  # the parts that have a byte at some place are the first ones
    places, states = starts[order], np.full(len(sizes), 0xFFFFFFFF, np.uint32)
    remaining = np.bincount(sizes, minlength=1)[::-1].cumsum()[::-1] if len(sizes) else np.zeros(1, np.int64)
    for index in range(len(remaining) - 1):
        active = remaining[index + 1]  # parts of more than `index` bytes
        state = states[:active]
        states[:active] = table[(state ^ flat[places[:active] + index]) & 0xFF] ^ (state >> np.uint32(8))
    crcs = np.empty_like(states)
    crcs[order] = states ^ np.uint32(0xFFFFFFFF)
    return ((crcs >> np.uint32(15)) | (crcs << np.uint32(17))) + _MASK


@cache
def _table() -> np.ndarray:
    """The CRC-32C (Castagnoli) of each byte, uint32 `[256]`."""
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = np.where(table & 1, (table >> np.uint32(1)) ^ np.uint32(0x82F63B78), table >> np.uint32(1))
    return table


# --- tf.train.Example ----------------------------------------------------------------------------------------------


def examples(features: Mapping[str, Sequence[Sequence[int]]]) -> list[bytes]:
    """Rows of integers as `tf.train.Example`, each feature an `int64_list`.

    Args:
        features: name -> rows of integers from 0 to 2**31 - 1, as many for each name.

    Example: `examples({"token_ids": [[5, 300]]})` is one record, which `tf.io.parse_example` reads.
    """
    names, columns = tuple(features), [_packed(rows) for rows in features.values()]
    heads = zip(*map(_heads, repeat(names), *(map(len, column) for column in columns)), strict=True)
    parts = chain.from_iterable(zip(heads, columns, strict=True))
    return list(map(b"".join, zip(*parts, strict=True)))


def integers(content: bytes) -> dict[str, np.ndarray]:
    """The features of a record that `examples` wrote, int32 each.

    Raises:
        ValueError, IndexError: it is none.
    """
    found = {}
    for _, features in _fields(content):
        for _, entry in _fields(features):
            (_, name), (_, feature) = _fields(entry)
            ((_, values),) = _fields(feature)
            ((_, row),) = _fields(values)
            found[name.decode()] = _unpacked(row)
    return found


def last_integers(data: bytes, places: np.ndarray, sizes: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """The integers of the last feature of records that `examples` wrote, those of all records at once.

    Args:
        data: of a file.
        places, sizes: of the contents of the records in it, int64 `[records]`.
        counts: how many integers the feature has in each, `[records]`.

    Returns:
        int32, one record after the other.
    """
    counts = counts.astype(np.int64)
    content = np.frombuffer(data, np.uint8)[_ranges(places, sizes)]
    lasts = np.flatnonzero(content < 0x80)  # of each integer the last byte; those of names and sizes are before them
    ends = np.searchsorted(lasts, np.cumsum(sizes))
    numbers = _ranges(ends - counts, counts)
    starts, lengths = lasts[numbers - 1] + 1, lasts[numbers] - lasts[numbers - 1]
    values = np.zeros(len(numbers), np.int64)
    for index in range(int(lengths.max(initial=0))):
        having = np.flatnonzero(lengths > index)
        values[having] |= (content[starts[having] + index] & 0x7F).astype(np.int64) << 7 * index
    return values.astype(np.int32)


def _ranges(begins: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """The numbers of ranges, one after the other: `_ranges([5, 9], [2, 3])` is `[5, 6, 9, 10, 11]`."""
    return np.repeat(begins - np.cumsum(counts) + counts, counts) + np.arange(counts.sum())


@lru_cache(1 << 16)
def _heads(names: tuple[str, ...], *sizes: int) -> tuple[bytes, ...]:
    """What is before the packed integers of each feature, which depends on their sizes alone; first the record's."""
    heads = [_head(name, size) for name, size in zip(names, sizes, strict=True)]
    whole = sum(map(len, heads)) + sum(sizes)
    return (_message(_BYTES, bytes(whole))[:-whole] + heads[0], *heads[1:])


@lru_cache(1 << 14)
def _head(name: str, size: int) -> bytes:
    """What is before the packed integers of a feature."""
    values = _message(_INTEGERS, _message(_BYTES, bytes(size)))
    entry = _message(_BYTES, _message(_BYTES, name.encode()) + _message(_FEATURE, values))
    return entry[: len(entry) - size]


def _message(tag: bytes, content: bytes) -> bytes:
    return tag + _varint(len(content)) + content


@lru_cache(4096)
def _varint(number: int) -> bytes:
    parts = bytearray()
    while number > 0x7F:
        parts.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*parts, number])


def _fields(content: bytes) -> Iterator[tuple[int, bytes]]:
    """The fields of a message, all of a length and bytes: their tags and contents."""
    place = 0
    while place < len(content):
        tag, size, shift, place = content[place], 0, 0, place + 1
        while True:
            byte = content[place]
            size, shift, place = size | (byte & 0x7F) << shift, shift + 7, place + 1
            if byte < 0x80:
                break
        if tag & 7 != 2 or place + size > len(content):
            raise ValueError("not a record of integers")
        yield tag, content[place : place + size]
        place += size


def _packed(rows: Sequence[Sequence[int]]) -> list[bytes]:
    """The integers of each row, as protocol buffers pack them: seven bits a byte, the lowest first."""
    counts = np.fromiter(map(len, rows), np.int64, len(rows))
    values = np.fromiter(chain.from_iterable(rows), np.int64, counts.sum())
    sizes = 1 + sum((values >> bits > 0).astype(np.int64) for bits in (7, 14, 21, 28))
    ends = np.cumsum(sizes)
    packed = np.zeros(ends[-1] if len(ends) else 0, np.uint8)
    for index in range(int(sizes.max(initial=0))):
        having = np.flatnonzero(sizes > index)
        more = np.where(sizes[having] > index + 1, 0x80, 0)
        packed[ends[having] - sizes[having] + index] = values[having] >> 7 * index & 0x7F | more
    data = packed.tobytes()
    cuts = np.concatenate([[0], ends])[np.concatenate([[0], np.cumsum(counts)])].tolist()
    return [data[start:end] for start, end in zip(cuts[:-1], cuts[1:], strict=True)]


def _unpacked(data: bytes) -> np.ndarray:
    packed = np.frombuffer(data, np.uint8).astype(np.int64)
    if not len(packed):
        return np.zeros(0, np.int32)
    starts = np.flatnonzero(np.concatenate([[True], packed[:-1] < 0x80]))
    shifts = 7 * (np.arange(len(packed)) - np.repeat(starts, np.diff([*starts, len(packed)])))
    return np.add.reduceat((packed & 0x7F) << shifts, starts).astype(np.int32)
