from __future__ import annotations

import keras
import numpy as np
import pytest

from textapp.layers import Lstm

LENGTHS = np.array([16, 5, 1])
MASK = (np.arange(16)[None] < LENGTHS[:, None]).astype(np.float32)
SEQUENCE = np.random.default_rng(3).normal(size=(3, 16, 6)).astype(np.float32)


@pytest.mark.parametrize("length", [16, 12, 7], ids=["whole_chunks", "smaller_chunks", "single_steps"])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_answers_as_keras(bidirectional, length):
    ours = Lstm(4, bidirectional)
    theirs = keras.layers.LSTM(4, return_sequences=True)
    if bidirectional:
        theirs = keras.layers.Bidirectional(theirs)
    sequence, mask = SEQUENCE[:, :length], MASK[:, :length]
    ours(sequence, mask)
    theirs.build(sequence.shape)
    generator = np.random.default_rng(3)
    weights = [generator.normal(scale=0.5, size=weight.shape) for weight in ours.weights]
    ours.set_weights(weights)
    theirs.set_weights(weights)
    real = mask.astype(bool)
    expected = np.asarray(theirs(sequence, mask=real))
    np.testing.assert_allclose(np.asarray(ours(sequence, mask))[real], expected[real], atol=1e-5)


def test_forget_gate_starts_open():
    layer = Lstm(2)
    layer.build((None, None, 3))
    np.testing.assert_array_equal(layer.weights[2], [0, 0, 1, 1, 0, 0, 0, 0])
