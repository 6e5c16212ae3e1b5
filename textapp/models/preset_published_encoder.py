"""Text encoders of published folders, on textapp's own layers: BERT and its successors."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import keras
import numpy as np

from textapp.errors import ConfigError
from textapp.layers import (
    AttentionMask,
    BlockSettings,
    LayerNorm,
    PaddingMask,
    Positions,
    TokenEmbedding,
    TransformerBlock,
)
from textapp.models.preset_folder import Folder
from textapp.models.preset_tensors import PLAIN, check_rows, fill_dense, fill_norm


class Encoder(NamedTuple):
    """How one kind of encoder is read: names of tensors and of the fields of its config.

    Attributes:
        prefix: of its tensors in a model with a head.
        layer: of its tensors of a layer, with its number.
        attention, inward, outward: names inside a layer; those of the attention in the order query, key, value, output.
        norms: names of the normalisations after attention and feed-forward part.
        sizes: keys of width, layers, heads and the feed-forward part.
        activation: key of the activation, and its name where the config has none.
        offset: whether positions are counted from the padding id on, as in RoBERTa.
        projection: name of the layer from embeddings to the width of the blocks, if these differ.
        shared: all layers have the weights of one.
    """

    prefix: str
    layer: str = "encoder.layer.{}."
    attention: tuple[str, ...] = (
        "attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense"
    )  # fmt: skip
    norms: tuple[str, str] = ("attention.output.LayerNorm", "output.LayerNorm")
    inward: str = "intermediate.dense"
    outward: str = "output.dense"
    sizes: tuple[str, ...] = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")
    activation: tuple[str, str] = ("hidden_act", "gelu")
    offset: bool = False
    projection: str | None = None
    shared: bool = False


_ROBERTA = Encoder("roberta.", offset=True)
ENCODERS: Mapping[str, Encoder] = {
    "bert": Encoder("bert."),
    "roberta": _ROBERTA,
    "xlm-roberta": _ROBERTA,
    "camembert": _ROBERTA,
    "electra": Encoder("electra.", projection="embeddings_project"),
    "distilbert": Encoder(
        "distilbert.", "transformer.layer.{}.",
        tuple(f"attention.{name}_lin" for name in ("q", "k", "v", "out")), ("sa_layer_norm", "output_layer_norm"),
        "ffn.lin1", "ffn.lin2", ("dim", "n_layers", "n_heads", "hidden_dim"), ("activation", "gelu"),
    ),
    "albert": Encoder(
        "albert.", "encoder.albert_layer_groups.0.albert_layers.0.",
        tuple(f"attention.{name}" for name in ("query", "key", "value", "dense")),
        ("attention.LayerNorm", "full_layer_layer_norm"), "ffn", "ffn_output", activation=("hidden_act", "gelu_new"),
        projection="encoder.embedding_hidden_mapping_in", shared=True,
    ),
}  # fmt: skip
HEADS = ("pooler.*", "cls.*", "classifier.*", "lm_head.*", "qa_outputs.*", "predictions.*")


def encoder_facts(folder: Folder) -> tuple[bool, int]:
    """Whether an encoder tells segments apart, and its longest text in tokens."""
    length = folder.size("max_position_embeddings", 512)
    if ENCODERS[folder.kind].offset:
        length -= _offset(folder)
    return _segments(folder) > 1, length


def encoder(
    folder: Folder,
    vocabulary_size: int,
    pad_id: int,
    max_length: int,
    segments: bool,
    dropout: float,
    sizes: Mapping[str, int] | None = None,
) -> keras.Model:
    """Builds the encoder of a folder, with its weights.

    Args:
        folder: of a kind in `ENCODERS`.
        vocabulary_size: of the tokenizer.
        pad_id: the padding id.
        max_length: the longest text in tokens.
        segments: also take `segment_ids`.
        dropout: rate.
        sizes: see `first_part`.

    Returns:
        a functional model from `{"token_ids": [batch, length]}` (and `segment_ids`) to `[batch, length, hidden_dim]`.

    Raises:
        ConfigError: a field of its config is not served, or a tensor is missing, left over or of another shape.
    """
    kind, rows = ENCODERS[folder.kind], folder.size("vocab_size")
    check_rows(folder, rows, vocabulary_size)
    folder.require(
        position_embedding_type="absolute", is_decoder=False, add_cross_attention=False, num_hidden_groups=1,
        inner_group_num=1,
    )  # fmt: skip
    folder.begin("embeddings.word_embeddings.weight", kind.prefix)
    dim, layers, heads, inner = map(folder.size, kind.sizes)
    if dim % heads:
        raise folder.fault(kind.sizes[2], f"a divisor of {kind.sizes[0]} {dim}")
    narrow = folder.size("embedding_size", dim) if kind.projection else dim
    settings = BlockSettings(
        heads, inner, activation=folder.choice(kind.activation[0], PLAIN, kind.activation[1]), dropout=dropout,
        normalize_first=False, epsilon=folder.number("layer_norm_eps", 1e-12),
    )  # fmt: skip
    # Rows behind the last id of the tokenizer are never read. There are more where its vocabulary was cut: then the
    # weights follow that go with it, and those given here are those of other pieces.
    make = functools.partial(
        encoder_layers, vocabulary_size=vocabulary_size, embedding_dim=narrow, hidden_dim=dim, num_layers=layers,
        pad_id=pad_id, max_length=max_length, num_segments=_segments(folder) if segments else 0,
        project=bool(kind.projection) and (kind.shared or narrow != dim), shared=kind.shared,
    )  # fmt: skip
    model = make(settings)
    _fill_tables(folder, model, rows, narrow)
    if any(layer.name == "projection" for layer in model.layers):
        fill_dense(folder, kind.projection, model.get_layer("projection"))
    for number in range(1 if kind.shared else layers):
        _fill_block(folder, kind, kind.layer.format(number), model.get_layer(f"block_{number}"))
    folder.finish(*HEADS, outside=not folder.prefix)
    return first_part(model, make, settings, encoder_sizes(folder), sizes or {})


def encoder_sizes(folder: Folder) -> dict[str, int]:
    """The sizes of an encoder by their keys of a config; without `num_layers` if all layers are one."""
    kind = ENCODERS[folder.kind]
    _, layers, heads, inner = map(folder.size, kind.sizes)
    sizes = {"num_layers": layers, "num_heads": heads, "intermediate_dim": inner}
    return {name: size for name, size in sizes.items() if name != "num_layers" or not kind.shared}


def first_part(
    model: keras.Model,
    make: Callable[..., keras.Model],
    settings: BlockSettings,
    found: Mapping[str, int],
    sizes: Mapping[str, int],
) -> keras.Model:
    """The first layers, heads and feed-forward units of an encoder. A compression writes those that it chose over them.

    Args:
        model: as `encoder_layers` made it, with its weights.
        make: settings, and `num_layers` if not all, to such a model.
        settings: of its blocks.
        found: the sizes of the model, see `encoder_sizes`.
        sizes: the same or smaller ones; empty: all of it.

    Raises:
        ConfigError: it has not so many.
    """
    if not sizes:
        return model
    for name, size in sizes.items():
        most = found.get(name, 0)
        if size > most:
            expected = f"expected at most the {most} of the preset" if most else "but the layers of this preset are one"
            raise ConfigError(f"model.{name}: found {size}, {expected}: lower it, or leave it out")
    of_path = {weight.path: np.asarray(weight) for weight in model.weights}
    width = of_path["block_0/attention/query/kernel"].shape[1]
    inner = {name: size for name, size in sizes.items() if name != "num_layers"}
    smaller = make(
        replace(settings, head_dim=width // settings.num_heads, **inner),
        **({"num_layers": sizes["num_layers"]} if "num_layers" in sizes else {}),
    )
    for weight in smaller.weights:
        weight.assign(of_path[weight.path][tuple(map(slice, weight.shape))])
    return smaller


def encoder_layers(
    settings: BlockSettings,
    vocabulary_size: int,
    embedding_dim: int,
    hidden_dim: int,
    num_layers: int,
    pad_id: int,
    max_length: int,
    num_segments: int = 0,
    project: bool = False,
    shared: bool = False,
) -> keras.Model:
    """The layers of BERT (Devlin et al., 2019) and its successors, with random weights.

    Args:
        settings: of the blocks.
        vocabulary_size: rows of the token table.
        embedding_dim: numbers per token.
        hidden_dim: numbers per token in the blocks.
        num_layers: blocks.
        pad_id: the padding id.
        max_length: the longest text in tokens.
        num_segments: also take `segment_ids` below this number; 0: all tokens are of segment 0, whose vector is
            expected in the table of positions.
        project: a Dense layer `projection` from the embeddings to the blocks.
        shared: one block, used `num_layers` times.
    """
    names = ["token_ids", "segment_ids"] if num_segments else ["token_ids"]
    inputs = {name: keras.Input((None,), dtype="int32", name=name) for name in names}
    mask = AttentionMask(name="attention_mask")(PaddingMask(pad_id, name="padding_mask")(inputs["token_ids"]))
    sequence = TokenEmbedding(vocabulary_size, embedding_dim, name="token_embedding")(inputs["token_ids"])
    if num_segments:
        segment = TokenEmbedding(num_segments, embedding_dim, name="segment_embedding")(inputs["segment_ids"])
        sequence = keras.layers.Add(name="add_segments")([sequence, segment])
    sequence = Positions("learned", max_length, name="positions")(sequence)
    sequence = LayerNorm(epsilon=settings.epsilon, name="embeddings_norm")(sequence)
    sequence = keras.layers.Dropout(settings.dropout, name="dropout")(sequence)
    if project:
        sequence = keras.layers.Dense(hidden_dim, name="projection")(sequence)
    blocks = [TransformerBlock(settings, name=f"block_{number}") for number in range(1 if shared else num_layers)]
    for number in range(num_layers):
        sequence = blocks[0 if shared else number](sequence, mask)
    return keras.Model(inputs, sequence, name="encoder")


def _segments(folder: Folder) -> int:
    return 1 if folder.kind == "distilbert" else folder.size("type_vocab_size", 2)


def _offset(folder: Folder) -> int:
    """RoBERTa counts positions from behind the padding id."""
    pad_id = folder.config.get("pad_token_id", 1)
    if type(pad_id) is not int or pad_id < 0:
        raise folder.fault("pad_token_id", "the id of the padding token")
    return pad_id + 1


def _fill_tables(folder: Folder, model: keras.Model, rows: int, dim: int) -> None:
    kind = ENCODERS[folder.kind]
    embeddings = model.get_layer("token_embedding").embeddings
    embeddings.assign(folder.tensor("embeddings.word_embeddings.weight", rows, dim)[: embeddings.shape[0]])
    table, first = model.get_layer("positions").table, _offset(folder) if kind.offset else 0
    positions = folder.tensor("embeddings.position_embeddings.weight", folder.size("max_position_embeddings", 512), dim)
    positions = positions[first : first + table.shape[0]]
    if folder.kind != "distilbert":
        vectors = folder.tensor("embeddings.token_type_embeddings.weight", _segments(folder), dim)
        if any(layer.name == "segment_embedding" for layer in model.layers):
            model.get_layer("segment_embedding").embeddings.assign(vectors)
        else:
            positions = positions + vectors[0]
    table.assign(positions)
    fill_norm(folder, "embeddings.LayerNorm", model.get_layer("embeddings_norm"), old_names=True)


def _fill_block(folder: Folder, kind: Encoder, name: str, block: Any) -> None:
    for part, tensor in zip(("query", "key", "value", "output"), kind.attention, strict=True):
        fill_dense(folder, name + tensor, block.attention.projections[part])
    for norm, tensor in zip((block.attention_norm, block.feed_forward_norm), kind.norms, strict=True):
        fill_norm(folder, name + tensor, norm, old_names=True)
    fill_dense(folder, name + kind.inward, block.inward)
    fill_dense(folder, name + kind.outward, block.outward)
