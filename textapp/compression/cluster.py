"""Weight clustering by the parts of TF-MOT that do not ask for Keras 2: its initial centroids and its gradients.

The variable of the model holds the clustered weights at all times, so that every checkpoint and every figure is of
them. What is trained in its place are the centroids and a copy of the weights as they would be without clusters, which
says to which centroid each belongs; both get their gradients through the forward pass.
"""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from textapp.compression.kernels import Kernel
from textapp.compression.recipe import Cluster
from textapp.compression.tfmot import tfmot
from textapp.training.loop import Hooks, WeightPairs

_LOCAL = {"trainable": False, "aggregation": "only_first_replica"}  # all replicas write the same values


def clustering_hooks(step: Cluster, model: keras.Model, kernels: Sequence[Kernel], keep_zeros: bool) -> Hooks:
    """The hooks of a training that clusters; call it under `strategy.scope()`.

    Args:
        step: the settings.
        model: whose other weights are trained as usual.
        kernels: those to cluster.
        keep_zeros: whether weights that are zero now stay zero.
    """
    parts = [_Clustered(step, kernel, keep_zeros) for kernel in kernels]

    def transform_weights() -> WeightPairs:
        return [(part.variable, part.weights()) for part in parts]

    def after_update() -> None:
        for part in parts:
            part.write()

    clustered = {id(part.variable) for part in parts}
    own = [variable for part in parts for variable in (part.free, part.centroids)]
    masks = [part.mask for part in parts if part.mask is not None]
    trained = [variable for variable in model.trainable_variables if id(variable) not in clustered]
    return Hooks(transform_weights, after_update, [*own, *masks], trained=[*trained, *own])


class _Clustered:
    """A kernel in a training that clusters it.

    Args:
        step: the settings.
        kernel: the kernel.
        keep_zeros: whether weights that are zero now stay zero.

    Attributes:
        variable: of the model; each value is one of the centroids.
        free: the weights without clusters.
        centroids: the distinct values, one of them 0 if zeros are kept.
        mask: 0 where a weight stays zero; None if zeros are not kept.
    """

    def __init__(self, step: Cluster, kernel: Kernel, keep_zeros: bool) -> None:
        self.variable, name = kernel.variable, kernel.name.replace("/", "_")
        weights = keras.ops.convert_to_numpy(self.variable)
        centroids = initial_centroids(weights, step.clusters, step.initialization, keep_zeros)
        self.free = keras.Variable(weights, name=f"{name}_free")
        self.centroids = keras.Variable(centroids, name=f"{name}_centroids")
        self.mask = keras.Variable((weights != 0).astype(np.float32), name="mask", **_LOCAL) if keep_zeros else None
        self._moves = (centroids != 0).astype(np.float32) if keep_zeros else np.ones_like(centroids)
        # The mean and not the sum of the gradients in a cluster: sums of a large kernel would fill the clipped norm.
        mean = tfmot("clustering.keras.cluster_config").GradientAggregation.AVG
        algorithm = tfmot("clustering.keras.clustering_algorithm").ClusteringAlgorithm
        self._algorithm = algorithm(self.centroids.value, mean)

    def weights(self) -> tf.Tensor:
        """The clustered weights, with gradients to the centroids and to the free weights."""
        indices = nearest(self.free.value, self.centroids.value)
        return self._algorithm.get_clustered_weight(indices, self.free.value)

    def write(self) -> None:
        """Writes the clustered weights into the model, after an update of centroids and free weights."""
        if self.mask is not None:
            self.free.assign(self.free.value * self.mask.value)
            self.centroids.assign(self.centroids.value * self._moves)
        indices = nearest(self.free.value, self.centroids.value)
        self.variable.assign(tf.gather(self.centroids.value, indices))


def initial_centroids(weights: np.ndarray, clusters: int, initialization: str, keep_zeros: bool) -> np.ndarray:
    """The initial values of the clusters of a kernel, by an initialiser of TF-MOT.

    Args:
        weights: of the kernel, float32.
        clusters: number of values.
        initialization: `kmeans_plus_plus`, `linear`, `density_based` or `random`.
        keep_zeros: whether one of them is 0.

    Returns:
        `[clusters]` float32; fewer for a kernel that has fewer distinct weights, which are then the values.
    """
    distinct = np.unique(weights)
    if len(distinct) <= clusters:
        return distinct
    module = tfmot("clustering.keras.clustering_centroids")
    kind = tfmot("clustering.keras.cluster_config").CentroidInitialization[initialization.upper()]
    factory = module.CentroidsInitializerFactory.get_centroid_initializer(kind)
    found = factory(tf.reshape(weights, [-1]), clusters, preserve_sparsity=keep_zeros).get_cluster_centroids()
    return np.asarray(found, np.float32)


def nearest(weights: tf.Tensor, centroids: tf.Tensor) -> tf.Tensor:
    """The index of the nearest centroid of each weight, int64, of the shape of `weights`.

    As `ClusteringAlgorithm.get_pulling_indices`, which takes the memory of all differences; this searches in the
    ordered centroids.

    Args:
        weights: of any shape.
        centroids: `[clusters]`.

    Example: of weights `[0.1, 0.8]` and centroids `[1.0, 0.0]` it is `[1, 0]`.
    """
    centroids = tf.convert_to_tensor(centroids)
    order = tf.argsort(centroids)
    ordered = tf.gather(centroids, order)
    if ordered.shape[0] == 1:
        return tf.zeros(tf.shape(weights), tf.int64)
    between = (ordered[1:] + ordered[:-1]) / 2
    places = tf.searchsorted(between, tf.reshape(weights, [-1]))
    return tf.cast(tf.reshape(tf.gather(order, places), tf.shape(weights)), tf.int64)
