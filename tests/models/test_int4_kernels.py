"""Kernels on the grid of int4: which is nearest, what GPTQ gains, and that integers and scales are found again."""

from __future__ import annotations

import numpy as np
import pytest

from textapp.models.gptq import FactoredMoments
from textapp.models.int4_kernels import BLOCK, Int4Kernel, as_int4, is_int4, rounded_to_int4


def float32_of(kernel: Int4Kernel) -> np.ndarray:
    """The kernel `[inputs, outputs]` that integers and scales stand for."""
    return (kernel.values * np.repeat(kernel.scales.astype(np.float32), BLOCK, axis=1)).T


def test_the_nearest_of_a_kernel_on_the_grid_is_itself():
    block = np.arange(BLOCK) % 15 - 7.0  # -7 to 7
    kernel = np.stack([np.concatenate([block, 0.5 * block]), np.concatenate([-block, 0 * block])] * 8, axis=1)
    found = as_int4(rounded_to_int4(kernel).astype(np.float32))
    assert found.values.shape == (16, 64) and found.scales.dtype == np.float16
    np.testing.assert_array_equal(float32_of(found), kernel)
    assert found.values[0, :3].tolist() == [-7, -6, -5] and found.scales[0].tolist() == [1, 0.5]


@pytest.mark.parametrize("moments", [None, FactoredMoments.of(np.eye(64))])
def test_integers_and_scales_are_found_again(moments):
    kernel = np.random.default_rng(1).normal(size=(64, 48)) * 10.0 ** np.linspace(-9, 3, 48)
    rounded = rounded_to_int4(kernel, moments).astype(np.float32)
    found = as_int4(rounded)
    np.testing.assert_array_equal(float32_of(found), rounded)
    assert found.values.min() == -8 and found.values.max() == 7
    assert (found.scales >= 2.0**-14).all() and not (found.scales.view(np.uint16) & 7).any()
    wide = np.abs(kernel).max(axis=0) > 0.01
    errors = np.abs(rounded - kernel).max(axis=0) / np.abs(kernel).max(axis=0)
    assert errors[wide].max() < 0.36  # clipped a little; the half of a step is a fourteenth


def test_another_kernel_is_on_no_such_grid():
    kernel = rounded_to_int4(np.random.default_rng(2).normal(size=(64, 32))).astype(np.float32)
    kernel[5, 7] += 0.01
    assert as_int4(kernel) is None
    assert not is_int4(np.ones((48, 64))) and not is_int4(np.ones((32, 8))) and is_int4(np.ones((32, 32)))


def test_gptq_loses_less_of_its_products_than_the_nearest():
    random = np.random.default_rng(3)
    inputs = random.normal(size=(400, 8)) @ random.normal(size=(8, 96)) + 0.1 * random.normal(size=(400, 96))
    kernel = random.normal(size=(96, 32))
    rounded = rounded_to_int4(kernel, FactoredMoments.of(inputs.T @ inputs))
    errors = [np.square(inputs @ (one - kernel)).mean() for one in (rounded, rounded_to_int4(kernel))]
    assert errors[0] < 0.2 * errors[1] and as_int4(rounded.astype(np.float32)) is not None


def test_a_clipped_weight_can_cost_less_than_coarse_ones():
    kernel = np.random.default_rng(5).normal(size=(64, 32))
    scales = np.repeat(np.abs(kernel.reshape(2, BLOCK, 32)).max(axis=1) / 7, BLOCK, axis=0)
    widest = np.clip(np.round(kernel / scales), -8, 7) * scales
    assert np.square(rounded_to_int4(kernel) - kernel).sum() < 0.85 * np.square(widest - kernel).sum()
