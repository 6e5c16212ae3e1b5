"""Each hook on Dense, LSTM and a KerasHub layer; the update compared with one by hand."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from textapp.training.loop import TrainingLoop
from textapp.training.optimizers import make_optimizer

sys.path.insert(0, str(Path(__file__).parent))
import tiny  # noqa: E402

VOCABULARY, LENGTH, RATE = 20, 6, 0.5


def dense() -> keras.layers.Layer:
    return keras.layers.Dense(8, activation="tanh")


def lstm() -> keras.layers.Layer:
    return keras.layers.LSTM(8, return_sequences=True)


def transformer() -> keras.layers.Layer:
    import keras_hub

    return keras_hub.layers.TransformerEncoder(intermediate_dim=16, num_heads=2)


LAYERS = pytest.mark.parametrize("make_layer", [dense, lstm, transformer])


def make_model(make_layer: Callable[[], keras.layers.Layer], dropout: float = 0.0) -> keras.Model:
    keras.utils.set_random_seed(5)
    token_ids = keras.Input((LENGTH,), dtype="int32", name="token_ids")
    hidden = make_layer()(keras.layers.Embedding(VOCABULARY, 8)(token_ids))
    hidden = keras.layers.Dropout(dropout)(keras.layers.GlobalAveragePooling1D()(hidden))
    return keras.Model({"token_ids": token_ids}, keras.layers.Dense(3, dtype="float32")(hidden))


def make_batch(seed: int = 0) -> dict:
    rng = np.random.default_rng(seed)
    weights = np.array([1, 0.5, 2, 0], np.float32)
    return {
        "features": {"token_ids": tf.constant(rng.integers(0, VOCABULARY, (4, LENGTH)), tf.int32)},
        "targets": tf.constant([0, 1, 2, 1]),
        "weights": tf.constant(weights),
        "total_weight": tf.constant(weights.sum()),
    }


def cross_entropy(batch: dict, outputs: tf.Tensor) -> tf.Tensor:
    return tf.nn.sparse_softmax_cross_entropy_with_logits(batch["targets"], outputs)


def make_loop(model: keras.Model, optimizer: keras.optimizers.Optimizer | None = None, **hooks) -> TrainingLoop:
    optimizer = optimizer or keras.optimizers.SGD(RATE)
    return TrainingLoop(model, optimizer, hooks.pop("loss", cross_entropy), tf.distribute.get_strategy(), **hooks)


def arrays(model: keras.Model) -> list[np.ndarray]:
    return [variable.numpy() for variable in model.trainable_variables]


def by_hand(model: keras.Model, batch: dict) -> tuple[float, list[np.ndarray]]:
    """The loss, and the weights after one step of SGD."""
    with tf.GradientTape() as tape:
        losses = cross_entropy(batch, model(batch["features"], training=True))
        loss = tf.reduce_sum(losses * [1, 0.5, 2, 0]) / 3.5
    gradients = tape.gradient(loss, [variable.value for variable in model.trainable_variables])
    updated = [
        variable.numpy() - RATE * tf.convert_to_tensor(gradient).numpy()
        for variable, gradient in zip(model.trainable_variables, gradients, strict=True)
    ]
    return float(loss), updated


def assert_close(found: list[np.ndarray], expected: list[np.ndarray]) -> None:
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=5e-6, rtol=1e-5)


@LAYERS
@pytest.mark.parametrize("jit_compile", [False, True])
def test_a_step_is_the_step_by_hand(make_layer, jit_compile: bool) -> None:
    model, batch = make_model(make_layer), make_batch()
    loss, expected = by_hand(model, batch)
    found = make_loop(model, jit_compile=jit_compile).step(batch)
    assert float(found) == pytest.approx(loss, abs=1e-5)
    assert_close(arrays(model), expected)


@LAYERS
@pytest.mark.parametrize("open_rows", [False, True])
@pytest.mark.parametrize("parts", [2, 3, 5])
def test_parts_of_a_batch_add_up_to_it(make_layer, parts: int, open_rows: bool) -> None:
    """Five parts of four rows: one has none."""
    model, batch = make_model(make_layer), make_batch()
    loss, expected = by_hand(model, batch)
    loop = make_loop(model, parts=parts)
    found = loop.steps(opened([batch]), tf.constant(1))[0] if open_rows else loop.step(batch)
    assert float(found) == pytest.approx(loss, abs=1e-5)
    assert_close(arrays(model), expected)


def opened(batches: list) -> Iterator:
    """An iterator over batches whose number of rows is not known to a trace."""
    shapes = tf.nest.map_structure(lambda each: tf.TensorSpec([None, *each.shape[1:]], each.dtype), batches[0])
    shapes["total_weight"] = tf.TensorSpec([], batches[0]["total_weight"].dtype)
    return iter(tf.data.Dataset.from_generator(lambda: iter(batches), output_signature=shapes))


@LAYERS
@pytest.mark.parametrize("accumulated", [1, 2])
def test_several_steps_of_a_call_are_those_of_several_calls(make_layer, accumulated: int) -> None:
    """Batches of different sizes; the second call traces nothing."""
    batch = make_batch()
    rows = {name: each for name, each in batch.items() if name != "total_weight"}
    smaller = tf.nest.map_structure(lambda each: each[:3], rows)
    batches = [batch, {**smaller, "total_weight": tf.reduce_sum(smaller["weights"])}] * 3
    one, several = (make_loop(make_model(make_layer), gradient_accumulation_steps=accumulated) for _ in range(2))
    losses = [float(one.step(each)) for each in batches]
    made = opened(batches)
    found = [*several.steps(made, tf.constant(2)).numpy(), *several.steps(made, tf.constant(4)).numpy()]
    assert found == pytest.approx(losses, abs=1e-5) and several.steps.experimental_get_tracing_count() == 1
    assert_close(arrays(several.model), arrays(one.model))


@LAYERS
def test_transform_weights_passes_gradients_straight_through(make_layer) -> None:
    """Weights seen on a grid of 1/64; the gradient is the one at the rounded weights, given to the true ones."""
    model, batch = make_model(make_layer), make_batch()

    def rounded(value: tf.Tensor) -> tf.Tensor:
        return value + tf.stop_gradient(tf.round(value * 64) / 64 - value)

    kernels = [variable for variable in model.trainable_variables if len(variable.shape) > 1]
    start = arrays(model)
    for kernel in kernels:
        kernel.assign(tf.round(kernel.value * 64) / 64)
    grid = arrays(model)
    loss, after = by_hand(model, batch)
    for variable, value in zip(model.trainable_variables, start, strict=True):
        variable.assign(value)
    loop = make_loop(model, transform_weights=lambda: [(kernel, rounded(kernel.value)) for kernel in kernels])
    assert float(loop.step(batch)) == pytest.approx(loss, abs=1e-5)
    assert_close(arrays(model), [one + (new - old) for one, new, old in zip(start, after, grid, strict=True)])


@LAYERS
def test_loss_may_use_what_the_batch_carries(make_layer) -> None:
    model, batch = make_model(make_layer), make_batch()
    teacher = tf.random.stateless_normal((4, 3), [1, 2])
    outputs = model(batch["features"])
    expected = tf.reduce_sum(tf.reduce_sum((outputs - teacher) ** 2, -1) * [1, 0.5, 2, 0]) / 3.5
    loop = make_loop(model, loss=lambda batch, outputs: tf.reduce_sum((outputs - batch["teacher"]) ** 2, -1))
    assert float(loop.step(batch | {"teacher": teacher})) == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.parametrize("transforms", [False, True])
def test_the_loss_takes_what_forward_returns(transforms: bool) -> None:
    model, batch = make_model(dense), make_batch()
    loss, expected = by_hand(model, batch)
    seen = []

    def forward(features: dict, training: bool) -> tuple[tf.Tensor, tf.Tensor]:
        seen.append(training)
        outputs = model(features, training=training)
        return outputs, 2 * outputs

    def half_of_the_second(batch: dict, outputs: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
        return cross_entropy(batch, outputs[1] / 2)

    kernel = model.trainable_variables[1]
    hook = {"transform_weights": lambda: [(kernel, kernel.value * 1.0)]} if transforms else {}
    loop = make_loop(model, loss=half_of_the_second, forward=forward, **hook)
    assert float(loop.step(batch)) == pytest.approx(loss, abs=1e-5)
    assert_close(arrays(model), expected)
    assert set(seen) == {True}


@LAYERS
def test_after_update_sees_the_updated_weights(make_layer) -> None:
    model, batch = make_model(make_layer), make_batch()
    _, expected = by_hand(model, batch)
    kernel = model.trainable_variables[1]
    mask = np.zeros(kernel.shape, np.float32)
    mask[..., 0] = 1
    loop = make_loop(model, after_update=lambda: kernel.value.assign(kernel.value * mask))
    loop.step(batch)
    expected[1] = expected[1] * mask
    assert_close(arrays(model), expected)


def test_the_scope_of_transform_weights_writes_seeds_and_statistics_back() -> None:
    def normalised() -> keras.layers.Layer:
        return keras.layers.BatchNormalization()

    def states(transforms: bool) -> list[np.ndarray]:
        model = make_model(normalised, dropout=0.5)
        head = model.trainable_variables[-2]
        hook = {"transform_weights": lambda: [(head, head.value * 1.0)]} if transforms else {}
        loop = make_loop(model, **hook)
        for _ in range(3):
            loop.step(make_batch())
        return [variable.numpy() for variable in model.variables]

    assert_close(states(True), states(False))


def test_float16_scales_its_loss_and_skips_what_overflows() -> None:
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = make_model(dense)
    finally:
        keras.config.set_dtype_policy(policy)
    optimizer = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.01), initial_scale=1e9)
    loop, before = make_loop(model, optimizer), arrays(model)
    loop.step(make_batch())
    assert_close(arrays(model), before)
    losses = [float(loop.step(make_batch())) for _ in range(40)]
    assert losses[-1] < losses[0]
    assert float(optimizer.dynamic_scale) < 1e9


def test_bfloat16_trains_float32_variables() -> None:
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = make_model(dense)
    finally:
        keras.config.set_dtype_policy(policy)
    loop = make_loop(model)
    losses = [float(loop.step(make_batch())) for _ in range(20)]
    assert losses[-1] < losses[0] / 2
    assert {variable.dtype for variable in model.trainable_variables} == {"float32"}


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd", "adafactor"])
def test_half_batches_accumulated_move_as_whole_ones(optimizer: str) -> None:
    """A clipped norm, a decay, halves of different weight; two updates, each told once."""
    dice = np.random.default_rng(0)
    rows = dice.integers(0, VOCABULARY, (8, LENGTH)).astype(np.int32)
    weights = dice.uniform(0.1, 3, 8).astype(np.float32)
    moved = {}
    for batches in (1, 2):
        model, updates = make_model(dense), []
        config = tiny.make_config(optimizer=optimizer, gradient_accumulation_steps=batches, clip_norm=0.5)
        made = make_optimizer(config, 2, model.trainable_variables)
        counter = keras.Variable(0, dtype="int32")
        count = partial(counter.assign_add, 1)
        loop = make_loop(model, made, gradient_accumulation_steps=batches, after_update=count)
        for part in np.split(np.arange(8), 2 * batches):
            loop.step(weighted_batch(rows[part], weights[part]))
            updates.append(int(counter.value))
        moved[batches] = arrays(model)
        assert int(made.iterations) == 2 and updates == ([1, 2] if batches == 1 else [0, 1, 1, 2])
        assert bool(loop.variables) is (batches == 2)
    for one, two in zip(moved[1], moved[2], strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-4, atol=1e-6)


def weighted_batch(rows: np.ndarray, weights: np.ndarray) -> dict:
    return {
        "features": {"token_ids": tf.constant(rows)}, "targets": tf.constant(rows[:, 0] % 3),
        "weights": tf.constant(weights), "total_weight": tf.reduce_sum(weights),
    }  # fmt: skip


def test_the_rest_of_a_group_makes_an_update_of_its_own() -> None:
    rows = np.random.default_rng(0).integers(0, VOCABULARY, (4, LENGTH)).astype(np.int32)
    rest, alone = make_loop(make_model(dense), gradient_accumulation_steps=3), make_loop(make_model(dense))
    for part in (rows[:2], rows[2:]):
        rest.step(weighted_batch(part, np.ones(2, np.float32)))
    rest.update_from_rest()
    alone.step(weighted_batch(rows, np.ones(4, np.float32)))
    alone.update_from_rest()
    assert_close(arrays(rest.model), arrays(alone.model))
    assert not any(np.any(variable.numpy()) for variable in rest.variables)
    before = arrays(rest.model)
    rest.update_from_rest()  # of nothing
    assert all((one == two).all() for one, two in zip(before, arrays(rest.model), strict=True))
