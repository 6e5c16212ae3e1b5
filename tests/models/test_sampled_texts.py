"""What a language model writes itself has the probabilities that it says."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from textapp.layers import BlockSettings, TransformerDecoder
from textapp.models.generator import Generator
from textapp.models.sampled_texts import sampled_texts

START, NEVER_ID = 2, 4


def make_model() -> Generator:
    settings = BlockSettings(2, 32, max_length=12)
    model = Generator(TransformerDecoder(16, 2, settings, positions="rope"), 11, 16, 0, START, 3, never_ids=[NEVER_ID])
    random = np.random.default_rng(4)
    for weight in model.weights:
        weight.assign(random.normal(0, 0.7, weight.shape))
    return model


def test_sampled_texts_follow_the_probabilities_of_the_model():
    model = make_model()
    ids = np.array(sampled_texts(model, 2000, 10))
    assert ids.shape == (2000, 10) and (ids[:, 0] == START).all() and NEVER_ID not in ids
    assert ids.tolist() == sampled_texts(model, 2000, 10)

    logits = np.array(model({"token_ids": tf.constant(ids[:, :-1], tf.int32)}), np.float64)
    logits[:, :, NEVER_ID] = -np.inf
    probabilities = np.exp(logits - np.logaddexp.reduce(logits, axis=-1, keepdims=True))
    for place in range(9):  # at each one, all that was written before counts
        found = np.bincount(ids[:, place + 1], minlength=11) / 2000
        np.testing.assert_allclose(found, probabilities[:, place].mean(axis=0), atol=0.03)
        drawn = np.take_along_axis(probabilities[:, place], ids[:, place + 1 :][:, :1], axis=1).mean()
        np.testing.assert_allclose(drawn, (probabilities[:, place] ** 2).sum(axis=1).mean(), atol=0.03)
