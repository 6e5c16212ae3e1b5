from __future__ import annotations

import keras
import numpy as np

from textapp.layers import WindowFeatures


def test_answers_as_parallel_convolutions():
    sequence = np.random.default_rng(3).normal(size=(2, 7, 4)).astype(np.float32)
    layer = WindowFeatures(3, [2, 5])
    features = layer(sequence)
    for number, size in enumerate([2, 5]):
        convolution = keras.layers.Conv1D(3, size, padding="same", activation="relu")
        convolution.build(sequence.shape)
        convolution.set_weights([layer.kernels[number], np.zeros(3)])
        np.testing.assert_allclose(features[..., 3 * number : 3 * number + 3], convolution(sequence), atol=1e-6)
