"""Normalisations: Keras's own functions of their inputs and weights."""

from __future__ import annotations

import keras
import numpy as np

from textapp.layers import LayerNorm, RmsNorm


def test_layer_norm_answers_as_keras_does_with_its_weights():
    random = np.random.default_rng(0)
    sequence = random.normal(3.0, 2.0, (2, 5, 8)).astype(np.float32)
    weights = [random.normal(size=8), random.normal(size=8)]
    answers = []
    for layer in (LayerNorm(epsilon=1e-6), keras.layers.LayerNormalization(epsilon=1e-6)):
        layer.build(sequence.shape)
        layer.set_weights(weights)
        answers.append(np.asarray(layer(sequence)))
    np.testing.assert_allclose(answers[0], answers[1], atol=1e-5)


def test_layer_norm_computes_in_float32_under_mixed_precision():
    sequence = np.array([[[100.0, 100.5, 101.0, 101.5]]], np.float32)
    exact = np.asarray(LayerNorm()(sequence))
    mixed = LayerNorm(dtype="mixed_bfloat16")(sequence.astype("bfloat16"))
    assert keras.backend.standardize_dtype(mixed.dtype) == "bfloat16"
    np.testing.assert_allclose(np.asarray(mixed, np.float32), exact, atol=0.01)


def test_rms_norm_answers_as_keras_does_with_its_weights():
    random = np.random.default_rng(0)
    sequence = random.normal(3.0, 2.0, (2, 5, 8)).astype(np.float32)
    gamma = random.normal(size=8)
    answers = []
    for layer in (RmsNorm(epsilon=1e-6), keras.layers.RMSNormalization(epsilon=1e-6)):
        layer.build(sequence.shape)
        layer.set_weights([gamma])
        answers.append(np.asarray(layer(sequence)))
    np.testing.assert_allclose(answers[0], answers[1], atol=1e-5)


def test_rms_norm_by_hand():
    np.testing.assert_allclose(RmsNorm(0.0)(np.array([[3.0, 4.0]], np.float32)), [[0.8485, 1.1314]], atol=1e-4)
