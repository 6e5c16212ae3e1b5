from __future__ import annotations

import numpy as np
import pytest

from textapp.layers import FirstPooling, LastPooling, MaxPooling, MeanPooling, ScaledSumPooling

SEQUENCE = np.array([[[2.0, 1.0], [4.0, 0.5], [9.0, 7.0]]], np.float32)
MASK = np.array([[1.0, 1.0, 0.0]], np.float32)


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (MeanPooling(), [3.0, 0.75]),
        (ScaledSumPooling(), [6 / 2**0.5, 1.5 / 2**0.5]),
        (MaxPooling(), [4.0, 1.0]),
        (FirstPooling(), [2.0, 1.0]),
        (LastPooling(), [4.0, 0.5]),
        (LastPooling(bidirectional=True), [4.0, 1.0]),
    ],
    ids=["mean", "scaled_sum", "max", "first", "last", "last_both"],
)
def test_pooling(layer, expected):
    np.testing.assert_allclose(layer(SEQUENCE, MASK), [expected], rtol=1e-6)


@pytest.mark.parametrize("layer", [MeanPooling(), ScaledSumPooling(), MaxPooling()])
def test_padding_alone_gives_zeros(layer):
    np.testing.assert_array_equal(layer(SEQUENCE, np.zeros_like(MASK)), [[0.0, 0.0]])
