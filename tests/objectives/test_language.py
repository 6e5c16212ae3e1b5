from __future__ import annotations

import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from textapp.batches.sequences import IGNORED, TokenBatches
from textapp.objectives.language import TeacherForced, make_loss

GENERATOR = np.random.default_rng(0)
LOGITS = GENERATOR.normal(size=(2, 3, 5)).astype(np.float32)
TARGETS = np.array([[4, 0, IGNORED], [1, IGNORED, IGNORED]], np.int32)


def by_hand(smoothing: float) -> list[float]:
    logs = LOGITS - np.log(np.exp(LOGITS).sum(axis=-1, keepdims=True))
    rows = []
    for row, targets in zip(logs, TARGETS, strict=True):
        shares = [np.eye(5)[target] * (1 - smoothing) + smoothing / 5 for target in targets if target != IGNORED]
        rows.append(np.mean([-(share * log).sum() for share, log in zip(shares, row, strict=False)]))
    return rows


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_loss_of_a_row_is_the_mean_over_its_targets(smoothing: float) -> None:
    losses = make_loss(smoothing)({"targets": tf.constant(TARGETS)}, tf.constant(LOGITS))
    np.testing.assert_allclose(losses, by_hand(smoothing), rtol=1e-5)


def test_the_docstring_example_and_a_row_without_targets() -> None:
    batch = {"targets": tf.constant([[1], [IGNORED]])}
    assert make_loss()(batch, tf.zeros((2, 1, 2))).numpy().tolist() == pytest.approx([math.log(2), 0])


def test_logits_in_half_precision_are_summed_in_float32() -> None:
    half = tf.cast(LOGITS, tf.bfloat16)
    losses = make_loss(0.1)({"targets": tf.constant(TARGETS)}, half)
    assert losses.dtype == tf.float32
    whole = make_loss(0.1)({"targets": tf.constant(TARGETS)}, tf.cast(half, tf.float32))
    assert losses.numpy().tolist() == whole.numpy().tolist()


def test_teacher_forcing_counts_every_target_once() -> None:
    """A model that always gives token 5 the logit ln 3 and the nine others 0: it says 5 with 3 / 12."""
    token_ids = keras.Input((None,), dtype="int32", name="token_ids")
    table = np.where(np.arange(10) == 5, math.log(3), 0).astype(np.float32)
    logits = keras.layers.Embedding(10, 10, embeddings_initializer=keras.initializers.Constant(0), name="logits")
    model = keras.Model({"token_ids": token_ids}, logits(token_ids))
    model.get_layer("logits").embeddings.assign(np.tile(table, (10, 1)))
    said = [[5, 5, 5], [4], [5, 4, 4, 5, 5, 5, 5, 5, 5, IGNORED]]
    rows = [np.array(row, np.int32) for row in said]
    source = TokenBatches({"token_ids": [np.abs(row) for row in rows]}, rows, 0, batch_size=2)
    figures = TeacherForced(model, source)()
    assert figures["loss"] == pytest.approx((10 * math.log(4) + 3 * math.log(12)) / 13, rel=1e-5)
    assert figures["perplexity"] == pytest.approx(math.exp(figures["loss"]))
