"""The steps of a training as HLO modules of fixed shape, which a compiler for another device takes."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from textapp.batches.pipeline import BatchSource
from textapp.batches.sequences import SEGMENTS
from textapp.errors import TextappError
from textapp.training.loop import Batch

MEASURED_STEPS = 100  # of each shape; their order is random


class StaticShape(NamedTuple):
    """A shape of batches.

    Attributes:
        specs: the TensorSpecs of a batch, without open dimensions.
        share: of the steps of an epoch that have it, 0 to 1.
        padding: share of the tokens in it that are padding or fill the batch, 0 to 1.
    """

    specs: Any
    share: float
    padding: float

    @property
    def words(self) -> str:
        """Such as `32 x 128`: rows and tokens, or `32 x 16 + 24` of a source and a target."""
        features = self.specs["features"]
        lengths = [str(spec.shape[1]) for name, spec in features.items() if name != SEGMENTS]
        return f"{next(iter(features.values())).shape[0]} x {' + '.join(lengths)}"


def static_shapes(source: BatchSource, pad_id: int) -> list[StaticShape]:
    """The shapes of an epoch, on one device, in ascending order.

    Args:
        source: of the training; of each shape at most `MEASURED_STEPS` are read.
        pad_id: the padding id.
    """
    plan = source.plan(0)
    make, found = source.maker(plan), []
    for shape in np.unique(plan.shapes):
        steps = np.flatnonzero(plan.shapes == shape)
        useful = []
        for step in steps[:MEASURED_STEPS]:
            batch = make(tf.constant(step), tf.constant(0), 1)
            useful.append(_useful(batch, pad_id))
        specs = tf.nest.map_structure(lambda tensor: tf.TensorSpec(tensor.shape, tensor.dtype), batch)
        whole = sum(spec.shape.num_elements() for spec in _token_features(specs))
        found.append(StaticShape(specs, len(steps) / plan.steps, 1 - np.mean(useful).item() / whole))
    return sorted(found, key=lambda shape: [spec.shape.as_list()[::-1] for spec in _token_features(shape.specs)])


def _token_features(batch: Any) -> list[Any]:
    return [values for name, values in batch["features"].items() if name != SEGMENTS]


def _useful(batch: Batch, pad_id: int) -> int:
    """The tokens of a batch that are neither padding nor in a row of weight 0."""
    counts = batch["weights"][:, None] > 0 if batch["weights"].shape.rank == 1 else None
    present = [tf.not_equal(tokens, pad_id) for tokens in _token_features(batch)]
    return sum(int(tf.reduce_sum(tf.cast(each if counts is None else each & counts, tf.int32))) for each in present)


def evaluation_step(model: keras.Model, loss: Callable[[Batch, Any], Any]) -> Callable[[Batch], Any]:
    """The forward pass without dropout, and the loss of a batch, to be lowered.

    Args:
        model: of the training.
        loss: `(batch, outputs) -> [rows]`.
    """

    def step(batch: Batch) -> tf.Tensor:
        losses = tf.cast(loss(batch, model(batch["features"], training=False)), tf.float32)
        return tf.reduce_sum(losses * batch["weights"]) / batch["total_weight"]

    return tf.function(step, jit_compile=True)


class Refused(TextappError):
    """XLA lacks an operation of a function, or cannot compile it; the message is that of XLA."""


class Lowered:
    """A function as a module of XLA; weights are arguments.

    Args:
        function: a `tf.function` with `jit_compile`.
        specs: its one argument, of TensorSpecs without open dimensions.

    Attributes:
        hlo: serialized, for another compiler.
        text: readable, with the operation of TensorFlow that each instruction is of.

    Raises:
        Refused: XLA lacks an operation.

    Example: `Lowered(evaluation_step(model, loss), shape.specs).hlo`.
    """

    def __init__(self, function: Any, specs: Any) -> None:
        # It takes specs only for arguments that are tensors themselves. Nothing is computed of these zeros.
        zeros = tf.nest.map_structure(lambda spec: tf.zeros(spec.shape, spec.dtype), specs)
        self._stage = function.experimental_get_compiler_ir(zeros)
        self.hlo: bytes = self._get("hlo_serialized")
        self.text: str = self._get("hlo")

    def compile_here(self) -> None:
        """Compiles it by XLA for the CPU of this machine.

        Raises:
            Refused: XLA cannot.
        """
        self._get("optimized_hlo_serialized")

    def _get(self, stage: str) -> Any:
        try:
            return self._stage(stage=stage)
        except ValueError as error:
            raise Refused(re.sub(r"^Failed getting HLO text: '", "", str(error))) from error


def layer_of(operation: str, layers: Collection[str]) -> str | None:
    """The Keras layer of an operation, from the name scopes in its metadata.

    Args:
        operation: `op_name`, such as `StatefulPartitionedCall/classifier_1/encoder_1/token_embedding_1/GatherV2`.
        layers: the names of the model and of its layers.

    Returns:
        The scopes that are layers, `classifier/encoder/token_embedding`; None if none is.
    """
    # Keras numbers the scope of a layer that is called again.
    scopes = [scope if scope in layers else re.sub(r"_\d+$", "", scope) for scope in operation.split("/")]
    return "/".join(scope for scope in scopes if scope in layers) or None
