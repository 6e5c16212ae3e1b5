"""One entry of a model: what it is asked for by name, in TensorFlow."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import tensorflow as tf

from textapp.decoding.signatures import CACHE

Tensors = Mapping[str, Any]
Call = Callable[[Tensors], dict[str, Any]]


class Signature(NamedTuple):
    """One entry of an exported model.

    Attributes:
        name: such as `classify_32`.
        inputs: the shape of each input, `{"token_ids": (1, 32)}`; None for an open dimension.
        call: tensors by input name -> tensors by output name, in TensorFlow.
    """

    name: str
    inputs: dict[str, tuple[int | None, ...]]
    call: Call

    def specs(self) -> dict[str, tf.TensorSpec]:
        """The inputs as TensorFlow wants them: a cache is float32, all else int32."""
        return {
            name: tf.TensorSpec(shape, tf.float32 if name.startswith(CACHE) else tf.int32, name=name)
            for name, shape in self.inputs.items()
        }


class TextSignature(NamedTuple):
    """The `text` entry of a SavedModel.

    Attributes:
        call: strings `[batch]` -> tensors by output name.
        resources: what the graph keeps, tokenizers.
    """

    call: Callable[[Any], dict[str, Any]]
    resources: list[Any]
