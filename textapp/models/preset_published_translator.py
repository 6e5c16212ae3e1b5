"""Encoder-decoders of published folders, on textapp's own layers: T5, mT5 and BART."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from textapp.errors import ConfigError
from textapp.layers import BlockSettings, TransformerDecoder, TransformerEncoder
from textapp.models.generator import Generator, GeneratorSettings
from textapp.models.preset_folder import Folder
from textapp.models.preset_tensors import (
    GATED,
    PLAIN,
    check_rows,
    fill_dense,
    fill_embeddings,
    fill_norm,
    fill_output_layer,
)


class Translator(NamedTuple):
    """How one kind of encoder-decoder is read.

    Attributes:
        shape: returns the arguments of `TransformerEncoder` and `TransformerDecoder` after `num_layers`, for a folder,
            a side, `max_length` and `dropout`.
        fill: fills one side of a built model.
        layers: keys of the number of layers of encoder and decoder.
        begin: a tensor that every model has, and the prefixes of its name.
        longest: returns the longest sequence in tokens; None: any.
        scaled: whether logits are divided by the square root of the width, see `Generator`.
    """

    shape: Callable[..., dict[str, Any]]
    fill: Callable[[Folder, str, Any], None]
    layers: tuple[str, str]
    begin: tuple[str, ...]
    longest: Callable[[Folder], int | None]
    scaled: Callable[[Folder], bool] = lambda folder: False


def translator(folder: Folder, settings: GeneratorSettings, dropout: float) -> Generator:
    """Builds the encoder-decoder of a folder, with its weights; source and target share its vocabulary.

    Args:
        folder: of a kind in `TRANSLATORS`.
        settings: what task and tokenizer ask of it; further tokens of the folder are dropped.
        dropout: rate.

    Raises:
        ConfigError: a field of its config is not served, a tensor is missing, left over or of another shape, or it has
            fewer tokens than its tokenizer.
    """
    kind = TRANSLATORS[folder.kind]
    rows, dim = folder.size("vocab_size"), folder.size("d_model")
    check_rows(folder, rows, settings.vocabulary_size)
    folder.begin(*kind.begin)
    tied = _is_tied(folder)
    depths = [folder.size(kind.layers[0]), folder.size(kind.layers[1], folder.size(kind.layers[0]))]
    shape = functools.partial(kind.shape, folder, dropout=dropout)
    encoder_shape = shape("encoder", max_length=settings.max_source_length)
    decoder_shape = shape("decoder", max_length=settings.max_length)
    model = Generator(
        TransformerDecoder(dim, depths[1], **decoder_shape, memory_dim=dim, name="decoder"),
        settings.vocabulary_size, dim, settings.pad_id, settings.start_id, settings.end_id,
        encoder=TransformerEncoder(dim, depths[0], **encoder_shape, name="encoder"), tie_embeddings=tied,
        scaled=kind.scaled(folder), name="generator",
    )  # fmt: skip
    fill_embeddings(folder, "shared.weight", model, rows)
    for side in ("encoder", "decoder"):
        kind.fill(folder, side, getattr(model, side))
    fill_output_layer(folder, model, rows)
    _check_logits_bias(folder, rows)
    folder.finish(
        "lm_head.weight", "*embed_tokens.weight", "final_logits_bias", "classification_head.*", "classifier.*"
    )
    return model


def _is_tied(folder: Folder) -> bool:
    """Whether the embeddings are the output layer. The weights tell: a T5 saved anew says so in any case."""
    head = "lm_head.weight"
    if head not in folder.names:
        return folder.flag("tie_word_embeddings", True)
    shape = folder.size("vocab_size"), folder.size("d_model")
    return np.array_equal(folder.tensor(head, *shape, whole_name=True), folder.tensor("shared.weight", *shape))


def _t5_scaled(folder: Folder) -> bool:
    """T5 with tied embeddings divides its logits; the package transformers, from version 5 on, names this."""
    scaled = folder.flag("scale_decoder_outputs", folder.flag("tie_word_embeddings", True))
    if scaled and not _is_tied(folder):
        raise folder.fault("tie_word_embeddings", "false, because lm_head.weight is not the table of embeddings")
    return scaled


def _check_logits_bias(folder: Folder, rows: int) -> None:
    name = "final_logits_bias"
    if name in folder.names and np.any(folder.tensor(name, 1, rows, whole_name=True)):
        raise ConfigError(
            f"model.path: {folder.path}: found {name} other than 0, which is not served: take another model"
        )


def _bart(folder: Folder, side: str, max_length: int, dropout: float) -> dict:
    """Lewis et al., 2020: post-norm, learned positions, one table for source, target and logits."""
    folder.require(
        scale_embedding=False, normalize_before=False, add_final_layer_norm=False, normalize_embedding=True,
        static_position_embeddings=False, extra_pos_embeddings=2,
    )  # fmt: skip
    settings = BlockSettings(
        folder.size(f"{side}_attention_heads"), folder.size(f"{side}_ffn_dim"),
        activation=folder.choice("activation_function", PLAIN, "gelu"), normalize_first=False, epsilon=1e-5,
        max_length=max_length, dropout=dropout,
    )  # fmt: skip
    return {"settings": settings, "positions": "learned"}


def _fill_bart(folder: Folder, side: str, stack: Any) -> None:
    rows = folder.size("max_position_embeddings", 1024) + 2  # the first two belong to no position
    positions = folder.tensor(f"{side}.embed_positions.weight", rows, stack.hidden_dim)
    stack.positions.table.assign(positions[2 : 2 + stack.settings.max_length])
    fill_norm(folder, f"{side}.layernorm_embedding", stack.norm)
    for number, block in enumerate(stack.blocks):
        name = f"{side}.layers.{number}."
        attentions = [("self_attn", block.attention, block.attention_norm)]
        if hasattr(block, "cross_attention"):
            attentions.append(("encoder_attn", block.cross_attention, block.cross_attention_norm))
        for part, attention, norm in attentions:
            for projection, short in (("query", "q"), ("key", "k"), ("value", "v"), ("output", "out")):
                fill_dense(folder, f"{name}{part}.{short}_proj", attention.projections[projection])
            fill_norm(folder, f"{name}{part}_layer_norm", norm)
        fill_dense(folder, f"{name}fc1", block.inward)
        fill_dense(folder, f"{name}fc2", block.outward)
        fill_norm(folder, f"{name}final_layer_norm", block.feed_forward_norm)


def _t5(folder: Folder, side: str, max_length: int, dropout: float) -> dict:
    """Raffel et al., 2020: pre-norm with RMS normalisation, no biases, relative positions."""
    folder.require(relative_attention_num_buckets=32, relative_attention_max_distance=128)
    names = {**PLAIN, **{f"gated-{name}": ours for name, ours in GATED.items()}}
    names["gated-gelu"] = "geglu_approximate"  # which T5 means by gelu
    settings = BlockSettings(
        folder.size("num_heads"), folder.size("d_ff"), head_dim=folder.size("d_kv"), biases="none",
        activation=folder.choice("feed_forward_proj", names, "relu"), normalization="rms",
        epsilon=folder.number("layer_norm_epsilon", 1e-6), max_length=max_length, dropout=dropout,
    )  # fmt: skip
    return {"settings": settings, "positions": "relative"}


def _fill_t5(folder: Folder, side: str, stack: Any) -> None:
    bias = f"{side}.block.0.layer.0.SelfAttention.relative_attention_bias.weight"
    stack.relative.table.assign(folder.tensor(bias, *stack.relative.table.shape))
    fill_norm(folder, f"{side}.final_layer_norm", stack.norm)
    for number, block in enumerate(stack.blocks):
        name, cross = f"{side}.block.{number}.layer.", hasattr(block, "cross_attention")
        attentions = [("0", "SelfAttention", block.attention, block.attention_norm)]
        if cross:
            attentions.append(("1", "EncDecAttention", block.cross_attention, block.cross_attention_norm))
        for place, part, attention, norm in attentions:
            for projection, layer in attention.projections.items():
                fill_dense(folder, f"{name}{place}.{part}.{projection[0]}", layer)
            # T5 does not divide scores by the square root of the head's size, so the query kernel is multiplied by it.
            query = attention.projections["query"].kernel
            query.assign(query * attention.head_dim**0.5)
            fill_norm(folder, f"{name}{place}.layer_norm", norm)
        last = f"{name}{2 if cross else 1}"
        gated = block.linear is not None
        fill_dense(folder, f"{last}.DenseReluDense.{'wi_0' if gated else 'wi'}", block.inward)
        if gated:
            fill_dense(folder, f"{last}.DenseReluDense.wi_1", block.linear)
        fill_dense(folder, f"{last}.DenseReluDense.wo", block.outward)
        fill_norm(folder, f"{last}.layer_norm", block.feed_forward_norm)


_MT5 = Translator(_t5, _fill_t5, ("num_layers", "num_decoder_layers"), ("shared.weight",), lambda folder: None)
TRANSLATORS: Mapping[str, Translator] = {
    "bart": Translator(
        _bart, _fill_bart, ("encoder_layers", "decoder_layers"), ("shared.weight", "model."),
        lambda folder: folder.size("max_position_embeddings", 1024),
    ),
    "t5": _MT5._replace(scaled=_t5_scaled),
    "mt5": _MT5,
}  # fmt: skip
