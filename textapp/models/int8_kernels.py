"""Kernels as int8 files hold them: which are quantized, which are on their grid already, and how to round one to it."""

from __future__ import annotations

import numpy as np

MIN_QUANTIZED = 1024  # weights; the converter leaves smaller constants in float32
OFF_GRID = 1e-3  # of an int8 step; float32 is off by 1e-5, an untrained kernel by up to 0.5
MANY_ZEROS = 0.1  # share of a pruned kernel; a trained one has next to none
DAMPING = 0.01  # of the second moments, as a share of their mean
COLUMNS = 32  # inputs whose errors are spread together


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


def rounded_kernel(kernel: np.ndarray, moments: np.ndarray) -> np.ndarray:
    """The kernel on the grid of int8 whose product is nearest to the original's on given inputs (GPTQ).

    Inputs are rounded one after the other, those with the largest values first, and each error is made good for by the
    weights of the inputs that are still to come. The largest weight of each output stays the largest, so that a
    converter, which takes it for 127 steps, finds the same grid.

    Args:
        kernel: `[inputs, outputs]` float64.
        moments: `[inputs, inputs]` float64, the sum of products of the inputs, `x.T @ x`.

    Returns:
        `[inputs, outputs]`; each value is -127 to 127 times the step of its output.
    """
    order = np.argsort(-np.diag(moments), kind="stable")
    weights, upper = kernel[order].astype(np.float64), _inverse_factor(moments[np.ix_(order, order)])
    steps = np.abs(weights).max(axis=0) / 127
    steps = np.where(steps > 0, steps, 1.0)
    largest = np.abs(weights).argmax(axis=0)
    fixed = 127 * np.sign(weights[largest, np.arange(weights.shape[1])]) * steps
    rounded = np.empty_like(weights)
    for start in range(0, len(weights), COLUMNS):
        end = min(start + COLUMNS, len(weights))
        errors = np.empty((end - start, weights.shape[1]))
        for index in range(start, end):
            row = np.clip(np.round(weights[index] / steps), -127, 127) * steps
            rounded[index] = np.where(largest == index, fixed, row)
            error = (weights[index] - rounded[index]) / upper[index, index]
            weights[index:end] -= upper[index, index:end, None] * error
            errors[index - start] = error
        weights[end:] -= upper[start:end, end:].T @ errors
    result = np.empty_like(rounded)
    result[order] = rounded
    return result


def _inverse_factor(moments: np.ndarray) -> np.ndarray:
    """The upper triangular factor U of the inverse of the damped moments, which is `U.T @ U`.

    With the rows and columns in reverse order Cholesky's lower factor is upper, R of `R @ R.T`, and U is its inverse.
    """
    damping = DAMPING * np.mean(np.diag(moments)) or 1.0
    reverse = np.linalg.cholesky((moments + damping * np.eye(len(moments)))[::-1, ::-1])
    return _inverse_of_upper(np.ascontiguousarray(reverse[::-1, ::-1]))  # BLAS takes no negative strides


def _inverse_of_upper(matrix: np.ndarray) -> np.ndarray:
    """The inverse of an upper triangular matrix, by halves: NumPy has no solver for triangles, and `inv` is slower."""
    half = len(matrix) // 2
    if half < COLUMNS:
        return np.triu(np.linalg.inv(matrix))
    inverse = np.zeros_like(matrix)
    inverse[:half, :half] = _inverse_of_upper(matrix[:half, :half])
    inverse[half:, half:] = _inverse_of_upper(matrix[half:, half:])
    inverse[:half, half:] = -inverse[:half, :half] @ matrix[:half, half:] @ inverse[half:, half:]
    return inverse
