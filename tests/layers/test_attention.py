from __future__ import annotations

import keras
import numpy as np
import pytest

from textapp.layers import AttentionMask, SelfAttention
from textapp.layers.attention import BLOCK, _turned

SEQUENCE = np.random.default_rng(3).normal(size=(2, 5, 8)).astype(np.float32)
REAL = np.array([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]], np.float32)


@pytest.mark.parametrize("key_value_heads", [4, 2, 1])
def test_answers_as_keras(key_value_heads):
    ours, theirs = SelfAttention(4, key_value_heads), keras.layers.GroupQueryAttention(2, 4, key_value_heads)
    ours(SEQUENCE, AttentionMask()(REAL))
    theirs.build(SEQUENCE.shape, SEQUENCE.shape)
    generator = np.random.default_rng(4)
    weights = [generator.normal(size=weight.shape) for weight in ours.weights]
    ours.set_weights(weights)
    theirs.set_weights([np.reshape(w, t.shape) for w, t in zip(weights, theirs.weights, strict=True)])
    expected = theirs(SEQUENCE, SEQUENCE, attention_mask=REAL[:, None].astype(bool))
    np.testing.assert_allclose(ours(SEQUENCE, AttentionMask()(REAL)), expected, atol=1e-5)


def test_rope_sees_distances_alone():
    """Two equal tokens at a distance look alike wherever they stand: the scores depend on the distance."""
    layer = SelfAttention(1, rope=True, max_length=8)
    layer.build((None, None, 8))
    heads = np.broadcast_to(SEQUENCE[:1, :1], (1, 6, 8))[:, None]
    turned = np.asarray(_turned(heads, *(wave[:6] for wave in layer._waves())))[0, 0]
    scores = turned @ turned.T
    np.testing.assert_allclose(scores[0, 2], scores[3, 5], rtol=1e-5)
    assert abs(scores[0, 2] - scores[0, 1]) > 1e-3


def test_heads_that_do_not_divide():
    with pytest.raises(ValueError, match="num_heads 4 is not a multiple of num_key_value_heads 3"):
        SelfAttention(4, 3)
    with pytest.raises(ValueError, match="8 features do not divide into 3 heads"):
        SelfAttention(3).build((None, None, 8))


def test_heads_of_any_size_and_few_biases():
    layer = SelfAttention(4, 2, head_dim=3, biases="qkv")
    assert layer(SEQUENCE, AttentionMask()(REAL)).shape == SEQUENCE.shape
    shapes = {name: tuple(part.kernel.shape) for name, part in layer.projections.items()}
    assert shapes == {"query": (8, 12), "key": (8, 6), "value": (8, 6), "output": (12, 8)}
    assert [name for name, part in layer.projections.items() if part.use_bias] == ["query", "key", "value"]


def test_rates_of_turning_are_those_of_the_paper_unless_given():
    rates = [1.0, 0.25]
    given, paper = (
        SelfAttention(2, rope=True, rope_rates=rates, max_length=4),
        SelfAttention(2, rope=True, max_length=4),
    )
    for layer in (given, paper):
        layer.build((None, None, 8))
    np.testing.assert_allclose(given.angles[3], [3.0, 0.75])
    np.testing.assert_allclose(paper.angles[3], [3.0, 0.03])


def test_normalised_heads_do_not_care_how_large_they_are():
    layer = SelfAttention(2, biases="none", head_norms=True)
    mask = AttentionMask()(REAL)
    layer(SEQUENCE, mask)
    query, value = layer.projections["query"].kernel, layer.projections["value"].kernel
    before = np.asarray(layer(SEQUENCE, mask))
    query.assign(query * 7.0)
    np.testing.assert_allclose(layer(SEQUENCE, mask), before, atol=1e-4)
    value.assign(value * 7.0)
    assert np.abs(np.asarray(layer(SEQUENCE, mask)) - before).max() > 0.1


@pytest.mark.parametrize(("heads", "key_value_heads"), [(4, 4), (6, 2)])
@pytest.mark.parametrize("length", [BLOCK, 2 * BLOCK + 40])
def test_a_prompt_that_is_read_by_blocks_attends_as_one_that_is_not(heads, key_value_heads, length):
    layer = SelfAttention(heads, key_value_heads, rope=True, max_length=length, head_dim=8)
    sequence = keras.random.normal((2, length, 16), seed=1)
    bias = np.random.default_rng(2).normal(size=(1, heads, length, length))  # one a head, as of relative positions
    mask = keras.ops.convert_to_tensor(np.where(np.tri(length), bias, -1e9), "float32")

    expected = layer(sequence, mask)
    attended, key, value = layer.prefill(sequence, mask)

    np.testing.assert_allclose(attended, expected, atol=1e-5)
    assert key.shape == value.shape == (2, key_value_heads, length, 8)
