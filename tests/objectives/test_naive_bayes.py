"""A classifier that begins as naive Bayes."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from textapp.catalog import parse_config
from textapp.layers import NgramEmbedding
from textapp.objectives.classifier import build_model
from textapp.objectives.naive_bayes import begin_as_naive_bayes, log_count_ratios

PAD = 0


def test_ratios_by_hand():
    found = [(np.array([1, 2, 2]), np.array([[0, 1], [0, 1], [1, 0]])), (np.array([2, 2]), np.array([[1, 0], [1, 0]]))]
    ratios = log_count_ratios(iter(found), 4)
    assert ratios[2, 0] == pytest.approx(np.log(4 / 5) - np.log(2 / 4))
    assert ratios[2, 1] == pytest.approx(-ratios[2, 0]) and not ratios[[0, 3]].any()


def built(**model: object) -> keras.Model:
    keras.utils.set_random_seed(0)
    settings = {"architecture": "mlp", "dropout": 0.0, "embedding_dim": 4, "hidden_dims": [], "ngrams": 2, **model}
    config = parse_config({"task": "classification", "run": "r", "data": {"train": "t"}, "model": settings})
    return build_model(config.model_copy(update={"lengths": [8]}), 12, PAD, 3)


def test_it_answers_before_it_is_trained():
    """Three labels that differ in a token, in a bigram, and in both: the order of two tokens tells the second."""
    texts = [[4, 5, 6], [4, 7, 8], [4, 8, 7], [4, 9, 10]]
    token_ids = [np.array(ids, np.int32) for ids in texts for _ in range(5)]
    targets = np.repeat([0, 1, 2, 2], 5)
    model = built()
    for layer in model.get_layer("encoder").layers:
        if isinstance(layer, NgramEmbedding):
            layer.choose_owners(token_ids)
    begin_as_naive_bayes(model, token_ids, targets, PAD)
    found = np.asarray(model({"token_ids": np.array(texts, np.int32)})).argmax(axis=1)
    np.testing.assert_array_equal(found, [0, 1, 2, 2])


def test_several_labels_a_text():
    token_ids = [np.array([4, 5]), np.array([4, 6]), np.array([5, 6]), np.array([4, 7])]
    targets = np.array([[1, 1, 0], [1, 0, 1], [0, 1, 1], [1, 0, 0]], np.float32)
    model = built(ngrams=1)
    begin_as_naive_bayes(model, token_ids, targets, PAD)
    logits = np.asarray(model({"token_ids": np.array([[4], [5], [6]], np.int32)}))
    assert logits.argmax(axis=1).tolist() == [0, 1, 2]


def test_more_labels_than_numbers_a_row():
    token_ids = [np.array([4 + label]) for label in range(3)]
    model = built(ngrams=1, embedding_dim=2)
    begin_as_naive_bayes(model, token_ids, np.arange(3), PAD)
    logits = np.asarray(model({"token_ids": np.array([[4], [5], [6]], np.int32)}))
    assert logits.argmax(axis=1).tolist() == [0, 1, 2]
