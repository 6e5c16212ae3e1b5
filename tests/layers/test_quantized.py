"""Weights as integers: the same as in Keras' own layers, and each layer computes with what they stand for."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from textapp.layers import Lstm, NgramEmbedding, TokenEmbedding, WindowFeatures
from textapp.layers.quantized import QuantizedWeight

INT8 = keras.quantizers.Int8QuantizationConfig(activation_quantizer=None)
INT4 = keras.quantizers.Int4QuantizationConfig(block_size=8)
INT4_WHOLE = keras.quantizers.Int4QuantizationConfig(block_size=128)
CONFIGS = pytest.mark.parametrize("config", [INT8, INT4, INT4_WHOLE], ids=["int8", "int4", "int4-whole"])
IDS = np.array([[5, 6, 5, 7, 0], [9, 6, 5, 0, 0]], np.int32)


def test_int8_takes_the_largest_magnitude_of_a_row_for_127_steps() -> None:
    layer = TokenEmbedding(2, 3)
    layer.build((None, None))
    layer.embeddings.assign([[1.27, -0.004, 0.5], [-2.54, 0.5, 0.03]])
    layer.quantize(config=INT8)
    found = layer(np.array([[0, 1]], np.int32))
    np.testing.assert_allclose(found, [[[1.27, 0.0, 0.5], [-2.54, 0.5, 0.04]]], atol=1e-6)
    assert [(weight.dtype, tuple(weight.shape)) for weight in layer.weights] == [("int8", (2, 3)), ("float32", (2, 1))]
    assert layer.weights[0].numpy().tolist() == [[127, 0, 50], [-127, 25, 2]]


def test_int4_takes_the_range_of_a_block_for_15_steps() -> None:
    layer = TokenEmbedding(1, 3)
    layer.build((None, None))
    layer.embeddings.assign([[1.0, -0.5, 0.26]])
    layer.quantize(config=INT4)
    np.testing.assert_allclose(layer(np.array([[0]], np.int32)), [[[1.0, -0.5, 0.3]]], atol=1e-5)
    assert [(weight.dtype, tuple(weight.shape)) for weight in layer.weights] == [
        ("int8", (1, 2)), ("float32", (1, 1)), ("int8", (1, 1)),
    ]  # fmt: skip


@CONFIGS
def test_a_table_is_quantized_as_the_embedding_of_keras_is(config) -> None:
    ours, of_keras = TokenEmbedding(12, 20), keras.layers.Embedding(12, 20)
    for layer in (ours, of_keras):
        layer.build((None, None))
    of_keras.embeddings.assign(ours.embeddings.numpy())
    for layer in (ours, of_keras):
        layer.quantize(config=config)
    np.testing.assert_allclose(ours(IDS), of_keras(IDS), atol=1e-6)


@CONFIGS
def test_the_size_of_a_vector_is_known_while_a_graph_is_traced(config) -> None:
    layer = TokenEmbedding(12, 20)
    layer.build((None, None))
    layer.quantize(config=config)
    traced = tf.function(layer).get_concrete_function(tf.TensorSpec([None, None], tf.int32))
    assert traced.structured_outputs.shape.as_list() == [None, None, 20]


@CONFIGS
def test_a_kernel_is_quantized_as_the_dense_layer_of_keras_is(config) -> None:
    dense = keras.layers.Dense(6)
    dense.build((None, 20))
    other = TokenEmbedding(1, 1)
    kernel = QuantizedWeight(other, keras.Variable(dense.kernel.numpy()), config)
    dense.quantize(config=config)
    np.testing.assert_allclose(tf.convert_to_tensor(kernel), dense(np.eye(20, dtype=np.float32)), atol=1e-6)


def make_ngrams() -> NgramEmbedding:
    layer = NgramEmbedding(3, 4, 0, rows=64)
    layer.build((None, None))
    layer.choose_owners([row for row in np.concatenate([IDS, IDS])])
    return layer


@CONFIGS
@pytest.mark.parametrize(
    ("make", "inputs"),
    [
        (make_ngrams, [IDS]),
        (lambda: Lstm(5, bidirectional=True), [np.random.default_rng(0).normal(size=(2, 5, 9)), np.sign(IDS)]),
        (lambda: WindowFeatures(6, [2, 3]), [np.random.default_rng(0).normal(size=(2, 5, 7))]),
    ],
    ids=["ngrams", "lstm", "windows"],
)
def test_a_layer_computes_with_what_its_integers_stand_for(config, make, inputs) -> None:
    inputs = [np.asarray(each, np.int32 if each.dtype == np.int32 else np.float32) for each in inputs]
    quantized, plain = make(), make()
    before = [np.asarray(layer(*inputs)) for layer in (quantized, plain)][0]
    names = [weight.name for weight in quantized.weights]
    plain.set_weights(quantized.get_weights())
    quantized.quantize(config=config)
    rounded = {
        weight.name: np.asarray(tf.convert_to_tensor(each))
        for weight, each in zip(plain.weights, weights_of(quantized), strict=True)
    }
    assert [weight.name for weight in plain.weights] == names
    for weight in plain.weights:
        weight.assign(rounded[weight.name])
    after = np.asarray(quantized(*inputs))
    np.testing.assert_allclose(after, plain(*inputs), atol=1e-6)
    assert 0 < np.abs(after - before).max() < 0.2
    assert not any(weight.dtype == "float32" and len(weight.shape) > 2 for weight in quantized.weights)


def weights_of(layer) -> list:
    """The weights in the order of `layer.weights` before it was quantized."""
    if isinstance(layer, Lstm):
        return [weight for direction in layer.directions for weight in direction]
    return [layer.embeddings, layer.owners] if isinstance(layer, NgramEmbedding) else [*layer.kernels, layer.bias]
