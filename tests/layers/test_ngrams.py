from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from textapp.layers import CountOnce, NgramEmbedding, Sum
from textapp.layers.ngrams import MULTIPLIER, NGRAM_ROWS


def knowing(texts, max_n=2, rows=97):
    layer = NgramEmbedding(max_n, 2, pad_id=0, rows=rows)
    layer.build((None, None))
    layer.choose_owners([np.array(text, np.int32) for text in texts])
    return layer


def test_ngrams_by_hand():
    ids = np.array([[5, 7, 9, 0]], np.int32)
    layer = knowing([[5, 7, 9]] * 2, max_n=3)
    got = np.asarray(layer(ids))[0]
    table = np.asarray(layer.embeddings)
    two, next_two = (5 * MULTIPLIER + 7) % 97, (7 * MULTIPLIER + 9) % 97
    three = (two * MULTIPLIER + 9) % 97
    np.testing.assert_allclose(got, [[0, 0], table[two], table[next_two] + table[three], [0, 0]], rtol=1e-6)


def test_only_ngrams_of_several_texts_are_known():
    layer = knowing([[5, 7, 9], [5, 7], [9, 5, 9, 5]])
    (rows, real), *_ = layer.read(np.array([[5, 7, 9, 5]], np.int32))
    assert np.asarray(real).tolist() == [[0, 1, 0, 0]]  # 9 5 comes twice, and in one text alone
    assert not np.asarray(layer(np.array([[7, 9, 5, 0]], np.int32))).any()


def test_a_row_belongs_to_the_ngram_of_most_texts():
    """5 7 and 6 with what comes to the same row: the other byte tells them apart."""
    same = (5 * MULTIPLIER + 7 - 6 * MULTIPLIER) % 97 + 97
    for first, second, known in ((2, 3, [0, 1]), (3, 2, [1, 0])):
        layer = knowing([[5, 7]] * first + [[6, same]] * second)
        (rows, real), *_ = layer.read(np.array([[5, 7], [6, same]], np.int32))
        rows, real = np.asarray(rows), np.asarray(real)
        assert rows[0, 1] == rows[1, 1] and real[:, 1].tolist() == known


def test_what_comes_twice_counts_once():
    ids = np.array([[5, 7, 5, 7, 0], [5, 7, 0, 0, 0]], np.int32)
    ngrams = knowing([[5, 7, 5, 7]] * 2)
    twice, once = np.asarray(ngrams(ids)).sum(axis=1)
    between = np.asarray(ngrams.embeddings)[(7 * MULTIPLIER + 5) % 97]
    np.testing.assert_allclose(twice, once + between, rtol=1e-5)
    vectors = np.arange(20, dtype=np.float32).reshape(2, 5, 2)
    found = np.asarray(CountOnce(pad_id=0)(vectors, ids))
    shares = np.array([[0.5, 0.5, 0.5, 0.5, 0], [1, 1, 0, 0, 0]])
    np.testing.assert_allclose(found, vectors * shares[:, :, None])


def test_hashes_stay_below_the_largest_integer():
    assert (NGRAM_ROWS - 1) * MULTIPLIER + 10**6 < 2**31


@pytest.mark.parametrize("options", [{"max_n": 1}, {"max_n": 2, "rows": 2**19}])
def test_ngrams_out_of_range(options):
    with pytest.raises(ValueError, match="expected max_n >= 2"):
        NgramEmbedding(**{"output_dim": 2, "pad_id": 0, **options})


def test_the_sum_of_single_numbers_is_one_that_litert_converts():
    """Keras's own layer makes it a BiasAdd; when it no longer does, `Sum` can go."""
    spec = tf.TensorSpec([1, 5, 1], tf.float32)
    found = {}
    for layer in (Sum(), keras.layers.Add()):
        call = tf.function(lambda *pair, layer=layer: layer(pair)).get_concrete_function(spec, spec)
        found[type(layer).__name__] = "BiasAdd" in {operation.type for operation in call.graph.get_operations()}
    assert found == {"Sum": False, "Add": True}
    np.testing.assert_array_equal(Sum()([np.ones((2, 3, 1)), np.full((2, 3, 1), 4.0)]), np.full((2, 3, 1), 5.0))
