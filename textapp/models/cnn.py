"""Parallel convolutions over the tokens with max-over-time pooling (Kim, 2014)."""

from __future__ import annotations

import keras

from textapp.config import CnnModel
from textapp.layers import PaddingMask, TokenEmbedding, WindowFeatures

POOLING = "max"
SPATIAL_DROPOUT = 0.2  # whole columns of the embedding: keeps a filter from leaning on one number


def encoder(config: CnnModel, vocabulary_size: int, pad_id: int, max_length: int) -> keras.Model:
    """Token ids `[batch, length]` to the features of the window at each token, `[batch, length, filters * sizes]`."""
    token_ids = keras.Input((None,), dtype="int32", name="token_ids")
    sequence = TokenEmbedding(vocabulary_size, config.embedding_dim, name="token_embedding")(token_ids)
    mask = keras.layers.Reshape((-1, 1), name="mask_column")(PaddingMask(pad_id, name="padding_mask")(token_ids))
    sequence = keras.layers.Multiply(name="masked")([sequence, mask])
    sequence = keras.layers.SpatialDropout1D(min(config.dropout, SPATIAL_DROPOUT), name="dropout")(sequence)
    sequence = WindowFeatures(config.filters, config.kernel_sizes, name="windows")(sequence)
    return keras.Model({"token_ids": token_ids}, sequence, name="encoder")


def head(config: CnnModel) -> list[keras.layers.Layer]:
    """After the maximum: batch normalisation where it is asked for."""
    return [keras.layers.BatchNormalization(name="norm")] if config.batch_normalization else []
