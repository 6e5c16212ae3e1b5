"""Optimizers by their config names, and learning rate schedules."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import keras
import tensorflow as tf

from textapp.config import Training


class _Rates(NamedTuple):
    """What a step of Adam multiplies, the same for every variable: computed once."""

    step: tf.Tensor
    decay: tf.Tensor


@keras.saving.register_keras_serializable("textapp")
class LazyAdam(keras.optimizers.Adam):
    """Adam that updates only the rows of an embedding that a batch used, as LazyAdam and SparseAdam elsewhere.

    Keras makes the sparse gradient of an embedding dense, and its Adam then updates the whole table at every step. Here
    moments and weights of unused rows do not change, by weight decay neither. Dense gradients are treated as by Keras:
    those of an embedding tied to the output layer, and those accumulated over several batches. TensorFlow's own
    operation of Adam updates them in one pass over memory, where Keras makes some fifteen.
    """

    def _clip_gradients(self, grads: list) -> list:
        """Sums the gradients of equal rows, then clips the norm. Keras passes all gradients at once only here."""
        grads = [_unique_rows(grad) if isinstance(grad, tf.IndexedSlices) else grad for grad in grads]
        return tf.clip_by_global_norm(grads, self.global_clipnorm)[0] if self.global_clipnorm else grads

    def _apply_weight_decay(self, variables: list) -> None:
        """Does nothing: `update_step` decays, as it knows which rows were used."""

    def _backend_update_step(self, grads: list, trainable_variables: list, learning_rate: tf.Tensor) -> None:
        step = tf.cast(self.iterations + 1, tf.float32)
        rate = tf.cast(learning_rate, tf.float32)
        corrected = rate * tf.sqrt(1 - self.beta_2**step) / (1 - self.beta_1**step)
        super()._backend_update_step(grads, trainable_variables, _Rates(corrected, rate * (self.weight_decay or 0.0)))

    def update_step(self, gradient: tf.Tensor | tf.IndexedSlices, variable: tf.Variable, learning_rate: _Rates) -> None:
        """Updates one variable: of `IndexedSlices` the rows alone."""
        index = self._get_variable_index(variable)
        first, second = self._momentums[index].value, self._velocities[index].value
        rate, decay = (tf.cast(each, variable.dtype) for each in learning_rate)
        decays = bool(self.weight_decay) and self._use_weight_decay(variable)
        if isinstance(gradient, tf.IndexedSlices):
            rows, values = gradient.indices, tf.cast(gradient.values, variable.dtype)
            mean = _update_moment(first, rows, values, self.beta_1)
            change = rate * mean / (tf.sqrt(_update_moment(second, rows, values**2, self.beta_2)) + self.epsilon)
            if decays:
                change += decay * tf.gather(variable, rows)
            variable.scatter_sub(tf.IndexedSlices(change, rows))
            return
        if decays:
            variable.assign((1 - decay) * variable)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle, m=first.handle, v=second.handle, grad=tf.cast(gradient, variable.dtype),
            # The rate has the correction by the powers already.
            beta1_power=tf.zeros([], variable.dtype), beta2_power=tf.zeros([], variable.dtype), lr=rate,
            beta1=tf.cast(self.beta_1, variable.dtype), beta2=tf.cast(self.beta_2, variable.dtype),
            epsilon=tf.cast(self.epsilon, variable.dtype),
        )  # fmt: skip


def _update_moment(moment: tf.Variable, rows: tf.Tensor, values: tf.Tensor, beta: float) -> tf.Tensor:
    """Updates rows of a moving average by `values` `[rows, dim]`, and returns the new rows."""
    updated = tf.gather(moment, rows) * beta + values * (1 - beta)
    moment.scatter_update(tf.IndexedSlices(updated, rows))
    return updated


def _unique_rows(slices: tf.IndexedSlices) -> tf.IndexedSlices:
    rows, segments = tf.unique(tf.reshape(slices.indices, [-1]))
    values = tf.math.unsorted_segment_sum(slices.values, segments, tf.size(rows))
    return tf.IndexedSlices(values, rows, slices.dense_shape)


@keras.saving.register_keras_serializable("textapp")
class WarmupSchedule(keras.optimizers.schedules.LearningRateSchedule):
    """Linear warm-up of the learning rate, then `schedule`.

    Args:
        peak: the learning rate after the warm-up.
        warmup_steps: 0 starts at the peak.
        total_steps: where `linear` and `cosine` reach 0.
        schedule: `constant`, `linear`, `cosine`, or `inverse_sqrt` (Vaswani et al., 2017).

    Example: peak 1.0, 2 steps of warm-up, 6 in all, linear: 0.5, 1, 1, 0.75, 0.5, 0.25.
    """

    def __init__(self, peak: float, warmup_steps: int, total_steps: int, schedule: str) -> None:
        self.peak, self.warmup_steps, self.total_steps, self.schedule = peak, warmup_steps, total_steps, schedule

    def __call__(self, step: int | tf.Tensor) -> tf.Tensor:
        step = tf.cast(step, tf.float32)
        warmup = float(self.warmup_steps)
        passed = tf.clip_by_value((step - warmup) / max(1.0, self.total_steps - warmup), 0.0, 1.0)
        factor = {
            "constant": lambda: tf.ones_like(step),
            "linear": lambda: 1 - passed,
            "cosine": lambda: (1 + tf.cos(passed * 3.14159265)) / 2,
            "inverse_sqrt": lambda: tf.math.rsqrt(tf.maximum(step, max(warmup, 1.0)) / max(warmup, 1.0)),
        }[self.schedule]()
        return self.peak * tf.where(step < warmup, (step + 1) / max(warmup, 1.0), factor)

    def get_config(self) -> dict:
        return {
            "peak": self.peak, "warmup_steps": self.warmup_steps,
            "total_steps": self.total_steps, "schedule": self.schedule,
        }  # fmt: skip


def scaled_learning_rate(config: Training, replicas: int) -> float:
    """The learning rate of a config on a number of replicas, by its `learning_rate_scaling`.

    Example: 0.001 on 4 replicas is 0.004 with `linear`, 0.002 with `sqrt`, and 0.001 with `none`.
    """
    factor = {"none": 1.0, "linear": float(replicas), "sqrt": math.sqrt(replicas)}[config.learning_rate_scaling]
    return config.learning_rate * factor


def make_optimizer(
    config: Training, total_steps: int, variables: Sequence[keras.Variable], loss_scaling: bool = False
) -> keras.optimizers.Optimizer:
    """Makes the optimizer of a run; call it under `strategy.scope()`.

    Args:
        config: resolved; only `clip_norm` may be None, for no clipping.
        total_steps: updates of the whole run: batches, divided by `gradient_accumulation_steps`.
        variables: those to train; weight decay leaves out biases, normalisations and position embeddings.
        loss_scaling: for float16, in which small gradients underflow.

    Raises:
        ValueError: the config names an unknown optimizer.
    """
    rate = WarmupSchedule(config.learning_rate, config.warmup_steps, total_steps, config.schedule)
    shared = {
        "learning_rate": rate, "weight_decay": config.weight_decay or None, "global_clipnorm": config.clip_norm,
    }  # fmt: skip
    match config.optimizer:
        case "adam" | "adamw":
            optimizer = LazyAdam(**shared)
        case "adafactor":
            optimizer = keras.optimizers.Adafactor(**shared)
        case "sgd":
            optimizer = keras.optimizers.SGD(momentum=0.9, **shared)
        case other:
            raise ValueError(f"optimizer: expected adam, adamw, adafactor or sgd, found {other!r}")
    if config.weight_decay:
        optimizer.exclude_from_weight_decay([variable for variable in variables if not _decays(variable)])
    return keras.optimizers.LossScaleOptimizer(optimizer) if loss_scaling else optimizer


def _decays(variable: keras.Variable) -> bool:
    return len(variable.shape) > 1 and "position" not in variable.path
