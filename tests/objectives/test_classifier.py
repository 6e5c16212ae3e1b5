from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from textapp.catalog import parse_config
from textapp.errors import ConfigError
from textapp.layers import SubwordEmbedding, TokenEmbedding, inference_weights
from textapp.objectives.classifier import build_model, label_weights, make_loss, probabilities

LOGITS = tf.constant([[2.0, 0.0, -1.0], [0.0, 0.0, 0.0]])


def config(**model):
    model = {"architecture": "mlp", "embedding_dim": 4, "hidden_dims": [], "ngrams": 1, "dropout": 0.0, **model}
    return parse_config({"task": "classification", "run": "r", "data": {"train": "t"}, "lengths": [8], "model": model})


def test_loss_of_one_label():
    losses = make_loss(False)(tf.constant([0, 2]), LOGITS)
    first = -np.log(np.exp(2) / (np.exp(2) + 1 + np.exp(-1)))
    np.testing.assert_allclose(losses, [first, np.log(3)], rtol=1e-6)


def test_label_smoothing():
    exact = [make_loss(False)(tf.constant([label]), LOGITS[:1])[0] for label in range(3)]
    smooth = make_loss(False, label_smoothing=0.3)(tf.constant([0]), LOGITS[:1])[0]
    np.testing.assert_allclose(smooth, 0.8 * exact[0] + 0.1 * exact[1] + 0.1 * exact[2], rtol=1e-6)


def test_weights_of_one_label():
    losses = make_loss(False, weights=[3.0, 1.0, 0.5])(tf.constant([0, 2]), LOGITS)
    np.testing.assert_allclose(losses, make_loss(False)(tf.constant([0, 2]), LOGITS) * [3.0, 0.5], rtol=1e-6)


def test_loss_of_several_labels():
    losses = make_loss(True)(tf.constant([[1.0, 0.0, 1.0]]), tf.constant([[0.0, 0.0, 2.0]]))
    np.testing.assert_allclose(losses, [(2 * np.log(2) + np.log1p(np.exp(-2))) / 3], rtol=1e-6)


def test_smoothing_and_weights_of_several_labels():
    losses = make_loss(True, 0.2, [1.0, 4.0])(tf.constant([[1.0, 0.0]]), tf.constant([[1.0, 1.0]]))
    one, zero = np.log1p(np.exp(-1)), np.log1p(np.exp(1))  # the losses of the logit 1 for the targets 1 and 0
    np.testing.assert_allclose(losses, [(0.9 * one + 0.1 * zero + 4 * (0.1 * one + 0.9 * zero)) / 2], rtol=1e-6)


@pytest.mark.parametrize(
    ("setting", "counts", "expected"),
    [
        (None, [1, 1], None),
        ("balanced", [3, 1], [4 / 6, 2.0]),
        ({"b": 3.0}, [1, 1], [1.0, 3.0]),
    ],
)
def test_label_weights(setting, counts, expected):
    weights = label_weights(setting, ["a", "b"], np.array(counts))
    assert weights == (None if expected is None else pytest.approx(expected))


def test_weight_of_an_unknown_label():
    with pytest.raises(ConfigError, match="found the label 'positve'; did you mean 'positive'?"):
        label_weights({"positve": 2.0}, ["negative", "positive"], np.array([1, 1]))


def test_probabilities():
    np.testing.assert_allclose(tf.reduce_sum(probabilities(LOGITS, False), axis=1), [1.0, 1.0], rtol=1e-6)
    np.testing.assert_allclose(probabilities(LOGITS, True)[1], [0.5, 0.5, 0.5])


def test_vectors_are_the_first_values_of_the_embedding():
    vectors = np.arange(40, dtype=np.float32).reshape(10, 4)
    model = build_model(config(), 10, 0, 2, vectors=vectors)
    sequence = model.get_layer("encoder")({"token_ids": np.array([[3, 9]], np.int32)})
    np.testing.assert_array_equal(sequence[0], vectors[[3, 9]])


def test_head_of_hidden_layers():
    model = build_model(config(hidden_dims=[7, 5], batch_normalization=True), 10, 0, 2)
    assert model.get_layer("hidden_1").kernel.shape == (7, 5)
    assert model.output_shape == (None, 2)


def test_subwords_are_summed_into_a_plain_model():
    settings, pieces = config(subwords=[2, 3], ngrams=2), ["<pad>", "<unk>", "<s>", "</s>", "▁good", "▁goods", "▁bad"]
    trained = build_model(settings, 7, 0, 2, pieces=pieces)
    inference = build_model(settings, 7, 0, 2)
    inference.set_weights(inference_weights(trained))
    kinds = [type(model.get_layer("encoder").get_layer("token_embedding")) for model in (trained, inference)]
    assert kinds == [SubwordEmbedding, TokenEmbedding]
    features = {"token_ids": tf.constant([[4, 5, 6, 0], [6, 1, 0, 0]])}
    np.testing.assert_allclose(inference(features), trained(features), atol=1e-6)
