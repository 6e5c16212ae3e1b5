"""A runner of a Keras model, used by run folders and by validation during training."""

from __future__ import annotations

import ctypes
import gc
import sys
from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from textapp.errors import ArtifactError

Call = Callable[[dict[str, Any]], dict[str, Any]]


class KerasRunner:
    """Runs functions of a Keras model in batches; later changes of its weights take effect.

    Args:
        calls: signature -> function from tensors by input name to tensors by output name.
        open_lengths: signatures whose second dimension is open too: one graph for all lengths.

    Attributes:
        signatures: names of the signatures.
    """

    max_batch = 64
    shareable = True

    def __init__(self, calls: Mapping[str, Call], open_lengths: Collection[str] = ()) -> None:
        self._calls, self._open_lengths = calls, open_lengths
        self.signatures = tuple(calls)
        self._functions: dict[str, tf.types.experimental.GenericFunction] = {}

    def clone(self) -> KerasRunner:
        """Returns itself: several threads may call the same TensorFlow function."""
        return self

    def forget(self) -> None:
        """Frees the graphs of the signatures, 0.25 GB each of 30 layers; a later call traces its own again."""
        self._functions.clear()
        gc.collect()  # graphs refer to themselves
        if sys.platform == "linux":
            trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc keeps what is freed, 0.4 GB here
            if trim is not None:
                trim(0)

    def run(self, signature: str, features: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Runs one signature on a batch of any size.

        Args:
            signature: one of `signatures`.
            features: its inputs by name, `[batch, ...]`.

        Returns:
            Its outputs by name, `[batch, ...]`.

        Raises:
            ArtifactError: there is no such signature, or the model and the inputs do not go together.
        """
        if signature not in self._calls:
            raise ArtifactError(f"the model has no signature {signature!r}; it has {', '.join(self.signatures)}")
        inputs = {name: tf.convert_to_tensor(values) for name, values in features.items()}
        if signature not in self._functions:
            open_dims = 2 if signature in self._open_lengths else 1
            specs = {name: _spec(values, open_dims) for name, values in inputs.items()}
            self._functions[signature] = tf.function(self._calls[signature], input_signature=[specs])
        try:
            return {name: values.numpy() for name, values in self._functions[signature](inputs).items()}
        except tf.errors.InvalidArgumentError as error:  # such as an id that the embedding lacks
            raise ArtifactError(f"the model cannot run {signature}: {error.message.splitlines()[0]}") from error


def _spec(values: tf.Tensor, open_dims: int) -> tf.TensorSpec:
    """The shape of an input with the first `open_dims` dimensions open."""
    opened = min(open_dims, values.shape.rank)
    return tf.TensorSpec((*(None,) * opened, *values.shape[opened:]), values.dtype)
