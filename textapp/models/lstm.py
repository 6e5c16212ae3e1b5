"""Stacked LSTM layers, read at the last token (and at the first one, where they also run backward)."""

from __future__ import annotations

import keras

from textapp.config import LstmModel
from textapp.layers import Lstm, LstmDecoder, LstmEncoder, PaddingMask, TokenEmbedding
from textapp.models.generator import Generator, GeneratorSettings, assembled

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


def memory_encoder(config: LstmModel, max_length: int) -> LstmEncoder:
    """The layer that a decoder attends to; as wide as `units`, both directions together."""
    units = [max(1, size // 2) for size in config.units] if config.bidirectional else config.units
    return LstmEncoder(units, bool(config.bidirectional), config.dropout, name="encoder")


def decoder(config: LstmModel, max_length: int, memory_dim: int | None) -> LstmDecoder:
    """The layer that writes, over a memory of `memory_dim` features or alone."""
    return LstmDecoder(config.units, config.embedding_dim, memory_dim, config.dropout, name="decoder")


def embedding_dim(config: LstmModel) -> int:
    return config.embedding_dim


def generator(config: LstmModel, settings: GeneratorSettings, plain: bool) -> Generator:
    """A language model, or a translator."""
    return assembled(config, settings, embedding_dim(config), decoder, memory_encoder)


def packs(config: LstmModel) -> bool:
    """No: its state would go from one text into the next."""
    return False
