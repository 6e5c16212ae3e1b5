from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from textapp.layers.cache import grows, written

EMPTY = {"cache_0_key": tf.zeros((2, 1, 5, 1)), "cache_0_state": tf.zeros((2, 3))}
ROWS = tf.reshape([1.0, 2.0], (2, 1, 1, 1))


@pytest.mark.parametrize(
    ("position", "expected"),
    [
        ([2], [[0, 0, 1, 0, 0], [0, 0, 2, 0, 0]]),
        ([0, 3], [[1, 0, 0, 0, 0], [0, 0, 0, 2, 0]]),
        ([1, 5], [[0, 1, 0, 0, 0], [0, 0, 0, 0, 0]]),  # what finds no room is left out
    ],
)
def test_rows_are_put_at_each_texts_position(position, expected):
    found = written(EMPTY, {"cache_0_key": ROWS}, tf.constant(position))
    assert set(found) == {"cache_0_key"}
    np.testing.assert_array_equal(found["cache_0_key"][:, 0, :, 0], expected)


def test_a_state_is_replaced_and_a_memory_stays():
    state = tf.ones((2, 3))
    assert written(EMPTY, {"cache_0_state": state}, tf.constant([4]))["cache_0_state"] is state
    assert grows("cache_0_key", EMPTY["cache_0_key"])
    assert not grows("cache_0_state", EMPTY["cache_0_state"])
    assert not grows("cache_0_memory_key", EMPTY["cache_0_key"])
