from __future__ import annotations

from textapp.runners import groups


def test_a_group_holds_examples_of_one_signature_the_longest_first():
    signatures = [("classify_4", 4), ("classify_8", 8), ("classify_4", 4), ("classify_4", 4)]
    assert groups(signatures, 2) == [("classify_8", 8, [1]), ("classify_4", 4, [0, 2]), ("classify_4", 4, [3])]


def test_examples_of_like_size_come_together():
    signatures = [("generate_8_12", 8)] * 5
    assert groups(signatures, 2, [3, 8, 3, 7, 5]) == [
        ("generate_8_12", 8, [1, 3]), ("generate_8_12", 8, [4, 0]), ("generate_8_12", 8, [2])
    ]  # fmt: skip
