from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from textapp.layers import Lstm

LENGTHS = np.array([16, 5, 1])
MASK = (np.arange(16)[None] < LENGTHS[:, None]).astype(np.float32)
SEQUENCE = np.random.default_rng(3).normal(size=(3, 16, 6)).astype(np.float32)


LENGTHS_OF_CHUNKS = pytest.mark.parametrize("length", [16, 12, 7, 13], ids=["whole", "smaller", "single", "filled"])


@LENGTHS_OF_CHUNKS
@pytest.mark.parametrize("open_length", [False, True])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_answers_as_keras(bidirectional, open_length, length):
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
    found = np.asarray(opened(ours)(sequence, mask) if open_length else ours(sequence, mask))
    assert found.shape == expected.shape
    np.testing.assert_allclose(found[real], expected[real], atol=1e-5)


def opened(layer):
    """The layer in a graph of open lengths, as a training traces it."""
    sequence, mask, state = tf.TensorSpec([None, None, 6]), tf.TensorSpec([None, None]), tf.TensorSpec([None, 4])
    signatures = {2: [sequence, mask], 3: [sequence, mask, [state, state]]}
    return lambda *inputs: tf.function(layer.__call__, input_signature=signatures[len(inputs)])(*inputs)


@LENGTHS_OF_CHUNKS
@pytest.mark.parametrize("open_length", [False, True])
def test_gradients_are_those_of_keras(open_length, length):
    ours, theirs = Lstm(4), keras.layers.LSTM(4, return_sequences=True, return_state=True)
    sequence, mask = tf.constant(SEQUENCE[:, :length]), MASK[:, :length]
    first = [tf.constant(np.random.default_rng(seed).normal(size=(3, 4)), tf.float32) for seed in (1, 2)]
    ours(sequence, mask, first)
    theirs.build(sequence.shape)
    theirs.set_weights([np.random.default_rng(3).normal(scale=0.5, size=weight.shape) for weight in ours.weights])
    ours.set_weights(theirs.get_weights())
    found = []
    for call in (
        lambda: (opened(ours) if open_length else ours)(sequence, mask, first),
        lambda: theirs(sequence, mask=mask.astype(bool), initial_state=first)[0],
    ):
        with tf.GradientTape() as tape:
            tape.watch([sequence, *first])
            loss = tf.reduce_sum(call() ** 2 * mask[..., None])
        layer = theirs if found else ours
        found.append(tape.gradient(loss, [sequence, *first, *(weight.value for weight in layer.trainable_variables)]))
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_bfloat16_goes_on_from_a_state():
    """Keras casts what a call gets, the float32 cell too."""
    layer, exact = Lstm(4, dtype="mixed_bfloat16"), Lstm(4)
    first = [np.full((3, 4), 0.25, np.float32), np.full((3, 4), 0.5, np.float32)]
    answer = layer(SEQUENCE, MASK, first)
    exact(SEQUENCE, MASK, first)
    exact.set_weights(layer.get_weights())
    assert answer.dtype == tf.bfloat16
    real = MASK.astype(bool)
    expected = np.asarray(exact(SEQUENCE, MASK, first))
    np.testing.assert_allclose(np.asarray(tf.cast(answer, tf.float32))[real], expected[real], atol=0.02)


def test_forget_gate_starts_open():
    layer = Lstm(2)
    layer.build((None, None, 3))
    np.testing.assert_array_equal(layer.weights[2], [0, 0, 1, 1, 0, 0, 0, 0])
