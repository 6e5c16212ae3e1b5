"""Rounds kernels to a grid so that the error of their products, not that of the weights, is small (GPTQ).

Frantar et al., 2023. What the grid is, int8_kernels.py and int4_kernels.py say.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

DAMPING = 0.01  # of the second moments, as a share of their mean
COLUMNS = 32  # inputs whose errors are spread together


class FactoredMoments(NamedTuple):
    """The second moments of inputs as `gptq` uses them, computed once for all kernels that read the same inputs.

    Attributes:
        squares: `[inputs]`, the sum of squares of each.
        order: `[inputs]`, their numbers, those with the largest values first.
        factor: `[inputs, inputs]`, of the inverse of the moments in this order, see `_inverse_factor`.
    """

    squares: np.ndarray
    order: np.ndarray
    factor: np.ndarray

    @classmethod
    def of(cls, moments: np.ndarray) -> FactoredMoments:
        """From the sum of products of the inputs, `x.T @ x`, `[inputs, inputs]` float64."""
        squares = np.diag(moments)
        order = np.argsort(-squares, kind="stable")
        return cls(squares, order, _inverse_factor(moments[np.ix_(order, order)]))


def gptq(kernel: np.ndarray, moments: FactoredMoments, nearest: Callable[[int, np.ndarray], np.ndarray]) -> np.ndarray:
    """The kernel on a grid whose product is nearest to the original's on given inputs.

    Inputs are rounded one after the other, those with the largest values first, and each error is made good for by the
    weights of the inputs that are still to come.

    Args:
        kernel: `[inputs, outputs]`.
        moments: of the inputs.
        nearest: from the number of an input and its weights `[outputs]` to the nearest values of the grid.

    Returns:
        `[inputs, outputs]` float64.
    """
    order, upper = moments.order, moments.factor
    weights = kernel[order].astype(np.float64)
    rounded = np.empty_like(weights)
    for start in range(0, len(weights), COLUMNS):
        end = min(start + COLUMNS, len(weights))
        errors = np.empty((end - start, weights.shape[1]))
        for index in range(start, end):
            rounded[index] = nearest(int(order[index]), weights[index])
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
