"""Kernels as int8 files hold them: which are quantized, which are on their grid already, and how to round one to it."""

from __future__ import annotations

import numpy as np

from textapp.models.gptq import FactoredMoments, gptq

MIN_QUANTIZED = 1024  # weights; the converter leaves smaller constants in float32
OFF_GRID = 1e-3  # of an int8 step; float32 is off by 1e-5, an untrained kernel by up to 0.5
MANY_ZEROS = 0.1  # share of a pruned kernel; a trained one has next to none


def on_grid(kernel: np.ndarray) -> bool:
    """Whether each output of a kernel has at most 255 values, -127 to 127 times a step: as int8 files hold weights.

    Args:
        kernel: `[inputs, outputs]`; a small one, which stays float32 in a file, is on no grid.
    """
    if kernel.size < MIN_QUANTIZED:
        return False
    steps = np.abs(kernel).max(axis=0) / 127
    for part in (kernel[:4], kernel):  # the first rows tell for nearly all kernels
        whole = part / np.where(steps > 0, steps, 1)
        if np.abs(whole - np.round(whole)).max() > OFF_GRID:
            return False
    return True


def is_pruned(kernel: np.ndarray) -> bool:
    """Whether many weights are zero."""
    return bool(np.mean(kernel == 0) > MANY_ZEROS)


def rounded_kernel(kernel: np.ndarray, moments: FactoredMoments) -> np.ndarray:
    """The kernel on the grid of int8 whose product is nearest to the original's on given inputs; see `gptq`.

    The largest weight of each output stays the largest, so that a converter, which takes it for 127 steps, finds the
    same grid.

    Args:
        kernel: `[inputs, outputs]` float64.
        moments: of the inputs.

    Returns:
        `[inputs, outputs]`; each value is -127 to 127 times the step of its output.
    """
    steps = np.abs(kernel).max(axis=0) / 127
    steps = np.where(steps > 0, steps, 1.0)
    largest = np.abs(kernel).argmax(axis=0)
    fixed = 127 * np.sign(kernel[largest, np.arange(kernel.shape[1])]) * steps

    def nearest(number: int, weights: np.ndarray) -> np.ndarray:
        return np.where(largest == number, fixed, np.clip(np.round(weights / steps), -127, 127) * steps)

    return gptq(kernel, moments, nearest)
