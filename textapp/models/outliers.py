"""Prepares a language model for int8 activations, which a few large values would otherwise make coarse, and rounds it.

A quantized file for LiteRT quantizes the input of each product with one scale for each token. Pretrained language
models have tokens whose largest value is many times the others, which then share a few steps. Two changes of the
weights take these outliers apart, without a change of the function:

- The residual sequence is rotated by a random orthogonal matrix (QuaRot; Ashkboos et al., 2024). The scales of its RMS
  normalisations are folded first; then the kernels before and after absorb the rotation. A tied table is rotated with
  them, and one product of the model's width before the output layer turns the sequence as that table needs it.
- The hidden layer of each feed-forward part is mixed in blocks of neighbours, and the kernel that reads it mixes back.

Then each kernel is rounded to int8 or int4 so that the error of its product on real inputs, not that of its weights, is
small (GPTQ; Frantar et al., 2023). In int8 that pays where outliers were; in int4 it always does.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from textapp.layers import DecoderBlock, RmsNorm, TransformerDecoder
from textapp.models.generator import Generator
from textapp.models.gptq import FactoredMoments
from textapp.models.int4_kernels import is_int4, rounded_to_int4
from textapp.models.int8_kernels import MIN_QUANTIZED, is_pruned, rounded_kernel
from textapp.models.sampled_texts import sampled_texts

OUTLIERS = 6.0  # largest value of a token, in units of its root mean square; 3 to 4 without outliers
# Units that are mixed; matrices of 32 by 32 the converter quantizes, with the outliers in their input.
BLOCKS = (16, 8)
TOKENS = 16_384  # read at most for the rounding
# Read at least for int4, if need be of texts that the model writes itself, each of so many tokens.
TOKENS_FOR_INT4, SAMPLED_LENGTH = 8_192, 256
_SEED = 7

Rounding = Callable[[np.ndarray, FactoredMoments], np.ndarray]  # of a kernel, by the moments of its inputs

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
    rows = _first(texts)
    if not rows or not _rotatable(model):
        return {}
    found = _outliers(model, rows[0])
    if found < OUTLIERS:
        return {"outliers": round(found, 2), "rotated": False}
    log.info(
        "a token's largest activation is %.1f times its root mean square: rotating the weights, and rounding them on %d"
        " tokens", found, sum(map(len, rows)),
    )  # fmt: skip
    _Rotation(model, _to_int8).apply(rows)
    return {"outliers": round(found, 2), "rotated": True}


def round_to_int4(model: keras.Model, texts: Sequence[Sequence[int]]) -> dict[str, Any]:
    """Rounds the kernels of a model to int4 in place; those of a language model by real texts, after `remove_outliers`.

    Args:
        model: in float32, with folded normalisations (`fold_norms`).
        texts: token ids of real texts as a language model reads them; for other models empty. Where they are few, the
            model writes more.

    Returns:
        What was done, for the manifest, as by `remove_outliers`; empty if each weight became the nearest of the grid.
    """
    rows = _first(texts)
    if rows and _walkable(model):
        found = _outliers(model, rows[0])
        rotated = _rotatable(model) and found >= OUTLIERS
        rows += _sampled(model, TOKENS_FOR_INT4 - sum(map(len, rows)))
        log.info("rounding to int4 on %d tokens%s", sum(map(len, rows)), ", after a rotation" if rotated else "")
        (_Rotation if rotated else _Rounding)(model, _to_int4).apply(rows)
        return {"outliers": round(found, 2), "rotated": rotated}
    for layer in model._flatten_layers():
        if type(layer) is keras.layers.Dense and layer is not getattr(model, "output_projection", None):
            kernel = np.asarray(layer.kernel)
            if is_int4(kernel):
                layer.kernel.assign(rounded_to_int4(kernel))
    return {}


def _first(texts: Sequence[Sequence[int]]) -> list[Sequence[int]]:
    """The first texts, up to `TOKENS` tokens; at least one, if there is one of two tokens."""
    rows = [row for row in texts if len(row) > 1]
    return rows[: max(1, int(np.searchsorted(np.cumsum([len(row) for row in rows]), TOKENS)))]


def _sampled(model: Generator, tokens: int) -> list[list[int]]:
    """Texts that the model writes, of so many tokens or a few more; none, if `tokens` is not positive."""
    if tokens <= 0:
        return []
    length = min(SAMPLED_LENGTH, model.decoder.settings.max_length)
    log.info("writing %d tokens of its own, as there are few texts to round by", tokens)
    return sampled_texts(model, -(-tokens // length), length)


def _walkable(model: keras.Model) -> bool:
    """Whether it is a Transformer decoder alone, with weights of no grid."""
    if not isinstance(model, Generator) or model.has_encoder or not isinstance(model.decoder, TransformerDecoder):
        return False
    return not any(_compressed(block) for block in model.decoder.blocks)


def _rotatable(model: keras.Model) -> bool:
    """Whether it is a decoder whose residual sequence only RMS normalisations read, with weights of no grid."""
    if not _walkable(model):
        return False
    decoder = model.decoder
    return decoder.settings.normalize_first and decoder.positions is None and isinstance(decoder.norm, RmsNorm)


def _compressed(block: DecoderBlock) -> bool:
    """Whether the values of its kernels have to stay: of few values, or on a grid, so not folded; or pruned."""
    if block.attention_norm.scale_outputs:
        return True
    return any(is_pruned(np.asarray(layer.kernel)) for layer in _products(block))


def _products(block: DecoderBlock) -> list[keras.layers.Dense]:
    """The Dense layers of a block."""
    own = [block.attention.projections[name] for name in ("query", "key", "value", "output")]
    return [*own, *(layer for layer in (block.inward, block.linear, block.outward) if layer is not None)]


def _delicate(blocks: Sequence[DecoderBlock]) -> list[keras.layers.Dense]:
    """The layers that stay in int8: in int4 these, a quarter of SmolLM2's weights, lose more than all others together.

    They are those of values, of the output of attention and, in the first and last eighth of the blocks and in a third
    of the others, the last of the feed-forward part: as llama.cpp chooses for its Q4_K_M.
    """
    eighth, last = len(blocks) // 8, 7 * len(blocks) // 8
    found = [block.attention.projections[name] for block in blocks for name in ("value", "output")]
    for number, block in enumerate(blocks):
        if not eighth <= number < last or (number - eighth) % 3 == 2:
            found.append(block.outward)
    return found


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
    decoder = model.decoder
    sequence = model._embedded(tf.constant([list(row)], tf.int32), model.token_embedding)
    sequence = decoder._normalize_input(decoder._add_positions(sequence, None))
    return sequence, decoder._causal_mask(sequence, None)


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


class _Rounding:
    """Rounds the kernels of a model, block after block; those that lose most always to int8, see `_delicate`."""

    def __init__(self, model: Generator, rounding: Rounding) -> None:
        self.model, self.rounding = model, rounding
        self._in_int8 = set(map(id, _delicate(model.decoder.blocks)))

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
            self._block(block, {name: _moments(inputs.pop(id(layer))) for name, layer in read.items()})

    def _block(self, block: DecoderBlock, moments: dict[str, np.ndarray]) -> None:
        projections = block.attention.projections
        self._round([projections[name] for name in ("query", "key", "value")], moments["sequence"])
        self._round([projections["output"]], moments["heads"])
        self._round([layer for layer in (block.inward, block.linear) if layer is not None], moments["attended"])
        self._round([block.outward], moments["hidden"])

    def _round(self, layers: Sequence[keras.layers.Dense], moments: np.ndarray, *kernels: np.ndarray) -> None:
        """Rounds the kernels of layers that read the same input.

        Args:
            layers: which read it.
            moments: of the input.
            kernels: of the layers, if they are to be others than theirs.
        """
        factored = FactoredMoments.of(moments)
        for layer, kernel in zip(layers, kernels or [np.asarray(layer.kernel) for layer in layers], strict=True):
            rounding = _to_int8 if id(layer) in self._in_int8 else self.rounding
            layer.kernel.assign(rounding(kernel, factored).astype(np.float32))


class _Rotation(_Rounding):
    """Rotates the residual sequence of a model, and rounds its kernels."""

    def __init__(self, model: Generator, rounding: Rounding) -> None:
        super().__init__(model, rounding)
        self.turn = orthogonal(model.embedding_dim, np.random.default_rng(_SEED))

    def apply(self, rows: Sequence[Sequence[int]]) -> None:
        super().apply(rows)
        self._turn_ends()

    def _block(self, block: DecoderBlock, moments: dict[str, np.ndarray]) -> None:
        projections = block.attention.projections
        self._turn_inputs([projections[name] for name in ("query", "key", "value")], moments["sequence"])
        self._turn_outputs(projections["output"], np.asarray(projections["output"].kernel), moments["heads"])
        self._turn_inputs([layer for layer in (block.inward, block.linear) if layer is not None], moments["attended"])
        kernel, hidden = np.asarray(block.outward.kernel, np.float64), moments["hidden"]
        mixing = block_mixing(len(kernel))
        if mixing is not None:
            size = len(mixing)
            kernel = np.einsum("ij,bio->bjo", mixing, kernel.reshape(-1, size, kernel.shape[1])).reshape(kernel.shape)
            blocks = hidden.reshape(-1, size, len(hidden) // size, size)
            hidden = np.einsum("aibj,ik,jl->akbl", blocks, mixing, mixing, optimize=True).reshape(hidden.shape)
            block.mixing = mixing.astype(np.float32)
        self._turn_outputs(block.outward, kernel, hidden)

    def _turn_inputs(self, layers: Sequence[keras.layers.Dense], moments: np.ndarray) -> None:
        """Turns what layers read, and rounds their kernels."""
        turn = self.turn
        self._round(layers, turn.T @ moments @ turn, *(turn.T @ np.asarray(layer.kernel) for layer in layers))

    def _turn_outputs(self, layer: keras.layers.Dense, kernel: np.ndarray, moments: np.ndarray) -> None:
        """Turns what a layer writes, and rounds its kernel."""
        if layer.use_bias:
            layer.bias.assign((np.asarray(layer.bias) @ self.turn).astype(np.float32))
        self._round([layer], moments, kernel @ self.turn)

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


def _to_int8(kernel: np.ndarray, moments: FactoredMoments) -> np.ndarray:
    """The kernel on the grid of int8, unless the file holds it in float32."""
    return kernel if kernel.size < MIN_QUANTIZED else rounded_kernel(kernel, moments)


def _to_int4(kernel: np.ndarray, moments: FactoredMoments) -> np.ndarray:
    """The kernel on the grid of int4, or of what else the file holds."""
    return rounded_to_int4(kernel, moments) if is_int4(kernel) else _to_int8(kernel, moments)


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
