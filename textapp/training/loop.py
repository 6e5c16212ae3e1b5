"""The compiled training step: forward pass, backward pass and update. Epochs, files and metrics are trainer.py's."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from textapp.layers.shapes import axis_size
from textapp.training.optimizers import LazyAdam

Batch = dict[str, Any]
WeightPairs = Iterable[tuple[keras.Variable, tf.Tensor]]


class Hooks(NamedTuple):
    """What a compression method adds to a training, made for its model.

    Attributes:
        transform_weights: see `TrainingLoop`.
        after_update: see `TrainingLoop`; what the finished weights must have, such as zeros, it writes.
        variables: of these two, for checkpoints.
        trained: the variables to train, such as those that transformed weights are computed from; None: the model's.
        complete: whether the weights have what the finished ones must have, such as all zeros; an epoch that ends
            before is neither the best nor averaged. None: always.
        forward: see `TrainingLoop`.
    """

    transform_weights: Callable[[], WeightPairs] | None = None
    after_update: Callable[[], Any] | None = None
    variables: Sequence[keras.Variable] = ()
    trained: Sequence[keras.Variable] | None = None
    complete: Callable[[], bool] | None = None
    forward: Callable[..., Any] | None = None


class TrainingLoop:
    """Runs the same training step on every replica and keeps their weights equal.

    The loss is the sum over all replicas of `weights * loss`, divided by the sum of weights of the global batch, so it
    does not depend on the number of replicas.

    Four hooks let compression methods share this loop: `loss(batch, outputs)`, which may ask a teacher;
    `transform_weights()`, tensors that replace variables in the forward pass, computed inside the gradient tape;
    `after_update()`, run inside the step, after the update; and `forward(features, training)`, which calls the model
    and may give the loss more than its outputs.

    Args:
        model: takes `batch["features"]`; built under `strategy.scope()`.
        optimizer: any Keras optimizer, in a `LossScaleOptimizer` for float16.
        loss: `(batch, outputs) -> [rows]`, the float loss of each example.
        strategy: of the variables.
        transform_weights: returns pairs of a variable and the tensor that replaces it, of the same shape.
        trained: the variables to train; None: the model's.
        after_update: takes no arguments; TensorFlow operations only.
        forward: takes features and `training`, and returns what the loss takes; None: the model.
        gradient_accumulation_steps: batches of one update, which moves the weights as one batch of all their rows
            would. Fewer are left at the end of an epoch: call `update_from_rest` there.
        jit_compile: compile the forward and backward pass by XLA.
        parts: of the rows of a batch, whose forward and backward passes run side by side; see `parts_of_a_batch`. They
            must not assign variables but seeds, so not with `transform_weights`.

    Attributes:
        variables: its own state between two updates, for checkpoints.

    Example:
        loop = TrainingLoop(model, optimizer, loss, tf.distribute.get_strategy())
        for batch in batches.distributed(batches.plan(0), loop.strategy):
            print(float(loop.step(batch)))
    """

    def __init__(
        self,
        model: keras.Model,
        optimizer: keras.optimizers.Optimizer,
        loss: Callable[[Batch, Any], tf.Tensor],
        strategy: tf.distribute.Strategy,
        *,
        transform_weights: Callable[[], WeightPairs] | None = None,
        after_update: Callable[[], Any] | None = None,
        forward: Callable[..., Any] | None = None,
        trained: Sequence[keras.Variable] | None = None,
        gradient_accumulation_steps: int = 1,
        jit_compile: bool = False,
        parts: int = 1,
    ) -> None:
        self.model, self.optimizer, self.strategy = model, optimizer, strategy
        self._loss, self._transform, self._after_update = loss, transform_weights, after_update
        self._call, self._num_parts = forward or model, parts
        self._scales = isinstance(optimizer, keras.optimizers.LossScaleOptimizer)
        self._trained = list(model.trainable_variables if trained is None else trained)
        with strategy.scope():
            optimizer.build(self._trained)
            several = gradient_accumulation_steps > 1
            keeps_rows = isinstance(optimizer, LazyAdam)
            self._sums = _Sums(self._trained, gradient_accumulation_steps, keeps_rows) if several else None
        self.variables = self._sums.variables if self._sums else []
        # Keras sums gradients over the replicas after clipping them. The step sums them before, so that the norm is
        # that of the global batch, and Keras must not sum again.
        for each in (optimizer, getattr(optimizer, "inner_optimizer", optimizer)):
            each._all_reduce_sum_gradients = list
        self._gradients = tf.function(self._loss_and_gradients, jit_compile=jit_compile)
        self._keeps_rows = keeps_rows
        self.step, self.steps = tf.function(self._step), tf.function(self._steps)
        self._rest = tf.function(lambda: self._update_if(self._sums.any()))

    def open_shapes(self, element_spec: Any) -> None:
        """Traces the step once for batches of any shape, instead of once for each shape.

        Args:
            element_spec: of the iterator over the batches, with dynamic shapes.
        """
        self.step = tf.function(self._step, input_signature=[element_spec])

    def _steps(self, batches: Iterator, number: tf.Tensor) -> tf.Tensor:
        """Trains on the next batches of an iterator, in one program for all shapes; returns their losses `[number]`.

        One call for several steps leaves out what Python takes between two of them. It is for one replica: sums over
        replicas are known by their place in the loop, where those of two steps meet, or wait for ever.
        """

        def step(done: tf.Tensor, losses: tf.TensorArray) -> tuple[tf.Tensor, tf.TensorArray]:
            return done + 1, losses.write(done, self._step(next(batches)))

        start = tf.constant(0), tf.TensorArray(tf.float32, size=number)
        return tf.while_loop(lambda done, _: done < number, step, start, parallel_iterations=1)[1].stack()

    def compiled_step(self) -> tf.types.experimental.GenericFunction:
        """The step as one program of XLA, update included; a TPU compiles it so."""
        return tf.function(self._step, jit_compile=True)

    def _step(self, batch: Any) -> tf.Tensor:
        """Trains on one batch of a `BatchSource`; returns the loss of the global batch, a scalar."""
        losses = self.strategy.run(self._replica_step, args=(batch,))
        if self._sums is not None:
            self._update_if(self._sums.complete())
        return self.strategy.reduce(tf.distribute.ReduceOp.SUM, losses, axis=None)

    def update_from_rest(self) -> None:
        """Makes an update of the batches since the last one, if there are any."""
        if self._sums is not None:
            self._rest()

    def _update_if(self, condition: tf.Tensor) -> None:
        # The condition is outside `strategy.run`: within a condition replicas cannot synchronise their writes.
        tf.cond(condition, lambda: self.strategy.run(self._update_from_sums), lambda: None)

    def _replica_step(self, batch: Batch) -> tf.Tensor:
        loss, gradients = self._gradients(batch)
        gradients = self._summed(gradients)
        if self._sums is None:
            self._update(gradients)
        else:
            self._sums.add(gradients, batch["total_weight"])
        return loss

    def _update(self, gradients: list) -> None:
        self.optimizer.apply(gradients, self._trained)
        if self._after_update is not None:
            self._after_update()

    def _update_from_sums(self) -> None:
        self._update(self._sums.mean())
        self._sums.clear()

    def _summed(self, gradients: list) -> list:
        """Sums gradients over all replicas; None, for unused variables, is kept."""
        present = [gradient for gradient in gradients if gradient is not None]
        if not self._keeps_rows:
            present = [tf.convert_to_tensor(gradient) for gradient in present]
        if self.strategy.num_replicas_in_sync > 1:
            present = tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, present)
        remaining = iter(present)
        return [None if gradient is None else next(remaining) for gradient in gradients]

    def _loss_and_gradients(self, batch: Batch) -> tuple[tf.Tensor, list]:
        parts = [self._of_part(part) for part in _parts(batch, self._num_parts)]
        gradients = zip(*(gradients for _, gradients in parts), strict=True)
        return tf.add_n([loss for loss, _ in parts]), [_sum(each) for each in gradients]

    def _of_part(self, batch: Batch) -> tuple[tf.Tensor, list]:
        with tf.GradientTape() as tape:
            outputs = self._forward(batch["features"])
            losses = tf.cast(self._loss(batch, outputs), tf.float32)
            loss = tf.reduce_sum(losses * batch["weights"]) / batch["total_weight"]
            scaled = self.optimizer.scale_loss(loss) if self._scales else loss
        return loss, tape.gradient(scaled, [variable.value for variable in self._trained])

    def _forward(self, features: dict[str, tf.Tensor]) -> Any:
        if self._transform is None:
            return self._call(features, training=True)
        pairs = list(self._transform())
        with keras.StatelessScope(state_mapping=pairs) as scope:
            outputs = self._call(features, training=True)
        # The scope only recorded what layers assign to their own variables: seeds, moving averages.
        transformed = {id(variable) for variable, _ in pairs}
        for variable in self.model.non_trainable_variables:
            value = scope.get_current_value(variable)
            if value is not None and id(variable) not in transformed:
                variable.assign(value)
        return outputs


def _parts(batch: Batch, number: int) -> Iterator[Batch]:
    """Cuts a batch by rows; `total_weight` stays that of the whole, so the losses of the parts add up."""
    if number == 1:
        yield batch
        return
    rows = axis_size(batch["weights"], 0)
    smaller, larger = (min, max) if isinstance(rows, int) else (tf.minimum, tf.maximum)
    total, of_rows = batch["total_weight"], {name: each for name, each in batch.items() if name != "total_weight"}
    for part in range(number):
        start, end = rows * part // number, rows * (part + 1) // number
        # A part without rows repeats one, of weight 0: the mean of none could be NaN.
        first = smaller(start, rows - 1)
        cut = slice(first, larger(end, first + 1))
        made = tf.nest.map_structure(lambda values, cut=cut: values[cut], of_rows)
        yield {**made, "weights": made["weights"] * tf.cast(end > start, tf.float32), "total_weight": total}


def _sum(gradients: Sequence[Any]) -> Any:
    """The sum of the gradients of one variable by parts; rows of an embedding stay rows, None stays None."""
    if gradients[0] is None or len(gradients) == 1:
        return gradients[0]
    if isinstance(gradients[0], tf.IndexedSlices):
        values, indices = (tf.concat([getattr(each, of) for each in gradients], 0) for of in ("values", "indices"))
        return tf.IndexedSlices(values, indices, gradients[0].dense_shape)
    return tf.add_n(gradients)


class _Sums:
    """Gradient accumulation over several batches. That of Keras works on one replica only.

    The loss of a batch is a mean by its weights: of examples, or of tokens. So the gradients are added up by the total
    weight of each batch, as batches of few tokens count for less in one batch of all.

    Args:
        weights: whose gradients are accumulated.
        steps: batches of one update.
        keeps_rows: gradients that are rows of an embedding stay rows, for `LazyAdam`, which updates no others.
    """

    def __init__(self, weights: list[keras.Variable], steps: int, keeps_rows: bool) -> None:
        # Gradients are summed over the replicas before, so that all replicas write the same values.
        settings = {"trainable": False, "aggregation": "only_first_replica"}
        self._totals = [keras.Variable(tf.zeros(each.shape), **settings) for each in weights]
        self._rows = [
            keras.Variable(tf.zeros(each.shape[0], tf.bool), dtype="bool", **settings)
            if keeps_rows and len(each.shape) == 2
            else None
            for each in weights
        ]
        self._weight = keras.Variable(0.0, **settings)
        self._batches = keras.Variable(0, dtype="int32", **settings)
        self._steps = steps
        self._used = [True] * len(weights)
        self._are_rows = [False] * len(weights)

    @property
    def variables(self) -> list[keras.Variable]:
        """The sums, the rows that are in them, their weight, and the number of batches."""
        return [*self._totals, *(rows for rows in self._rows if rows is not None), self._weight, self._batches]

    def add(self, gradients: list, weight: tf.Tensor) -> None:
        """Adds the gradients of one batch of a total weight; None for unused weights."""
        self._used = [gradient is not None for gradient in gradients]
        self._are_rows = [isinstance(gradient, tf.IndexedSlices) for gradient in gradients]
        for total, rows, gradient in zip(self._totals, self._rows, gradients, strict=True):
            if gradient is not None:
                total.assign_add(tf.cast(tf.convert_to_tensor(gradient), total.dtype) * weight)
            if rows is not None and isinstance(gradient, tf.IndexedSlices):
                indices = tf.reshape(gradient.indices, [-1, 1])
                seen = tf.ones(tf.shape(indices)[0], tf.bool)
                rows.assign(tf.tensor_scatter_nd_update(rows.value, indices, seen))
        self._weight.assign_add(weight)
        self._batches.assign_add(1)

    def complete(self) -> tf.Tensor:
        """Whether enough batches were added for an update."""
        return tf.equal(self._batches.value, self._steps)

    def any(self) -> tf.Tensor:
        """Whether batches were added since the last update."""
        return self._batches.value > 0

    def mean(self) -> list:
        """The mean gradient of each weight over the batches; None for unused weights."""
        return [self._mean(i) if used else None for i, used in enumerate(self._used)]

    def _mean(self, i: int) -> tf.Tensor | tf.IndexedSlices:
        total, rows = self._totals[i].value, self._rows[i]
        if rows is None or not self._are_rows[i]:
            return total / self._weight.value
        indices = tf.squeeze(tf.where(rows.value), axis=1)
        return tf.IndexedSlices(tf.gather(total, indices) / self._weight.value, indices, tf.shape(total))

    def clear(self) -> None:
        """Starts anew with no batches."""
        for variable in self.variables:
            variable.assign(tf.zeros_like(variable.value))
