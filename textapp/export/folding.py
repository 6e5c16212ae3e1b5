"""Folds the layer normalisations of a pre-norm Transformer into the weights before and after them.

Only normalisations read the residual sequence between the blocks, and they subtract its mean. So the layers that write
to it can subtract their mean once, in their weights; then the sequence has mean 0, and the normalisations need not
subtract it (SliceGPT; Ashkboos et al., 2024). The scale and shift of a normalisation are folded into the products that
follow. RMS normalisation subtracts no mean and has no shift, so only its scale is folded.

Weights that a compression made stay as they are: a kernel minus its mean has no zeros, so the layers of a pruned model
are not centred, and a scaled kernel has more distinct values, so nothing is folded in a clustered one. In a model that
was trained on the grid of int8 files nothing is folded either, and the converter is kept from folding scales itself.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from textapp.layers import DecoderBlock, LayerNorm, Positions, RmsNorm, TokenEmbedding, TransformerBlock
from textapp.models.int8_kernels import is_pruned, on_grid

FEW_VALUES = 256  # at most, of a clustered kernel


def fold_norms(model: Any) -> None:
    """Folds the normalisations of a model in place; its outputs do not change.

    Does nothing for a model that is not a pre-norm Transformer, unless its kernels are on the grid of int8. For
    inference only: training would undo the mean 0.

    Args:
        model: a Keras model, in float32.
    """
    layers = list(model._flatten_layers())
    blocks = [layer for layer in layers if isinstance(layer, TransformerBlock)]
    kernels = [np.asarray(weight) for block in blocks for weight in block.weights if len(weight.shape) > 1]
    if any(on_grid(kernel) for kernel in kernels):
        for norm in layers:
            if isinstance(norm, LayerNorm | RmsNorm):
                norm.scale_first = True
        return
    if not blocks or not all(block.settings.normalize_first for block in blocks):
        return
    last = getattr(getattr(model, "decoder", None), "norm", None)
    if isinstance(last, RmsNorm) and getattr(model, "tie_embeddings", False):
        last.scale_first = True  # or the converter writes the tied table twice, once with this scale in it
    if any(_clustered(kernel) for kernel in kernels):
        return
    pruned = any(map(is_pruned, kernels))
    if isinstance(blocks[0].attention_norm, LayerNorm) and not pruned:
        _center_sequence(layers, blocks, tie_embeddings=getattr(model, "tie_embeddings", False))
    for block in blocks:
        projections = block.attention.projections
        _fold_scale(block.attention_norm, [projections[name] for name in ("query", "key", "value")])
        if isinstance(block, DecoderBlock) and block.memory_dim is not None:
            _fold_scale(block.cross_attention_norm, [block.cross_attention.projections["query"]])
        _fold_scale(block.feed_forward_norm, [layer for layer in (block.inward, block.linear) if layer is not None])


def _clustered(kernel: np.ndarray) -> bool:
    most = min(FEW_VALUES, kernel.size // 4)
    some = kernel.reshape(-1)[: 4 * FEW_VALUES]  # tells for nearly all; large kernels take long to sort
    return len(np.unique(some)) <= most and len(np.unique(kernel)) <= most


def _center_sequence(layers: list[Any], blocks: list[Any], tie_embeddings: bool) -> None:
    """Subtracts the mean in all layers that write to the residual sequence, and no longer in the normalisations."""
    _center_embeddings(layers, tie_embeddings)
    for block in blocks:
        _center(block.attention.projections["output"])
        _center(block.outward)
        if isinstance(block, DecoderBlock) and block.memory_dim is not None:
            _center(block.cross_attention.projections["output"])
    for layer in layers:
        if isinstance(layer, LayerNorm):
            layer.center_inputs = False


def _center_embeddings(layers: list[Any], tie_embeddings: bool) -> None:
    """Centres the layers before the first block: the token table or its projection, and the positions.

    A tied table is also the output layer, so it does not change: the mean is subtracted from the rows that are read.
    """
    projections = [layer for layer in layers if layer.name == "embedding_projection"]
    for layer in layers:
        if isinstance(layer, TokenEmbedding) and not projections:
            if tie_embeddings:
                layer.center_rows = True
            else:
                layer.embeddings.assign(_centered(layer.embeddings))
        elif isinstance(layer, Positions):
            if layer.kind == "learned":
                layer.table.assign(_centered(layer.table))
            else:
                layer.table = _centered(layer.table)
    for projection in projections:
        _center(projection)


def _center(dense: Any) -> None:
    """Subtracts the mean over the outputs from a Dense layer's outputs."""
    dense.kernel.assign(_centered(dense.kernel))
    if dense.use_bias:
        dense.bias.assign(_centered(dense.bias))


def _centered(weight: Any) -> np.ndarray:
    values = np.asarray(weight, np.float64)
    return (values - values.mean(axis=-1, keepdims=True)).astype(np.float32)


def _fold_scale(norm: LayerNorm | RmsNorm, readers: list[Any]) -> None:
    """Folds `gamma`, and `beta` if there is one, into the Dense layers that take the output of the normalisation.

    A shift is added to their biases; if one of them has no bias, nothing changes.
    """
    if isinstance(norm, LayerNorm) and not all(dense.use_bias for dense in readers):
        return
    gamma = np.asarray(norm.gamma, np.float64)
    for dense in readers:
        kernel = np.asarray(dense.kernel, np.float64)
        if isinstance(norm, LayerNorm):
            dense.bias.assign(np.asarray(dense.bias) + np.asarray(norm.beta, np.float64) @ kernel)
        dense.kernel.assign(gamma[:, None] * kernel)
    norm.scale_outputs = False
