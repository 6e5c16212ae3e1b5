from __future__ import annotations

import numpy as np

from textapp.predictors.requests import Request, groups, stacked


def requests(lengths: list[int], counts: list[int]) -> list[Request]:
    """Requests of signatures that read so many tokens, with so many tokens each."""
    return [
        Request(f"classify_{length}", length, {"token_ids": [7] * count})
        for length, count in zip(lengths, counts, strict=True)
    ]


def test_a_group_holds_requests_of_one_signature_the_longest_first():
    assert groups(requests([4, 8, 4, 4], [3, 8, 4, 1]), 2) == [[1], [0, 2], [3]]


def test_requests_of_like_length_come_together():
    assert groups(requests([8] * 5, [3, 8, 3, 7, 5]), 2, by_length=True) == [[1, 3], [4, 0], [2]]


def test_features_of_rows_become_the_arrays_of_a_call():
    rows = [
        {"token_ids": [5], "segment_ids": [1], "num_tokens": 1},
        {"token_ids": [6, 7], "segment_ids": [0, 1], "num_tokens": 2},
    ]
    found = stacked(rows, 3, pad_id=9)
    assert {name: values.tolist() for name, values in found.items()} == {
        "token_ids": [[5, 9, 9], [6, 7, 9]], "segment_ids": [[1, 0, 0], [0, 1, 0]], "num_tokens": [1, 2]
    }  # fmt: skip
    assert {values.dtype for values in found.values()} == {np.dtype(np.int32)}
