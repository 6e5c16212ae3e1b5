from __future__ import annotations

import numpy as np

from textapp.arrays import filled_up, padded, spread, truncated_and_padded


def test_padded():
    rows = padded([[5], [6, 7], []], 3, 1)
    assert rows.tolist() == [[5, 1, 1], [6, 7, 1], [1, 1, 1]] and rows.dtype == np.int32


def test_truncated_and_padded():
    rows = truncated_and_padded([[5, 6], np.array([7, 8, 9]), []], 2, 1)
    assert rows.tolist() == [[5, 6], [7, 8], [1, 1]] and rows.dtype == np.int32
    assert truncated_and_padded([], 2, 1).shape == (0, 2)


def test_missing_rows_are_filled_up_with_the_last():
    features = {"token_ids": np.array([[1, 2], [5, 6]], np.int32), "num_tokens": np.array([1, 2], np.int32)}
    filled = filled_up(features, 4)
    assert filled["token_ids"].tolist() == [[1, 2], [5, 6], [5, 6], [5, 6]]
    assert filled["num_tokens"].tolist() == [1, 2, 2, 2] and filled["num_tokens"].dtype == np.int32
    assert filled_up(features, 2) == features


def test_spread_takes_items_at_even_distances():
    assert spread([0, 1, 2, 3, 4, 5], 3) == [0, 2, 4]
    assert spread(range(7), 3) == [0, 2, 4]
    assert spread("ab", 3) == ["a", "b"]
    assert spread([0, 1], 0) == spread([], 3) == []
