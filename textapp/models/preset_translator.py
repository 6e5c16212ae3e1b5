"""A pretrained KerasHub encoder-decoder, rebuilt on textapp's own layers with the preset's weights.

So it decodes, exports and trains as every other `Generator`. BART is served.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from textapp.config import PresetModel
from textapp.errors import ConfigError
from textapp.layers import TransformerDecoder, TransformerEncoder
from textapp.models.generator import Generator
from textapp.models.preset import read_preset


def build_translator(
    config: PresetModel,
    vocabulary_size: int,
    pad_id: int,
    start_id: int,
    end_id: int,
    max_length: int,
    max_source_length: int,
) -> Generator:
    """A model that reads a source and writes a target, both in the preset's one vocabulary.

    Args:
        config: the model part of a resolved config.
        vocabulary_size: of the preset's tokenizer; further rows of the preset's table, which no token has, are left
            out, so that they are never written.
        pad_id, start_id, end_id: of the tokenizer; `start_id` is what the decoder reads first.
        max_length: the most tokens that the decoder reads.
        max_source_length: the longest source, in tokens.

    Raises:
        ConfigError: there is no such preset, it is of no family that is served, or too small for the tokenizer or the
            lengths.
    """
    backbone = read_preset(config.path)
    rebuilt = REBUILT.get(type(backbone).__name__)
    if rebuilt is None:
        raise ConfigError(
            f"model.path: {config.path!r} holds a {type(backbone).__name__}; expected for task translation one of "
            f"{', '.join(REBUILT)}"
        )
    _check_fits(config, backbone, vocabulary_size, max(max_length, max_source_length))
    encoder, decoder, options = rebuilt(backbone, config.dropout or 0.0, max_source_length, max_length)
    model = Generator(
        decoder, vocabulary_size, backbone.hidden_dim, pad_id, start_id, end_id, encoder=encoder, **options,
        name="generator",
    )  # fmt: skip
    _copy_bart(backbone, model)
    return model


def _check_fits(config: PresetModel, backbone: keras.Model, vocabulary_size: int, length: int) -> None:
    if vocabulary_size > backbone.vocabulary_size:
        raise ConfigError(
            f"model.path: {config.path!r} knows {backbone.vocabulary_size} tokens, its tokenizer has {vocabulary_size}"
        )
    most = getattr(backbone, "max_sequence_length", length)
    if length > most:
        raise ConfigError(
            f"lengths, generate_lengths: found {length} tokens with start and end; the preset {config.path!r} reads "
            f"{most} at most"
        )


# --- BART ----------------------------------------------------------------------------------------------------------


def _bart(backbone: keras.Model, dropout: float, max_source_length: int, max_length: int) -> tuple[Any, Any, dict]:
    """BART (Lewis et al., 2020): post-norm, learned positions, one table for source, target and logits."""
    settings = {
        "hidden_dim": backbone.hidden_dim,
        "num_layers": backbone.num_layers,
        "num_heads": backbone.num_heads,
        "intermediate_dim": backbone.intermediate_dim,
        "positions": "learned",
        "activation": "gelu",
        "dropout": dropout,
        "epsilon": 1e-5,
        "norm_first": False,
    }
    encoder = TransformerEncoder(**settings, max_length=max_source_length, name="encoder")
    decoder = TransformerDecoder(**settings, max_length=max_length, memory_dim=backbone.hidden_dim, name="decoder")
    return encoder, decoder, {"tied": True, "scaled": False}


def _copy_bart(backbone: keras.Model, model: Generator) -> None:
    model.token_embedding.embeddings.assign(backbone.token_embedding.embeddings[: model.vocabulary_size])
    for side, stack in (("encoder", model.encoder), ("decoder", model.decoder)):
        positions = getattr(backbone, f"{side}_position_embedding").get_weights()[0]
        stack.positions.table.assign(positions[: stack.max_length])
        stack.norm.set_weights(getattr(backbone, f"{side}_embeddings_layer_norm").get_weights())
        for source, block in zip(getattr(backbone, f"{side}_transformer_layers"), stack.blocks, strict=True):
            _copy_attention(source._self_attention_layer, block.attention)
            block.attention_norm.set_weights(source._self_attention_layer_norm.get_weights())
            if side == "decoder":
                _copy_attention(source._cross_attention_layer, block.cross_attention)
                block.cross_attention_norm.set_weights(source._cross_attention_layer_norm.get_weights())
            block.inward.set_weights(source._feedforward_intermediate_dense.get_weights())
            block.outward.set_weights(source._feedforward_output_dense.get_weights())
            block.feed_forward_norm.set_weights(source._feedforward_layer_norm.get_weights())


def _copy_attention(source: Any, attention: Any) -> None:
    """KerasHub keeps attention kernels as `[dim, heads, head_dim]`; here they are matrices."""
    for name, projection in attention.projections.items():
        weights = getattr(source, f"{name}_dense").get_weights()
        projection.set_weights(
            [np.reshape(given, own.shape) for given, own in zip(weights, projection.weights, strict=True)]
        )


REBUILT = {"BartBackbone": _bart}
