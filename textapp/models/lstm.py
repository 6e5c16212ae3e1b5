"""Stacked LSTM layers, read at the last token (and at the first one, where they also run backward)."""

from __future__ import annotations

import keras

from textapp.config import LstmModel
from textapp.layers import Lstm, PaddingMask, TokenEmbedding

POOLING = "last"


def encoder(config: LstmModel, vocabulary_size: int, pad_id: int, max_length: int) -> keras.Model:
    """Token ids `[batch, length]` to the states of the top layer, `[batch, length, units (x 2)]`."""
    token_ids = keras.Input((None,), dtype="int32", name="token_ids")
    mask = PaddingMask(pad_id, name="padding_mask")(token_ids)
    sequence = TokenEmbedding(vocabulary_size, config.embedding_dim, name="token_embedding")(token_ids)
    for number, units in enumerate(config.units):
        sequence = keras.layers.Dropout(config.dropout, name=f"dropout_{number}")(sequence)
        sequence = Lstm(units, config.bidirectional, name=f"lstm_{number}")(sequence, mask)
    return keras.Model({"token_ids": token_ids}, sequence, name="encoder")


def head(config: LstmModel) -> list[keras.layers.Layer]:
    """After the last state: a ReLU layer where it is asked for."""
    if not config.dense_units:
        return []
    return [keras.layers.Dense(config.dense_units, activation="relu", name="dense")]
