from __future__ import annotations

import numpy as np

from textapp.runners import filled_up, groups


def test_a_group_holds_examples_of_one_signature_the_longest_first():
    signatures = [("classify_4", 4), ("classify_8", 8), ("classify_4", 4), ("classify_4", 4)]
    assert groups(signatures, 2) == [("classify_8", 8, [1]), ("classify_4", 4, [0, 2]), ("classify_4", 4, [3])]


def test_examples_of_like_size_come_together():
    signatures = [("generate_8_12", 8)] * 5
    assert groups(signatures, 2, [3, 8, 3, 7, 5]) == [
        ("generate_8_12", 8, [1, 3]), ("generate_8_12", 8, [4, 0]), ("generate_8_12", 8, [2])
    ]  # fmt: skip


def test_missing_rows_are_filled_up_with_the_last():
    features = {"token_ids": np.array([[1, 2], [5, 6]], np.int32), "num_tokens": np.array([1, 2], np.int32)}
    filled = filled_up(features, 4)
    assert filled["token_ids"].tolist() == [[1, 2], [5, 6], [5, 6], [5, 6]]
    assert filled["num_tokens"].tolist() == [1, 2, 2, 2] and filled["num_tokens"].dtype == np.int32
    assert filled_up(features, 2) == features
