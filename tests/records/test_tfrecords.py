"""TFRecord files of integers without TensorFlow."""

from __future__ import annotations

import numpy as np
import pytest

from textapp.records.tfrecords import examples, frames, integers, last_integers, masked_crcs

EDGES = [0, 1, 127, 128, 16383, 16384, 2097151, 2097152, 268435456, 2**31 - 1]


def test_the_checksum_of_the_standard_s_example() -> None:
    """CRC-32C of `123456789` is 0xE3069283 (RFC 3720); TFRecord rotates it and adds a constant."""
    (found,) = masked_crcs(b"--123456789", np.array([2]), np.array([9]))
    rotated = (0xE3069283 >> 15 | 0xE3069283 << 17) & 0xFFFFFFFF
    assert found == (rotated + 0xA282EAD8) & 0xFFFFFFFF


def test_parts_of_different_sizes_have_their_own_checksums() -> None:
    data = bytes(range(200))
    starts, sizes = np.array([5, 0, 20, 100]), np.array([7, 0, 60, 7])
    alone = [
        masked_crcs(data[start : start + size], np.zeros(1, int), np.array([size]))[0]
        for start, size in zip(starts, sizes, strict=True)
    ]
    assert masked_crcs(data, starts, sizes).tolist() == alone


def test_an_example_is_that_of_the_format() -> None:
    """`features { feature { key: "a" value { int64_list { value: [5, 300] } } } }`."""
    assert examples({"a": [[5, 300]]}) == [bytes.fromhex("0a0e0a0c0a0161120 71a05 0a03 05ac02".replace(" ", ""))]


def test_integers_come_back() -> None:
    rows = [EDGES, [], [7], list(range(300))]
    contents = examples({"token_ids": rows, "labels": [[1], [0], [2, 3], []]})
    assert [integers(content)["token_ids"].tolist() for content in contents] == rows
    assert [integers(content)["labels"].tolist() for content in contents] == [[1], [0], [2, 3], []]


def test_the_places_of_records() -> None:
    contents = examples({"a": [[1], EDGES, [2, 3]]})
    data, places = frames(contents)
    assert [data[place : place + len(content)] for place, content in zip(places, contents, strict=True)] == contents
    assert len(data) == sum(map(len, contents)) + 16 * len(contents)


def test_bytes_of_another_kind() -> None:
    with pytest.raises(ValueError, match="not a record of integers"):
        integers(b"\x09abcdefgh")


def test_the_last_feature_of_many_records_is_read_at_once() -> None:
    rows = [EDGES, [], [7], list(range(300)), []]
    contents = examples({"a": [[1], [], [2, 300], [], [5]], "token_ids": rows})
    data, places = frames(contents)
    sizes, counts = (np.array([*map(len, each)]) for each in (contents, rows))
    assert last_integers(data, places, sizes, counts).tolist() == [number for row in rows for number in row]
    assert last_integers(b"", *[np.zeros(0, np.int64)] * 3).tolist() == []
