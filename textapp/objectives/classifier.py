"""The model of a classifier (encoder, pooling, head) and its losses."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import keras
import numpy as np
import tensorflow as tf

from textapp.config import Config
from textapp.errors import ConfigError, did_you_mean
from textapp.layers import POOLINGS, PaddingMask
from textapp.models import build_encoder, serving

Loss = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]


def build_model(
    config: Config,
    vocabulary_size: int,
    pad_id: int,
    num_labels: int,
    segments: bool = False,
    vectors: np.ndarray | None = None,
    pieces: Sequence[str] | None = None,
) -> keras.Model:
    """Builds the classifier that a config describes.

    Args:
        config: resolved, with its lengths.
        vocabulary_size: number of ids.
        pad_id: the padding id.
        num_labels: number of labels.
        segments: whether the model also takes `segment_ids`, as a preset does for pairs.
        vectors: initial token embeddings, `[vocabulary_size, embedding_dim]` float32.
        pieces: the vocabulary by id, for the training form, see `build_encoder`; None for the inference form.

    Returns:
        A model: `{"token_ids": [batch, length] int32}` (and `segment_ids`) to logits `[batch, num_labels]` float32.
    """
    module = serving(config.model.architecture, "encoder")
    encoder = build_encoder(config.model, vocabulary_size, pad_id, config.lengths[-1], segments, pieces)
    names = ["token_ids", "segment_ids"] if segments else ["token_ids"]
    inputs = {name: keras.Input((None,), dtype="int32", name=name) for name in names}
    pooling = POOLINGS[module.POOLING]
    options = {"bidirectional": True} if getattr(config.model, "bidirectional", False) else {}
    mask = PaddingMask(pad_id, name="padding_mask")(inputs["token_ids"])
    features = pooling(name="pooling", **options)(encoder(inputs), mask)
    for layer in module.head(config.model):
        features = layer(features)
    features = keras.layers.Dropout(config.model.dropout, name="head_dropout")(features)
    logits = keras.layers.Dense(num_labels, dtype="float32", name="logits")(features)
    if vectors is not None:
        encoder.get_layer("token_embedding").embeddings.assign(vectors)
    return keras.Model(inputs, logits, name="classifier")


def probabilities(logits: tf.Tensor, multiple: bool) -> tf.Tensor:
    """Logits `[batch, num_labels]` to probabilities, by softmax, or by a sigmoid if labels are multiple."""
    return tf.sigmoid(logits) if multiple else tf.nn.softmax(logits)


def make_loss(multiple: bool, label_smoothing: float = 0.0, weights: Sequence[float] | None = None) -> Loss:
    """Makes the loss of a classifier.

    Args:
        multiple: multi-label: the mean of the binary cross-entropies of the labels; else softmax cross-entropy.
        label_smoothing: share of the target that is spread over all labels (Szegedy et al., 2016).
        weights: a weight for each label, see `label_weights`.

    Returns:
        A function of targets (`[batch]` int32, or `[batch, num_labels]` float32 if multiple) and logits
        `[batch, num_labels]` to losses `[batch]` float32.

    Example: `make_loss(False)([0], [[0.0, 0.0]])` is `[0.693]`, ln 2.
    """
    table = None if weights is None else np.asarray(weights, np.float32)

    def single(targets: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
        hot = tf.one_hot(targets, logits.shape[-1])
        smooth = hot * (1.0 - label_smoothing) + label_smoothing / logits.shape[-1]
        losses = tf.nn.softmax_cross_entropy_with_logits(smooth, logits)
        return losses if table is None else losses * tf.reduce_sum(hot * table, axis=-1)

    def several(targets: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
        smooth = targets * (1.0 - label_smoothing) + 0.5 * label_smoothing
        losses = tf.nn.sigmoid_cross_entropy_with_logits(smooth, logits)
        return tf.reduce_mean(losses if table is None else losses * table, axis=-1)

    return several if multiple else single


def label_weights(
    setting: Literal["balanced"] | Mapping[str, float] | None,
    labels: Sequence[str],
    counts: np.ndarray,
) -> list[float] | None:
    """The weight of each label in the loss.

    Args:
        setting: `training.class_weights`; `balanced` gives each label the same share of the total loss.
        labels: in the order of the logits.
        counts: number of training examples of each label, `[num_labels]`.

    Raises:
        ConfigError: the setting names a label that the data do not have.

    Example: `label_weights("balanced", ["a", "b"], [3, 1])` is `[0.667, 2.0]`.
    """
    if setting is None:
        return None
    if setting == "balanced":
        counts = np.asarray(counts)
        return [float(weight) for weight in counts.sum() / (len(labels) * np.maximum(counts, 1))]
    for name in setting:
        if name not in labels:
            raise ConfigError(
                f"training.class_weights: found the label {name!r}{did_you_mean(name, labels)}; "
                f"expected labels of the training data: {', '.join(labels)}"
            )
    return [float(setting.get(name, 1.0)) for name in labels]
