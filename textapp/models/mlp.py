"""A classifier like fastText (Joulin et al., 2016): a bag of token and n-gram embeddings, each counted once."""

from __future__ import annotations

from collections.abc import Sequence

import keras

from textapp.config import MlpModel
from textapp.layers import CountOnce, NgramEmbedding, SubwordEmbedding, Sum, TokenEmbedding
from textapp.text.subwords import piece_ngrams

POOLING = "scaled_sum"


def encoder(
    config: MlpModel, vocabulary_size: int, pad_id: int, max_length: int, pieces: Sequence[str] | None = None
) -> keras.Model:
    """Builds the encoder: `{"token_ids": [batch, length]}` to `[batch, length, embedding_dim]`.

    At each token it is the sum of its vector and those of the n-grams that end there.

    Args:
        config: resolved.
        vocabulary_size: of the tokenizer.
        pad_id: the padding id.
        max_length: not used: a bag takes any length.
        pieces: the vocabulary by id, for the training form, with the subwords of `config.subwords`; None: the
            inference form.
    """
    token_ids = keras.Input((None,), dtype="int32", name="token_ids")
    if pieces is not None and config.subwords:
        table = SubwordEmbedding(piece_ngrams(pieces, *config.subwords), config.embedding_dim, name="token_embedding")
    else:
        table = TokenEmbedding(vocabulary_size, config.embedding_dim, name="token_embedding")
    sequence = CountOnce(pad_id, name="count_once")(table(token_ids), token_ids)
    if config.ngrams > 1:
        ngrams = NgramEmbedding(config.ngrams, config.embedding_dim, pad_id, name="ngram_embedding")(token_ids)
        sequence = Sum(name="sum")([sequence, ngrams])
    return keras.Model({"token_ids": token_ids}, sequence, name="encoder")


def head(config: MlpModel) -> list[keras.layers.Layer]:
    """The hidden layers after pooling."""
    layers: list[keras.layers.Layer] = []
    for number, units in enumerate(config.hidden_dims):
        layers.append(keras.layers.Dropout(config.dropout, name=f"hidden_dropout_{number}"))
        layers.append(keras.layers.Dense(units, name=f"hidden_{number}"))
        if config.batch_normalization:
            layers.append(keras.layers.BatchNormalization(name=f"hidden_norm_{number}"))
        layers.append(keras.layers.ReLU(name=f"hidden_relu_{number}"))
    if config.batch_normalization and not config.hidden_dims:
        layers.append(keras.layers.BatchNormalization(name="norm"))
    return layers
