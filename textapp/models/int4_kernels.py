"""Kernels as int4 files hold them: of each output, blocks of inputs with a scale each.

A weight is one of -8 to 7 times the scale of its block. The scales are float16 numbers with the eight significant bits
of bfloat16, in which XNNPACK keeps them.
"""

from __future__ import annotations

from typing import NamedTuple

import ml_dtypes
import numpy as np

from textapp.models.gptq import FactoredMoments, gptq
from textapp.models.int8_kernels import MIN_QUANTIZED

BLOCK = 32  # inputs with one scale
LOWEST, HIGHEST = -8, 7
SMALLEST_SCALE = 2.0**-14  # of float16 with all its digits
# Scales that are tried, as shares of the one at which no weight of a block is clipped (as OCTAV; Sakr et al., 2022). At
# 0.875 a largest weight that is negative is -8 times the scale.
SHARES = (1.0, 0.95, 0.9, 0.875, 0.85, 0.8, 0.75, 0.7, 0.65)


class Int4Kernel(NamedTuple):
    """A kernel as a file holds it.

    Attributes:
        values: `[outputs, inputs]` int8, from -8 to 7.
        scales: `[outputs, blocks]` float16.
    """

    values: np.ndarray
    scales: np.ndarray


def is_int4(kernel: np.ndarray) -> bool:
    """Whether an int4 file holds a kernel `[inputs, outputs]` in int4; a small one stays float32."""
    return kernel.ndim == 2 and kernel.size >= MIN_QUANTIZED and len(kernel) % BLOCK == 0


def rounded_to_int4(kernel: np.ndarray, moments: FactoredMoments | None = None) -> np.ndarray:
    """The kernel on the grid of int4 whose product is nearest to the original's on given inputs; see `gptq`.

    Args:
        kernel: `[inputs, outputs]`, one that `is_int4`.
        moments: of the inputs; None: each weight becomes the nearest of the grid.

    Returns:
        `[inputs, outputs]`; each value is -8 to 7 times the scale of its block.
    """
    importance = np.ones(len(kernel)) if moments is None else moments.squares
    scales = np.repeat(_scales(np.asarray(kernel, np.float64), importance), BLOCK, axis=0)

    def nearest(number: int, weights: np.ndarray) -> np.ndarray:
        return _nearest(weights, scales[number])

    return _nearest(kernel, scales) if moments is None else gptq(kernel, moments, nearest)


def as_int4(kernel: np.ndarray) -> Int4Kernel | None:
    """The integers and scales of a kernel `[inputs, outputs]` float32 on the grid of int4; None: it is on no such grid.

    Equal values may have several scales: 2 and 4 are one and two times 2. All give the same kernel.
    """
    if not is_int4(kernel):
        return None
    blocks = kernel.reshape(-1, BLOCK, kernel.shape[1])
    largest = np.abs(blocks).max(axis=1)
    scales = np.where(largest == 0, np.float32(SMALLEST_SCALE), np.float32(0))
    for steps in range(-LOWEST, 0, -1):
        tried = np.maximum(largest / steps, np.float32(SMALLEST_SCALE))
        unknown = (scales == 0) & (rounded_scales(tried) == tried)
        if unknown.any():
            whole = blocks.transpose(0, 2, 1)[unknown] / tried[unknown, None]
            fits = (whole == np.clip(np.round(whole), LOWEST, HIGHEST)).all(axis=1)
            scales[unknown] = np.where(fits, tried[unknown], 0)
    if (scales == 0).any():
        return None
    values = (blocks / scales[:, None]).reshape(kernel.shape)
    return Int4Kernel(np.ascontiguousarray(values.T.astype(np.int8)), np.ascontiguousarray(scales.T.astype(np.float16)))


def _scales(kernel: np.ndarray, importance: np.ndarray) -> np.ndarray:
    """The scale of each block with the smallest error, `[blocks, outputs]` float64.

    Args:
        kernel: `[inputs, outputs]` float64.
        importance: of the inputs, by which the square of the error of a weight counts.
    """
    blocks = kernel.reshape(-1, BLOCK, kernel.shape[1])
    counts = importance.reshape(-1, BLOCK, 1)
    widest = np.abs(blocks).max(axis=1) / HIGHEST
    best, least = np.zeros_like(widest), np.full_like(widest, np.inf)
    for share in SHARES:
        scales = rounded_scales(np.maximum(share * widest, SMALLEST_SCALE)).astype(np.float64)
        errors = (counts * np.square(blocks - _nearest(blocks, scales[:, None]))).sum(axis=1)
        best, least = np.where(errors < least, scales, best), np.minimum(errors, least)
    return best


def rounded_scales(scales: np.ndarray) -> np.ndarray:
    """Scales with the eight significant bits that XNNPACK keeps of them, float32."""
    return scales.astype(ml_dtypes.bfloat16).astype(np.float32)


def _nearest(weights: np.ndarray, scales: np.ndarray) -> np.ndarray:
    return np.clip(np.round(weights / scales), LOWEST, HIGHEST) * scales
