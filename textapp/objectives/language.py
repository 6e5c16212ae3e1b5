"""The loss of translators and language models: cross-entropy of the next token."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from textapp.arrays import IGNORED
from textapp.batches.pipeline import Batch, BatchSource, dataset

MAX_NATS = 700.0  # its exponential is about the largest float


def make_loss(label_smoothing: float = 0.0) -> Callable[[Batch, Any], tf.Tensor]:
    """Makes the mean cross-entropy of each row.

    Args:
        label_smoothing: share of the target that is spread over the vocabulary (Szegedy et al., 2016).

    Returns:
        A function of a batch with `targets` `[rows, length]` int32, `IGNORED` for positions without loss, and of logits
        `[rows, length, vocabulary]`, to losses `[rows]` float32: the mean over all other positions, 0 if none.

    Example: logits `[[[0.0, 0.0]]]` and targets `[[1]]` give `[0.693]`, ln 2.
    """

    def loss(batch: Batch, logits: tf.Tensor) -> tf.Tensor:
        logits, targets = tf.cast(logits, tf.float32), batch["targets"]
        counts = tf.cast(tf.not_equal(targets, IGNORED), tf.float32)
        targets = tf.maximum(targets, 0)
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(targets, logits)
        if label_smoothing:
            # The cross-entropy with equal shares is log(sum(exp(logits))) - mean(logits), and the first term is
            # the loss so far plus the target's logit: no smoothed targets [rows, length, vocabulary] are needed.
            target_logits = tf.gather(logits, targets, batch_dims=2)
            losses += label_smoothing * (target_logits - tf.reduce_mean(logits, axis=-1))
        return tf.math.divide_no_nan(tf.reduce_sum(losses * counts, axis=1), tf.reduce_sum(counts, axis=1))

    return loss


class TeacherForced:
    """The loss of a model on validation texts, with teacher forcing.

    Args:
        model: features -> logits; its weights change between the calls.
        source: the texts; its batches of epoch 0 are used.

    Example: `TeacherForced(model, batches)()` is `{"loss": 2.1, "perplexity": 8.2}`: nats per token, and exp of it.
    """

    def __init__(self, model: keras.Model, source: BatchSource) -> None:
        plan, loss = source.plan(0), make_loss()
        self._batches = dataset(source.maker(plan), plan.steps, 0, replicas=1, first=0, local=1)

        def measured(batch: Batch) -> tuple[tf.Tensor, tf.Tensor]:
            losses = loss(batch, model(batch["features"], training=False))
            return tf.reduce_sum(losses * batch["weights"]), batch["total_weight"]

        self._measured = tf.function(measured, input_signature=[self._batches.element_spec])

    def __call__(self) -> dict[str, float]:
        """The mean loss over all tokens in nats, and the perplexity."""
        sums = [self._measured(batch) for batch in self._batches]
        nats, tokens = (math.fsum(float(value) for value in column) for column in zip(*sums, strict=True))
        return {"loss": nats / tokens, "perplexity": math.exp(min(nats / tokens, MAX_NATS))}
