"""Clustering: how many values, which gradients they get, and that zeros and values stay in files."""

from __future__ import annotations

import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from textapp.compression.cluster import clustering_hooks, initial_centroids, nearest
from textapp.compression.kernels import kernels_of
from textapp.compression.tfmot import tfmot
from textapp.models.saving import load_model
from textapp.training.loop import TrainingLoop

sys.path.insert(0, str(Path(__file__).parent))
import small  # noqa: E402


def distinct(model: keras.Model, step) -> dict[str, int]:
    return {name: len(np.unique(view)) for name, view in small.views(model, step).items()}


@pytest.mark.parametrize("architecture", small.MODELS)
def test_every_kernel_has_so_many_values(tmp_path: Path, architecture: str) -> None:
    data, step = small.prepared(tmp_path, architecture), small.step_of(method="cluster", clusters=5, embeddings=True)
    begun = small.start(data)
    model, _ = small.compressed(tmp_path, data, step, begun.get_weights())
    found = distinct(model, step)
    assert "token_embedding/embeddings" in found and set(found.values()) <= {2, 3, 4, 5} and 5 in found.values()
    model.save(tmp_path / "model.keras")
    assert distinct(load_model(tmp_path / "model.keras"), step) == found
    after, bias = model.get_layer("logits").get_weights()
    assert not np.array_equal(bias, begun.get_layer("logits").get_weights()[1])  # other weights are trained as usual


def test_zeros_are_kept(tmp_path: Path) -> None:
    data, step = small.prepared(tmp_path, "cnn"), small.step_of(method="cluster", clusters=5)
    begun = small.start(data)
    for kernel in kernels_of(begun):
        values = kernel.variable.numpy()
        kernel.variable.assign(np.where(np.abs(values) < np.median(np.abs(values)), 0, values))
    before = small.views(begun, step)
    model, _ = small.compressed(tmp_path, data, step, begun.get_weights(), keep_zeros=True)
    for name, view in small.views(model, step).items():
        assert np.all(view[before[name] == 0] == 0), name
        assert len(np.unique(view)) <= 5 and 0 in view


def test_both_the_values_and_the_weights_get_gradients() -> None:
    """One step of plain gradient descent by hand: a value moves by the mean over its cluster, a weight by its own."""
    read = keras.Input((4,), name="x")
    model = keras.Model({"x": read}, keras.layers.Dense(1, use_bias=False)(read))
    kernel = model.trainable_variables[0]
    kernel.assign([[0.1], [0.3], [0.9], [1.1]])
    hooks = clustering_hooks(
        small.step_of(method="cluster", clusters=2, initialization="linear"), model, kernels_of(model), False
    )
    free, centroids = hooks.variables
    assert np.allclose(centroids.numpy(), [0.1, 1.1])
    optimizer = keras.optimizers.SGD(0.5)
    loop = TrainingLoop(
        model, optimizer, lambda batch, outputs: outputs[:, 0], tf.distribute.get_strategy(),
        transform_weights=hooks.transform_weights, after_update=hooks.after_update, trained=hooks.trained,
    )  # fmt: skip
    x = np.array([[0.2, 0.4, 0.2, 1.0]], np.float32)
    batch = {"features": {"x": tf.constant(x)}, "weights": tf.ones(1), "total_weight": tf.constant(1.0)}
    loss = loop.step(batch)
    assert float(loss) == pytest.approx(0.1 * 0.6 + 1.1 * 1.2)  # the forward pass has the values
    # the gradient of each weight is its x
    assert np.allclose(free.numpy()[:, 0], [0.1 - 0.1, 0.3 - 0.2, 0.9 - 0.1, 1.1 - 0.5])
    assert np.allclose(centroids.numpy(), [0.1 - 0.5 * 0.3, 1.1 - 0.5 * 0.6])
    assert np.allclose(kernel.numpy()[:, 0], [-0.05, -0.05, 0.8, 0.8])


def test_the_nearest_value_is_that_of_the_toolkit() -> None:
    dice = np.random.default_rng(0)
    weights, centroids = dice.normal(size=(40, 3, 5)).astype(np.float32), dice.normal(size=7).astype(np.float32)
    algorithm = tfmot("clustering.keras.clustering_algorithm").ClusteringAlgorithm(tf.Variable(centroids))
    assert np.array_equal(nearest(weights, centroids), algorithm.get_pulling_indices(weights))
    assert nearest(tf.constant([0.1, 0.8]), tf.constant([1.0, 0.0])).numpy().tolist() == [1, 0]
    assert nearest(tf.constant([[3.0]]), tf.constant([0.0])).numpy().tolist() == [[0]]


@pytest.mark.parametrize("initialization", ["kmeans_plus_plus", "linear", "density_based", "random"])
@pytest.mark.parametrize("keep_zeros", [False, True])
def test_initial_values(initialization: str, keep_zeros: bool) -> None:
    weights = np.random.default_rng(1).normal(size=(30, 10)).astype(np.float32)
    weights[::2] = 0
    found = initial_centroids(weights, 8, initialization, keep_zeros)
    assert found.shape == (8,) and found.dtype == np.float32
    assert weights.min() - 0.1 <= found.min() < 0 < found.max() <= weights.max() + 0.1
    assert not keep_zeros or (found == 0).sum() == 1
    if initialization == "linear" and not keep_zeros:
        assert np.allclose(found, np.linspace(weights.min(), weights.max(), 8), atol=1e-5)


def test_few_distinct_weights_are_the_values() -> None:
    assert initial_centroids(np.array([[2, 0, 0.5, 0.5]], np.float32), 16, "linear", True).tolist() == [0, 0.5, 2]
