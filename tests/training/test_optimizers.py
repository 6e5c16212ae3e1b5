from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from textapp.config import Training
from textapp.training.optimizers import LazyAdam, WarmupSchedule, make_optimizer, scaled_learning_rate


def resolved(**fields) -> Training:
    defaults = {
        "epochs": 1, "batch_size": 4, "learning_rate": 0.1, "optimizer": "adam", "schedule": "constant",
        "warmup_steps": 0, "weight_decay": 0.0, "patience": 0, "clip_norm": None,
    }  # fmt: skip
    return Training(**(defaults | fields))


def variable(value: object, name: str = "kernel") -> keras.Variable:
    return keras.Variable(np.array(value, np.float32), name=name)


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("constant", [0.5, 1, 1, 1, 1, 1]),
        ("linear", [0.5, 1, 1, 0.75, 0.5, 0.25]),
        ("cosine", [0.5, 1, 1, 0.853553, 0.5, 0.146447]),
        ("inverse_sqrt", [0.5, 1, 1, 0.816497, 0.707107, 0.632456]),
    ],
)
def test_schedules(schedule: str, expected: list[float]) -> None:
    rate = WarmupSchedule(1.0, 2, 6, schedule)
    np.testing.assert_allclose([float(rate(step)) for step in range(6)], expected, atol=1e-6)
    again = WarmupSchedule.from_config(rate.get_config())
    assert float(again(3)) == float(rate(3))


@pytest.mark.parametrize(("rule", "expected"), [("none", 0.1), ("linear", 0.4), ("sqrt", 0.2)])
def test_the_learning_rate_grows_with_the_replicas_by_its_rule(rule: str, expected: float) -> None:
    assert scaled_learning_rate(resolved(learning_rate_scaling=rule), 4) == pytest.approx(expected)
    assert scaled_learning_rate(resolved(learning_rate_scaling=rule), 1) == 0.1
    assert scaled_learning_rate(resolved(), 4) == 0.1


def test_no_warm_up_starts_at_the_peak() -> None:
    assert float(WarmupSchedule(1.0, 0, 10, "linear")(0)) == 1.0


def test_lazy_adam_equals_adam_where_every_row_is_used() -> None:
    one, other = variable(np.ones((3, 2))), variable(np.ones((3, 2)))
    lazy, plain = LazyAdam(0.1, global_clipnorm=1.0), keras.optimizers.Adam(0.1, global_clipnorm=1.0)
    for optimizer, weights in ((lazy, one), (plain, other)):
        optimizer.build([weights])
    rng = np.random.default_rng(0)
    for _ in range(5):
        values = rng.normal(size=(3, 2)).astype(np.float32)
        # Row 1 twice: its two halves must be summed before they are squared.
        halves = np.concatenate([values * np.float32([[1], [0.5], [1]]), values[[1]] * np.float32(0.5)])
        rows = tf.IndexedSlices(tf.constant(halves), [0, 1, 2, 1], [3, 2])
        lazy.apply([rows], [one])
        plain.apply([tf.constant(values)], [other])
    np.testing.assert_allclose(one.numpy(), other.numpy(), atol=1e-6)


@pytest.mark.parametrize("decay", [None, 0.05])
def test_lazy_adam_moves_dense_weights_as_adam(decay: float | None) -> None:
    rng = np.random.default_rng(1)
    start, gradients = rng.normal(size=(3, 2)), rng.normal(size=(6, 3, 2)).astype(np.float32)
    one, other = variable(start), variable(start)
    lazy, plain = LazyAdam(0.1, weight_decay=decay), keras.optimizers.Adam(0.1, weight_decay=decay)
    for optimizer, weights in ((lazy, one), (plain, other)):
        optimizer.build([weights])
        for gradient in gradients:
            optimizer.apply([tf.constant(gradient)], [weights])
    np.testing.assert_allclose(one.numpy(), other.numpy(), atol=1e-5)  # 1 - 0.999 is rounded before or after


def test_lazy_adam_decays_the_rows_that_it_moves() -> None:
    table = variable(np.ones((3, 2)))
    optimizer = LazyAdam(0.1, weight_decay=0.5)
    optimizer.build([table])
    optimizer.apply([tf.IndexedSlices(tf.zeros((1, 2)), [1], [3, 2])], [table])
    np.testing.assert_allclose(table.numpy(), [[1, 1], [0.95, 0.95], [1, 1]], atol=1e-6)


def test_lazy_adam_leaves_unused_rows_alone() -> None:
    table = variable(np.ones((4, 2)))
    optimizer = LazyAdam(0.1)
    optimizer.build([table])
    optimizer.apply([tf.IndexedSlices(tf.ones((1, 2)), [2], [4, 2])], [table])
    optimizer.apply([tf.IndexedSlices(tf.ones((1, 2)), [0], [4, 2])], [table])
    np.testing.assert_allclose(table.numpy()[[1, 3]], 1.0)
    np.testing.assert_allclose(table.numpy()[2], 0.9, atol=1e-5)


def test_biases_norms_and_positions_do_not_decay() -> None:
    layers = [
        keras.layers.Dense(2, name="dense"),
        keras.layers.LayerNormalization(),
        keras.layers.Embedding(3, 2, name="position_embedding"),
    ]
    for layer, shape in zip(layers, ((None, 2), (None, 2), (None,)), strict=True):
        layer.build(shape)
    variables = [v for layer in layers for v in layer.trainable_variables]
    optimizer = make_optimizer(resolved(weight_decay=0.5), 10, variables)
    optimizer.build(variables)
    before = [v.numpy() for v in variables]
    optimizer.apply([tf.zeros(v.shape) for v in variables], variables)
    decayed = [v.path for v, old in zip(variables, before, strict=True) if not np.array_equal(v.numpy(), old)]
    assert decayed == ["dense/kernel"]
    np.testing.assert_allclose(variables[0].numpy(), before[0] * (1 - 0.1 * 0.5), rtol=1e-5)


@pytest.mark.parametrize("name", ["adam", "adamw", "adafactor", "sgd"])
def test_every_optimizer_goes_downhill(name: str) -> None:
    weights = variable([[3.0, -2.0]])
    optimizer = make_optimizer(resolved(optimizer=name, clip_norm=1.0), 30, [weights])
    optimizer.build([weights])
    for _ in range(30):
        optimizer.apply([weights.value * 2], [weights])
    assert float(tf.reduce_sum(weights.value**2)) < 10


def test_loss_scaling_wraps() -> None:
    optimizer = make_optimizer(resolved(), 1, [], loss_scaling=True)
    assert isinstance(optimizer, keras.optimizers.LossScaleOptimizer)
