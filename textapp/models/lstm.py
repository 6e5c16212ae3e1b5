"""Stacked LSTM layers, with the final states as the vector of a text."""

from __future__ import annotations

import keras

from textapp.config import LstmModel
from textapp.layers import (
    AlignedQuestion,
    Lstm,
    LstmDecoder,
    LstmEncoder,
    PaddingMask,
    QuestionFlags,
    TokenEmbedding,
)
from textapp.models.generator import Generator, GeneratorSettings, assembled

POOLING = "last"


def encoder(config: LstmModel, vocabulary_size: int, pad_id: int, max_length: int) -> keras.Model:
    """Builds the encoder: `{"token_ids": [batch, length]}` to the top layer's states `[batch, length, units (x 2)]`.

    Args:
        config: resolved.
        vocabulary_size: of the tokenizer.
        pad_id: the padding id.
        max_length: not used: an LSTM takes any length.
    """
    token_ids = keras.Input((None,), dtype="int32", name="token_ids")
    mask = PaddingMask(pad_id, name="padding_mask")(token_ids)
    sequence = TokenEmbedding(vocabulary_size, config.embedding_dim, name="token_embedding")(token_ids)
    for number, units in enumerate(config.units):
        sequence = keras.layers.Dropout(config.dropout, name=f"dropout_{number}")(sequence)
        sequence = Lstm(units, config.bidirectional, name=f"lstm_{number}")(sequence, mask)
    return keras.Model({"token_ids": token_ids}, sequence, name="encoder")


def reader(config: LstmModel, vocabulary_size: int, pad_id: int, max_length: int) -> keras.Model:
    """Builds an encoder of question and context in the way of DrQA (Chen et al., 2017).

    Each token has its embedding, the question aligned to it, and the flags of `QuestionFlags`.

    Args:
        config: resolved.
        vocabulary_size: of the tokenizer.
        pad_id: the padding id.
        max_length: not used: an LSTM takes any length.
    """
    inputs = {name: keras.Input((None,), dtype="int32", name=name) for name in ("token_ids", "segment_ids")}
    mask = PaddingMask(pad_id, name="padding_mask")(inputs["token_ids"])
    embeddings = TokenEmbedding(vocabulary_size, config.embedding_dim, name="token_embedding")(inputs["token_ids"])
    embeddings = keras.layers.Dropout(config.dropout, name="embedding_dropout")(embeddings)
    sequence = keras.layers.Concatenate(name="with_question")(
        [
            embeddings,
            AlignedQuestion(name="aligned_question")(embeddings, inputs["segment_ids"], mask),
            QuestionFlags(vocabulary_size, name="flags")(inputs["token_ids"], inputs["segment_ids"], mask),
        ]
    )
    for number, units in enumerate(config.units):
        sequence = Lstm(units, config.bidirectional, name=f"lstm_{number}")(sequence, mask)
        sequence = keras.layers.Dropout(config.dropout, name=f"dropout_{number}")(sequence)
    return keras.Model(inputs, sequence, name="reader")


def head(config: LstmModel) -> list[keras.layers.Layer]:
    """The layers after the final states: a dense layer with ReLU, if the config asks for one."""
    if not config.dense_units:
        return []
    return [keras.layers.Dense(config.dense_units, activation="relu", name="dense")]


def memory_encoder(config: LstmModel, max_length: int) -> LstmEncoder:
    """The encoder of an encoder-decoder; with two directions each has half of the units."""
    units = [max(1, size // 2) for size in config.units] if config.bidirectional else config.units
    return LstmEncoder(units, bool(config.bidirectional), config.dropout, name="encoder")


def decoder(config: LstmModel, max_length: int, memory_dim: int | None) -> LstmDecoder:
    """The decoder.

    Args:
        config: resolved.
        max_length: not used: an LSTM takes any length.
        memory_dim: features of the encoder's output; None: a language model.
    """
    return LstmDecoder(config.units, config.embedding_dim, memory_dim, config.dropout, name="decoder")


def embedding_dim(config: LstmModel) -> int:
    """The size of the token embeddings of a generation model."""
    return config.embedding_dim


def generator(config: LstmModel, settings: GeneratorSettings, inference: bool) -> Generator:
    """A language model, or a translator.

    Args:
        config: the model part of a resolved config.
        settings: what task and tokenizer ask of it.
        inference: not used: both forms are the same.
    """
    return assembled(config, settings, embedding_dim(config), decoder, memory_encoder)


def packs(config: LstmModel) -> bool:
    """No: its state would go from one text into the next."""
    return False
