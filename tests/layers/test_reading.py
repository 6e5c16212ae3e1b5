"""Layers that read a context with a question in mind."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from textapp.layers import AlignedQuestion, QuestionFlags, SpanLogits
from textapp.text.word_forms import WordForms

# the question 5 6, a token between, the context 6 7 5, padding
IDS = np.array([[5, 6, 3, 6, 7, 5, 0, 0]], np.int32)
SEGMENTS = np.array([[0, 0, 0, 1, 1, 1, 0, 0]], np.int32)
MASK = np.array([[1, 1, 1, 1, 1, 1, 0, 0]], np.float32)


def flags_of(ids: np.ndarray, segments: np.ndarray, mask: np.ndarray) -> np.ndarray:
    layer = QuestionFlags(9)
    layer(ids, segments, mask)
    idf = np.arange(9, dtype=np.float32) / 8
    layer.set_forms(WordForms(np.array([0, 1, 2, 3, 4, 5, 6, 6, 5]), np.array([0, 1, 2, 3, 4, 5, 5, 5, 5]), idf))
    return layer(ids, segments, mask).numpy()[0]


def test_flags() -> None:
    flags = flags_of(IDS, SEGMENTS, MASK)
    assert flags[:, 0].tolist() == [0, 0, 0, 1, 1, 1, 0, 0]  # of the context
    assert flags[:, 1].tolist() == [1, 1, 0, 1, 0, 1, 0, 0]  # the token
    assert flags[:, 2].tolist() == [1, 1, 0, 1, 1, 1, 0, 0]  # its folded form: 7 is one with 6
    assert flags[:, 3].tolist() == [1, 1, 0, 1, 1, 1, 0, 0]  # its stem
    assert flags[:, 4].tolist() == [0, 0, 0, 0, 0, 0, 0, 0]  # 5 6 is not in the context
    assert flags[:, 5].tolist() == [0.625, 0.75, 0.375, 0.75, 0.875, 0.625, 0, 0]  # idf
    assert flags[:, 6].tolist() == [0.625, 0.75, 0, 0.75, 0.875, 0.625, 0, 0]


def test_two_unknown_words_are_not_one() -> None:
    layer = QuestionFlags(9)
    ids, segments, mask = np.array([[1, 5, 1, 5]]), np.array([[0, 0, 1, 1]]), np.ones((1, 4), np.float32)
    layer(ids, segments, mask)
    layer.set_forms(WordForms(np.array([0, -1, 2, 3, 4, 5, 6, 7, 8]), np.arange(9), np.zeros(9)))
    assert layer(ids, segments, mask).numpy()[0, :, 1:5].tolist() == [[0] * 4, [1, 1, 1, 0], [0] * 4, [1, 1, 1, 0]]


def test_pairs_and_stems() -> None:
    ids, segments = np.array([[5, 6, 8, 6, 8, 5, 7]]), np.array([[0, 0, 0, 1, 1, 1, 1]])
    flags = flags_of(ids, segments, np.ones((1, 7), np.float32))
    # Folded, the question is 5 6 5 and the context 6 5 5 6: the pairs 6 5 and 5 6 are in both.
    assert flags[:, 4].tolist() == [1, 1, 1, 1, 1, 1, 1]
    # A stem alone is no pair.
    flags = flags_of(np.array([[5, 3, 6, 3]]), np.array([[0, 0, 1, 1]]), np.ones((1, 4), np.float32))
    assert flags[:, 1:5].tolist() == [[0, 0, 1, 0], [1, 1, 1, 0], [0, 0, 1, 0], [1, 1, 1, 0]]


def test_the_aligned_question_by_hand() -> None:
    layer = AlignedQuestion()
    embeddings = np.array([[[1, 0], [0, 2], [1, 1], [9, 9]]], np.float32)
    segments, mask = np.array([[0, 0, 1, 1]]), np.array([[1, 1, 1, 0]], np.float32)
    layer(embeddings, segments, mask)
    layer.projection.set_weights([np.eye(2), np.zeros(2)])  # the embeddings are not negative: a ReLU changes nothing
    weights = np.exp(np.array([1, 2]) / np.sqrt(2))  # products of [1, 1] with the two tokens of the question
    weights /= weights.sum()
    found = layer(embeddings, segments, mask).numpy()[0, 2]
    np.testing.assert_allclose(found, weights @ embeddings[0, :2], rtol=1e-5)


def test_span_logits_by_hand() -> None:
    layer = SpanLogits()
    sequence = np.array([[[1, 0], [0, 1], [2, 1], [7, 7]]], np.float32)
    segments, mask = np.array([[0, 0, 1, 1]]), np.array([[1, 1, 1, 0]], np.float32)
    layer(sequence, segments, mask)
    layer.weight.set_weights([np.array([[1.0], [0.0]]), np.zeros(1)])
    layer.alone.set_weights([np.array([[1.0, 0], [0, 0]]), np.array([0.5, 0])])
    kernel = np.arange(8).reshape(2, 4) / 8
    layer.compared.set_weights([kernel, np.zeros(4)])
    weights = np.exp([1, 0]) / np.exp([1, 0]).sum()
    question = weights @ sequence[0, :2]
    compared = (question @ kernel).reshape(2, 2) / np.sqrt(2)
    expected = sequence[0, 2] @ compared + [2.5, 0]
    np.testing.assert_allclose(layer(sequence, segments, mask).numpy()[0, 2], expected, rtol=1e-5)


def test_at_first_the_question_does_not_count() -> None:
    keras.utils.set_random_seed(1)
    layer, random = SpanLogits(), np.random.default_rng(1)
    sequence = random.normal(size=(1, 8, 4)).astype(np.float32)
    other = sequence.copy()
    other[:, :3] = 0
    one, two = (layer(each, SEGMENTS, MASK).numpy() for each in (sequence, other))
    np.testing.assert_array_equal(one[:, 3:], two[:, 3:])


def drawn(layer, *arguments):
    layer(*arguments)
    random = np.random.default_rng(2)
    layer.set_weights([random.normal(size=weight.shape) for weight in layer.get_weights()])
    return layer


@pytest.mark.parametrize("kind", [AlignedQuestion, SpanLogits])
def test_padding_and_the_context_are_no_part_of_the_question(kind: type) -> None:
    random = np.random.default_rng(3)
    values = random.normal(size=(1, 8, 4)).astype(np.float32)
    layer = drawn(kind(), values, SEGMENTS, MASK)
    before = layer(values, SEGMENTS, MASK).numpy()
    assert before.shape == (1, 8, 4 if kind is AlignedQuestion else 2)
    changed = values.copy()
    changed[:, 4:] = random.normal(size=(1, 4, 4))  # context and padding
    np.testing.assert_allclose(layer(changed, SEGMENTS, MASK).numpy()[:, :4], before[:, :4], atol=1e-5)
    changed = values.copy()
    changed[:, 0] += 1  # the question
    assert np.abs(layer(changed, SEGMENTS, MASK).numpy() - before)[:, 3:6].max() > 1e-3
    np.testing.assert_allclose(
        layer(values[:, :6], SEGMENTS[:, :6], MASK[:, :6]).numpy(), before[:, :6], atol=1e-5
    )  # without padding


@pytest.mark.parametrize("kind", [AlignedQuestion, SpanLogits])
def test_a_row_without_a_question_is_finite(kind: type) -> None:
    values = np.ones((1, 4, 4), np.float32)
    layer = drawn(kind(), values, np.ones((1, 4)), np.ones((1, 4)))
    assert np.isfinite(layer(values, np.ones((1, 4)), np.ones((1, 4))).numpy()).all()
    assert np.isfinite(layer(values, np.zeros((1, 4)), np.zeros((1, 4))).numpy()).all()


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_layers_keep_their_precision_under_another_global_policy(dtype: str) -> None:
    embeddings = np.zeros((1, 8, 4), np.float32)
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        layers = SpanLogits(dtype=dtype), AlignedQuestion(dtype=dtype)
        found = [keras.backend.standardize_dtype(layer(embeddings, SEGMENTS, MASK).dtype) for layer in layers]
    finally:
        keras.config.set_dtype_policy(before)
    assert found == [dtype, dtype]
