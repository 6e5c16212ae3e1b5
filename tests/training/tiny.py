"""A tiny classifier and its examples, for the tests of this folder and the scripts that they start."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import tensorflow as tf

from textapp.batches.pipeline import BucketBatches, Examples, replicated
from textapp.batches.sequences import StreamBatches, TokenBatches
from textapp.config import Training

MAX_LENGTH = 8


def make_examples(number: int = 60) -> Examples:
    """The label is whether the first token is even; the weights differ, so that the global sum is put to the test."""
    rng = np.random.default_rng(0)
    rows = [rng.integers(2, 30, rng.integers(1, 9)).astype(np.int32) for _ in range(number)]
    targets = np.array([row[0] % 2 for row in rows], np.int32)
    return Examples({"token_ids": rows}, targets, rng.uniform(0.5, 2, number).astype(np.float32))


def make_batches(seed: int = 1, batch_size: int = 8, static_shapes: bool = False) -> BucketBatches:
    return BucketBatches(make_examples(), MAX_LENGTH, 0, batch_size, seed, static_shapes)


def make_token_batches(static_shapes: bool = False) -> TokenBatches:
    """Rows of several lengths; the first target of each is its first token."""
    rng = np.random.default_rng(0)
    rows = [rng.integers(2, 30, rng.integers(1, 30)).astype(np.int32) for _ in range(61)]
    return TokenBatches({"token_ids": rows}, rows, 0, batch_tokens=96, seed=1, static_shapes=static_shapes)


def make_model(dropout: float = 0.0) -> keras.Model:
    keras.utils.set_random_seed(11)
    token_ids = keras.Input((None,), dtype="int32", name="token_ids")
    hidden = keras.layers.GlobalAveragePooling1D()(keras.layers.Embedding(30, 8)(token_ids))
    hidden = keras.layers.Dropout(dropout)(keras.layers.Dense(8, activation="relu")(hidden))
    return keras.Model({"token_ids": token_ids}, keras.layers.Dense(2)(hidden))


def make_writer() -> keras.Model:
    """A language model."""
    keras.utils.set_random_seed(11)
    token_ids = keras.Input((None,), dtype="int32", name="token_ids")
    hidden = keras.layers.LSTM(8, return_sequences=True)(keras.layers.Embedding(30, 8)(token_ids))
    return keras.Model({"token_ids": token_ids}, keras.layers.Dense(30)(hidden))


def make_stream(windows: int = 28) -> StreamBatches:
    """Windows of running text, in batches of 8; the last batch is not full."""
    length = 6
    token_ids = np.random.default_rng(0).integers(2, 30, (windows + 1) * length + 1)
    return StreamBatches(token_ids.astype(np.int32), length, batch_size=8, seed=1)


class Halves:
    """Every batch of a source as two, the first half of its rows and the second, for one replica.

    The last batch must have a first half alone.
    """

    many_shapes = False

    def __init__(self, source: StreamBatches) -> None:
        self.source, self.batch_size = source, source.batch_size // 2

    def plan(self, epoch: int) -> SimpleNamespace:
        whole = self.source.plan(epoch)
        return SimpleNamespace(whole=whole, steps=2 * whole.steps - 1, examples=whole.examples)

    def distributed(self, plan: SimpleNamespace, strategy: tf.distribute.Strategy, start: int = 0):
        make = self.source.maker(plan.whole)

        def half(step: tf.Tensor, replica: tf.Tensor, replicas: int) -> dict:
            batch = make(step // 2, step % 2, 2)
            return batch | {"total_weight": tf.reduce_sum(batch["weights"])}

        return replicated(half, plan.steps, strategy, start)


def make_config(**fields) -> Training:
    defaults = {
        "epochs": 3, "batch_size": 8, "learning_rate": 0.05, "optimizer": "adam", "schedule": "linear",
        "warmup_steps": 2, "weight_decay": 0.01, "patience": 0, "clip_norm": 1.0,
        "monitor": "accuracy",
    }  # fmt: skip
    return Training(**(defaults | fields))


def loss(batch: dict, outputs: tf.Tensor) -> tf.Tensor:
    return tf.nn.sparse_softmax_cross_entropy_with_logits(batch["targets"], outputs)


def first_target_loss(batch: dict, outputs: tf.Tensor) -> tf.Tensor:
    """For `make_token_batches`: is the first target even?"""
    return tf.nn.sparse_softmax_cross_entropy_with_logits(tf.maximum(batch["targets"][:, 0], 0) % 2, outputs)


class Quiet:
    """No progress; calls `at_update` with the number of updates so far."""

    def __init__(self, at_update=lambda count: None) -> None:
        self.count, self.at_update, self.closed, self.rows, self.shown = 0, at_update, False, [], []

    def begin(self, epoch: int, epochs: int, steps: int, done: int) -> None:
        self.began = (epoch, epochs, steps, done)

    def update(self, done: int, loss: float) -> None:
        self.count += 1
        self.at_update(self.count)

    def end(self, row) -> None:
        self.rows.append(row)

    def show(self, lines) -> None:
        self.shown += lines

    def close(self) -> None:
        self.closed = True


def arguments(folder: Path, **fields) -> dict:
    """What `train_model` takes besides model and batches."""
    return {
        "config": make_config(**fields), "loss": loss, "strategy": tf.distribute.get_strategy(), "folder": folder,
        "progress": Quiet(),
    }  # fmt: skip
