"""Prepares a language model for int8 activations, which a few large values would otherwise make coarse.

An int8 file for LiteRT quantizes the input of each product with one scale for each token. Pretrained language models
have tokens whose largest value is many times the others, which then share a few steps. Two changes of the weights take
these outliers apart, without a change of the function:

- The residual sequence is rotated by a random orthogonal matrix (QuaRot; Ashkboos et al., 2024). The scales of its RMS
  normalisations are folded first; then the kernels before and after absorb the rotation. A tied table is rotated with
  them, and one product of the model's width before the output layer turns the sequence as that table needs it.
- The hidden layer of each feed-forward part is mixed in blocks of neighbours, and the kernel that reads it mixes back.

Then each kernel is rounded to int8 so that the error of its product on real inputs, not that of its weights, is small
(GPTQ; Frantar et al., 2023).
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from textapp.layers import DecoderBlock, RmsNorm, TransformerDecoder
from textapp.models.generator import Generator
from textapp.models.int8_kernels import MIN_QUANTIZED, is_pruned, rounded_kernel

OUTLIERS = 6.0  # largest value of a token, in units of its root mean square; 3 to 4 without outliers
# Units that are mixed; matrices of 32 by 32 the converter quantizes, with the outliers in their input.
BLOCKS = (16, 8)
TOKENS = 16_384  # read at most for the rounding
_SEED = 7

log = logging.getLogger("textapp")


def remove_outliers(model: keras.Model, texts: Sequence[Sequence[int]]) -> dict[str, Any]:
    """Rotates and rounds the weights of a language model in place, if its activations have outliers.

    Args:
        model: in float32, with folded normalisations (`fold_norms`).
        texts: token ids of real texts as the model reads them.

    Returns:
        What was done, for the manifest: `{"outliers": 11.2, "rotated": true}`, the figure as for `OUTLIERS`; empty if
        the model is of another kind, or there are no texts.
    """
    rows = [row for row in texts if len(row) > 1]
    if not rows or not _rotatable(model):
        return {}
    rows = rows[: max(1, int(np.searchsorted(np.cumsum([len(row) for row in rows]), TOKENS)))]
    found = _outliers(model, rows[0])
    if found < OUTLIERS:
        return {"outliers": round(found, 2), "rotated": False}
    log.info(
        "a token's largest activation is %.1f times its root mean square: rotating the weights, and rounding them on %d"
        " tokens", found, sum(map(len, rows)),
    )  # fmt: skip
    _Rotation(model).apply(rows)
    return {"outliers": round(found, 2), "rotated": True}


def _rotatable(model: keras.Model) -> bool:
    """Whether it is a decoder whose residual sequence only RMS normalisations read, with weights of no grid."""
    if not isinstance(model, Generator) or model.has_encoder or not isinstance(model.decoder, TransformerDecoder):
        return False
    decoder = model.decoder
    fits = decoder.settings.normalize_first and decoder.positions is None and isinstance(decoder.norm, RmsNorm)
    return fits and not any(_compressed(block) for block in decoder.blocks)


def _compressed(block: DecoderBlock) -> bool:
    """Whether the values of its kernels have to stay: of few values, or on a grid, so not folded; or pruned."""
    if block.attention_norm.scale_outputs:
        return True
    return any(is_pruned(np.asarray(layer.kernel)) for layer in _products(block))


def _products(block: DecoderBlock) -> list[keras.layers.Dense]:
    """The Dense layers of a block."""
    own = [block.attention.projections[name] for name in ("query", "key", "value", "output")]
    return [*own, *(layer for layer in (block.inward, block.linear, block.outward) if layer is not None)]


def _outliers(model: Generator, row: Sequence[int]) -> float:
    """The largest value of a token's activation in units of its root mean square, a mean over tokens and products."""
    ratios: list[float] = []

    def note(layer: Any, values: np.ndarray) -> None:
        size = np.sqrt(np.mean(values**2, axis=-1)) + 1e-12
        ratios.append(float(np.mean(np.abs(values).max(axis=-1) / size)))

    sequence, mask = _embedded(model, row)
    for block in model.decoder.blocks:
        with _observed(_products(block), note):
            sequence = block(sequence, mask)
    return float(np.mean(ratios))


def _embedded(model: Generator, row: Sequence[int]) -> tuple[tf.Tensor, tf.Tensor]:
    """The input of the first block for one text `[1, length, dim]`, and its mask."""
    sequence = model._embedded(tf.constant([list(row)], tf.int32), model.token_embedding)
    return sequence, model.decoder._causal_mask(sequence, None)


@contextmanager
def _observed(layers: Sequence[keras.layers.Dense], note: Any) -> Iterator[None]:
    """Shows the inputs of layers, `[tokens, dim]`, while the context is open."""

    def watched(layer: keras.layers.Dense, call: Any) -> Any:
        def watch(inputs: Any, *args: Any, **kwargs: Any) -> Any:
            note(layer, np.asarray(inputs, np.float32).reshape(-1, inputs.shape[-1]))
            return call(inputs, *args, **kwargs)

        return watch

    try:
        for layer in layers:
            layer.call = watched(layer, layer.call)
        yield
    finally:
        for layer in layers:
            vars(layer).pop("call", None)  # so that the method of the class counts again


class _Rotation:
    """Rotates the residual sequence of a model, and rounds its kernels, block after block."""

    def __init__(self, model: Generator) -> None:
        self.model = model
        self.turn = orthogonal(model.embedding_dim, np.random.default_rng(_SEED))

    def apply(self, rows: Sequence[Sequence[int]]) -> None:
        sequences = [_embedded(self.model, row) for row in rows]
        for block in self.model.decoder.blocks:
            inputs: dict[int, list[np.ndarray]] = {}

            def note(layer: Any, values: np.ndarray, inputs: dict[int, list[np.ndarray]] = inputs) -> None:
                inputs.setdefault(id(layer), []).append(values)

            projections = block.attention.projections
            read = {
                "sequence": projections["query"], "heads": projections["output"], "attended": block.inward,
                "hidden": block.outward,
            }  # fmt: skip
            with _observed(list(read.values()), note):
                sequences = [(block(sequence, mask), mask) for sequence, mask in sequences]
            self._turn_block(block, {name: _moments(inputs.pop(id(layer))) for name, layer in read.items()})
        self._turn_ends()

    def _turn_block(self, block: DecoderBlock, moments: dict[str, np.ndarray]) -> None:
        turn, projections = self.turn, block.attention.projections
        _turn_inputs([projections[name] for name in ("query", "key", "value")], turn, moments["sequence"])
        _turn_outputs(projections["output"], turn, np.asarray(projections["output"].kernel), moments["heads"])
        _turn_inputs([layer for layer in (block.inward, block.linear) if layer is not None], turn, moments["attended"])
        kernel, hidden = np.asarray(block.outward.kernel, np.float64), moments["hidden"]
        mixing = block_mixing(len(kernel))
        if mixing is not None:
            size = len(mixing)
            kernel = np.einsum("ij,bio->bjo", mixing, kernel.reshape(-1, size, kernel.shape[1])).reshape(kernel.shape)
            blocks = hidden.reshape(-1, size, len(hidden) // size, size)
            hidden = np.einsum("aibj,ik,jl->akbl", blocks, mixing, mixing, optimize=True).reshape(hidden.shape)
            block.mixing = mixing.astype(np.float32)
        _turn_outputs(block.outward, turn, kernel, hidden)

    def _turn_ends(self) -> None:
        """Turns the token table and the output layer."""
        model, turn, norm = self.model, self.turn, self.model.decoder.norm
        scale = np.asarray(norm.gamma, np.float64)
        norm.scale_outputs = False
        if model.output_projection is not None:
            layer = model.output_projection
            layer.kernel.assign((turn.T @ (scale[:, None] * np.asarray(layer.kernel))).astype(np.float32))
        else:
            # Of equal scales a number would be left. It stays one, beside which the int8 steps of the rest are small.
            model.output_scale = float(np.median(scale))
            rest = (turn.T * (scale - model.output_scale)) @ turn
            model.output_rotation = tf.Variable(rest.astype(np.float32), trainable=False)
        table = model.token_embedding.embeddings
        table.assign((np.asarray(table, np.float64) @ turn).astype(np.float32))


def _moments(values: Sequence[np.ndarray]) -> np.ndarray:
    """The sum of the products of inputs `[tokens, dim]`, `[dim, dim]` float64."""
    inputs = np.concatenate(values).astype(np.float64)
    return inputs.T @ inputs


def _turn_inputs(layers: Sequence[keras.layers.Dense], turn: np.ndarray, moments: np.ndarray) -> None:
    """Turns the kernels of layers that read the same input, and rounds them together."""
    kernel = turn.T @ np.concatenate([np.asarray(layer.kernel) for layer in layers], axis=1)
    ends = np.cumsum([layer.units for layer in layers])[:-1]
    parts = np.split(_rounded(kernel, turn.T @ moments @ turn), ends, axis=1)
    for layer, part in zip(layers, parts, strict=True):
        layer.kernel.assign(part)


def _turn_outputs(layer: keras.layers.Dense, turn: np.ndarray, kernel: np.ndarray, moments: np.ndarray) -> None:
    """Turns what a layer writes, and rounds its kernel."""
    if layer.use_bias:
        layer.bias.assign((np.asarray(layer.bias) @ turn).astype(np.float32))
    layer.kernel.assign(_rounded(kernel @ turn, moments))


def _rounded(kernel: np.ndarray, moments: np.ndarray) -> np.ndarray:
    """The kernel on the grid of int8, unless the file holds it in float32."""
    rounded = kernel if kernel.size < MIN_QUANTIZED else rounded_kernel(kernel, moments)
    return rounded.astype(np.float32)


def orthogonal(dim: int, random: np.random.Generator) -> np.ndarray:
    """A random orthogonal matrix, uniform over all, `[dim, dim]` float64 (Mezzadri, 2007)."""
    matrix, upper = np.linalg.qr(random.normal(size=(dim, dim)))
    return matrix * np.sign(np.diag(upper))


def block_mixing(dim: int) -> np.ndarray | None:
    """Hadamard's matrix, `[block, block]` float64, which mixes each block of neighbours among `dim` units.

    It is orthogonal, and all its elements have the same size, so that a single large value is spread evenly.

    Returns:
        the largest of `BLOCKS` that divides `dim`; None: there is none.

    Example: for 24 units it is 8 by 8, each element 8 ** -0.5 or -(8 ** -0.5).
    """
    size = next((size for size in BLOCKS if dim % size == 0), None)
    if size is None:
        return None
    matrix = np.ones((1, 1))
    while len(matrix) < size:
        matrix = np.block([[matrix, matrix], [matrix, -matrix]])
    return matrix * size**-0.5
