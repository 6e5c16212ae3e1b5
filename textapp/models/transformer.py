"""A pre-norm Transformer, trained from scratch (Vaswani et al., 2017; Xiong et al., 2020)."""

from __future__ import annotations

import keras

from textapp.config import TransformerModel
from textapp.errors import ConfigError
from textapp.layers import (
    AttentionMask,
    BlockSettings,
    LayerNorm,
    PaddingMask,
    Positions,
    QuestionFlags,
    TokenEmbedding,
    TransformerBlock,
    TransformerDecoder,
    TransformerEncoder,
)
from textapp.models.generator import Generator, GeneratorSettings, assembled

POOLING = "mean"


def encoder(config: TransformerModel, vocabulary_size: int, pad_id: int, max_length: int) -> keras.Model:
    """Builds the encoder: `{"token_ids": [batch, length]}` to `[batch, length, hidden_dim]`.

    Args:
        config: resolved.
        vocabulary_size: of the tokenizer.
        pad_id: the padding id.
        max_length: the longest text in tokens.
    """
    token_ids = keras.Input((None,), dtype="int32", name="token_ids")
    mask = PaddingMask(pad_id, name="padding_mask")(token_ids)
    sequence = _blocks(config, max_length, _embedded(config, vocabulary_size, token_ids), mask)
    return keras.Model({"token_ids": token_ids}, sequence, name="encoder")


def reader(config: TransformerModel, vocabulary_size: int, pad_id: int, max_length: int) -> keras.Model:
    """Builds the encoder of question and context, whose tokens also have the flags of `QuestionFlags`.

    Args:
        config, vocabulary_size, pad_id, max_length: as for `encoder`.
    """
    inputs = {name: keras.Input((None,), dtype="int32", name=name) for name in ("token_ids", "segment_ids")}
    mask = PaddingMask(pad_id, name="padding_mask")(inputs["token_ids"])
    flags = QuestionFlags(vocabulary_size, name="flags")(inputs["token_ids"], inputs["segment_ids"], mask)
    sequence = _embedded(config, vocabulary_size, inputs["token_ids"])
    sequence = keras.layers.Add(name="add_flags")(
        [sequence, keras.layers.Dense(config.hidden_dim, use_bias=False, name="flag_vectors")(flags)]
    )
    return keras.Model(inputs, _blocks(config, max_length, sequence, mask), name="reader")


def _blocks(config: TransformerModel, max_length: int, sequence, mask):
    if config.positions != "rope":
        sequence = Positions(config.positions, max_length, name="positions")(sequence)
    sequence = keras.layers.Dropout(config.dropout, name="dropout")(sequence)
    mask = AttentionMask(name="attention_mask")(mask)
    settings, rope = _settings(config, max_length), config.positions == "rope"
    for number in range(config.num_layers):
        sequence = TransformerBlock(settings, rope, name=f"block_{number}")(sequence, mask)
    return LayerNorm(epsilon=1e-6, name="norm")(sequence)


def _embedded(config: TransformerModel, vocabulary_size: int, token_ids):
    dim = config.embedding_dim or config.hidden_dim
    normal = keras.initializers.RandomNormal(stddev=0.02)
    sequence = TokenEmbedding(vocabulary_size, dim, initializer=normal, name="token_embedding")(token_ids)
    if dim != config.hidden_dim:
        sequence = keras.layers.Dense(config.hidden_dim, name="embedding_projection")(sequence)
    return sequence


def head(config: TransformerModel) -> list[keras.layers.Layer]:
    """No layers between the mean and the logits."""
    return []


def memory_encoder(config: TransformerModel, max_length: int) -> TransformerEncoder:
    """The encoder of an encoder-decoder, for sources of at most `max_length` tokens."""
    settings = _settings(config, max_length)
    num_layers = config.encoder_layers or config.num_layers
    return TransformerEncoder(config.hidden_dim, num_layers, settings, config.positions, name="encoder")


def decoder(config: TransformerModel, max_length: int, memory_dim: int | None) -> TransformerDecoder:
    """The decoder.

    Args:
        config: resolved.
        max_length: the longest sequence in tokens.
        memory_dim: features of the encoder's output; None: a language model.
    """
    settings = _settings(config, max_length)
    num_layers = config.num_layers if memory_dim is None else config.decoder_layers or config.num_layers
    return TransformerDecoder(
        config.hidden_dim, num_layers, settings, config.positions, memory_dim=memory_dim, name="decoder"
    )


def embedding_dim(config: TransformerModel) -> int:
    """The size of the token embeddings of a generation model.

    Raises:
        ConfigError: it is not `hidden_dim`, which the output layer needs.
    """
    if config.embedding_dim not in (None, config.hidden_dim):
        raise ConfigError(
            f"model.embedding_dim: found {config.embedding_dim}, expected {config.hidden_dim}, which is "
            "model.hidden_dim: leave it out"
        )
    return config.hidden_dim


def generator(config: TransformerModel, settings: GeneratorSettings, inference: bool) -> Generator:
    """A language model, or a translator.

    Args:
        config: the model part of a resolved config.
        settings: what task and tokenizer ask of it.
        inference: not used: both forms are the same.
    """
    return assembled(config, settings, embedding_dim(config), decoder, memory_encoder, scaled=True)


def packs(config: TransformerModel) -> bool:
    """Attention masks part the texts of a row."""
    return True


def _settings(config: TransformerModel, max_length: int) -> BlockSettings:
    return BlockSettings(
        num_heads=config.num_heads,
        intermediate_dim=config.intermediate_dim or 4 * config.hidden_dim,
        num_key_value_heads=config.num_key_value_heads,
        head_dim=config.head_dim,
        activation=config.activation,
        dropout=config.dropout,
        max_length=max_length,
    )
