from __future__ import annotations

import numpy as np
import pytest

from textapp.layers import NgramEmbedding, Positions, SubwordEmbedding
from textapp.layers.embedding import MULTIPLIER, NGRAM_ROWS, sinusoids


def test_ngrams_by_hand():
    layer = NgramEmbedding(3, 2, pad_id=0, rows=97)
    ids = np.array([[5, 7, 9, 0]], np.int32)
    got = np.asarray(layer(ids))[0]
    table = np.asarray(layer.embeddings)
    two, next_two = (5 * MULTIPLIER + 7) % 97, (7 * MULTIPLIER + 9) % 97
    three = (two * MULTIPLIER + 9) % 97
    np.testing.assert_allclose(got, [[0, 0], table[two], table[next_two] + table[three], [0, 0]], rtol=1e-6)


def test_subwords_by_hand():
    layer = SubwordEmbedding(np.array([[0, 0], [1, 2], [2, 0]], np.int32), 2)
    got = np.asarray(layer(np.array([[1, 2, 0]], np.int32)))[0]
    table, parts = np.asarray(layer.embeddings), np.asarray(layer.parts)
    expected = [table[1] + parts[1] + parts[2], table[2] + parts[2], table[0]]
    np.testing.assert_allclose(got, expected, rtol=1e-6)
    np.testing.assert_allclose(layer.table(), [expected[2], expected[0], expected[1]], rtol=1e-6)


def test_hashes_stay_below_the_largest_integer():
    assert (NGRAM_ROWS - 1) * MULTIPLIER + 10**6 < 2**31


@pytest.mark.parametrize("options", [{"most": 1}, {"most": 2, "rows": 2**19}])
def test_ngrams_out_of_range(options):
    with pytest.raises(ValueError, match="expected most >= 2"):
        NgramEmbedding(**{"output_dim": 2, "pad_id": 0, **options})


def test_sinusoids():
    table = sinusoids(4, 6)
    np.testing.assert_allclose(table[0], [0, 0, 0, 1, 1, 1])
    np.testing.assert_allclose(table[3, 0], np.sin(3), rtol=1e-6)


def test_unknown_positions():
    with pytest.raises(ValueError, match="found 'rotary'"):
        Positions("rotary", 8)
