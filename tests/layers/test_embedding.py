from __future__ import annotations

import numpy as np
import pytest

from textapp.layers import Positions, SubwordEmbedding
from textapp.layers.embedding import sinusoids


def test_subwords_by_hand():
    layer = SubwordEmbedding(np.array([[0, 0], [1, 2], [2, 0]], np.int32), 2)
    got = np.asarray(layer(np.array([[1, 2, 0]], np.int32)))[0]
    table, parts = np.asarray(layer.embeddings), np.asarray(layer.parts)
    expected = [table[1] + parts[1] + parts[2], table[2] + parts[2], table[0]]
    np.testing.assert_allclose(got, expected, rtol=1e-6)
    np.testing.assert_allclose(layer.table(), [expected[2], expected[0], expected[1]], rtol=1e-6)


def test_sinusoids():
    table = sinusoids(4, 6)
    np.testing.assert_allclose(table[0], [0, 0, 0, 1, 1, 1])
    np.testing.assert_allclose(table[3, 0], np.sin(3), rtol=1e-6)


def test_unknown_positions():
    with pytest.raises(ValueError, match="found 'rotary'"):
        Positions("rotary", 8)
