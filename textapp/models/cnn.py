"""Parallel convolutions over the tokens with max-over-time pooling (Kim, 2014)."""

from __future__ import annotations

import keras

from textapp.config import CnnModel
from textapp.layers import PaddingMask, TokenEmbedding, WindowFeatures

POOLING = "max"
SPATIAL_DROPOUT = 0.2  # of whole embedding features, so that no filter relies on a single one


def encoder(config: CnnModel, vocabulary_size: int, pad_id: int, max_length: int) -> keras.Model:
    """Builds the encoder: `{"token_ids": [batch, length]}` to features `[batch, length, filters * sizes]`.

    Args:
        config: resolved.
        vocabulary_size: of the tokenizer.
        pad_id: the padding id.
        max_length: not used: convolutions take any length.
    """
    token_ids = keras.Input((None,), dtype="int32", name="token_ids")
    sequence = TokenEmbedding(vocabulary_size, config.embedding_dim, name="token_embedding")(token_ids)
    mask = keras.layers.Reshape((-1, 1), name="mask_column")(PaddingMask(pad_id, name="padding_mask")(token_ids))
    sequence = keras.layers.Multiply(name="masked")([sequence, mask])
    sequence = keras.layers.SpatialDropout1D(min(config.dropout, SPATIAL_DROPOUT), name="dropout")(sequence)
    sequence = WindowFeatures(config.filters, config.kernel_sizes, name="windows")(sequence)
    return keras.Model({"token_ids": token_ids}, sequence, name="encoder")


def head(config: CnnModel) -> list[keras.layers.Layer]:
    """The layers after max pooling: batch normalisation, if the config asks for it."""
    return [keras.layers.BatchNormalization(name="norm")] if config.batch_normalization else []
