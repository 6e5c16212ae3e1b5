"""Magnitude pruning by the engine of TF-MOT, on the variables of a Keras 3 model.

The engine chooses the masks. It takes matrices alone, so each kernel is given to it as a view `[inputs, outputs]`, and
the mask is applied to the variable here, after every update. After the ramp no mask changes any more: what is averaged
or restored after that has the same zeros.
"""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from textapp.compression.kernels import Kernel
from textapp.compression.recipe import Prune
from textapp.compression.tfmot import tfmot
from textapp.errors import ConfigError, plural
from textapp.training.loop import Hooks

MASK_UPDATES = 100  # during the ramp; each sorts the magnitudes of every kernel
_LOCAL = {"trainable": False, "aggregation": "only_first_replica"}  # all replicas write the same values


def pruning_hooks(step: Prune, kernels: Sequence[Kernel], updates: int) -> Hooks:
    """The hooks of a training that prunes; call it under `strategy.scope()`.

    Args:
        step: the settings.
        kernels: those to prune.
        updates: of the whole training.

    Raises:
        ConfigError: there are too few updates for the ramp.
    """
    engine = tfmot("sparsity.keras.pruning_impl").Pruning
    schedule, end = make_schedule(step, updates)
    count = keras.Variable(0, dtype="int64", name="pruning_updates", **_LOCAL)
    masks = [keras.Variable(tf.ones(kernel.view_shape), name="mask", **_LOCAL) for kernel in kernels]
    thresholds = [keras.Variable(0.0, name="threshold", **_LOCAL) for _ in kernels]
    pattern = tuple(step.m_by_n) if step.m_by_n else None

    def after_update() -> None:
        count.assign_add(1)
        parts = [
            (kernel.view(kernel.variable.value), mask.value, threshold.value)
            for kernel, mask, threshold in zip(kernels, masks, thresholds, strict=True)
        ]
        engine(lambda: count.value, parts, schedule, step.block_size, "AVG", pattern).conditional_mask_update()
        for kernel, mask in zip(kernels, masks, strict=True):
            kernel.variable.assign(kernel.variable.value * kernel.from_view(mask.value))

    return Hooks(
        after_update=after_update,
        variables=[count, *masks, *thresholds],
        complete=lambda: int(keras.ops.convert_to_numpy(count)) >= end,
    )


def keeping_zeros(hooks: Hooks, kernels: Sequence[Kernel]) -> Hooks:
    """The hooks of a training after which weights that are zero now are still zero; call it under `strategy.scope()`.

    Args:
        hooks: of the method.
        kernels: those whose zeros stay.
    """
    masks = [keras.Variable(kernel.variable.value != 0, dtype="float32", name="zeros", **_LOCAL) for kernel in kernels]

    def after_update() -> None:
        if hooks.after_update is not None:
            hooks.after_update()
        for kernel, mask in zip(kernels, masks, strict=True):
            kernel.variable.assign(kernel.variable.value * mask.value)

    return hooks._replace(after_update=after_update, variables=[*hooks.variables, *masks])


def make_schedule(step: Prune, updates: int, where: str = "prune") -> tuple[object, int]:
    """The schedule of TF-MOT, and the number of the update that chooses the last masks.

    The engine sets the masks of a pattern at its first update, whatever the schedule.

    Args:
        step: the settings.
        updates: of the whole training.
        where: the place and the key of the step, for messages.

    Raises:
        ConfigError: the training ends before the ramp.

    Example: of 1,000 updates and a ramp of 0.5, masks change at every fifth from the first on, to number 501.
    """
    schedules = tfmot("sparsity.keras.pruning_schedule")
    ramp = max(1, int(step.ramp * updates))
    frequency = max(1, ramp // MASK_UPDATES)
    end = 1 if step.m_by_n else 1 + ramp // frequency * frequency
    if end > updates:
        found = f"found a training of {plural(updates, 'update')}, expected at least {end}"
        raise ConfigError(f"{where}: {found}: raise epochs, or lower training.batch_size or ramp")
    if step.schedule == "constant" or step.m_by_n:
        return schedules.ConstantSparsity(step.sparsity or 0.0, 1, end, frequency), end
    return schedules.PolynomialDecay(0.0, step.sparsity, 1, end, frequency=frequency), end


def remainder(step: Prune, kernel: Kernel) -> int:
    """The inputs at the end of a kernel that fill no whole group of a pattern, and may have fewer zeros.

    Args:
        step: the settings; without a pattern there is no remainder.
        kernel: any kernel.
    """
    return kernel.view_shape[0] % step.m_by_n[1] if step.m_by_n else 0


def zeros_of(kernel: Kernel) -> int:
    """The number of weights of a kernel that are exactly zero."""
    return int(np.sum(keras.ops.convert_to_numpy(kernel.variable) == 0))
