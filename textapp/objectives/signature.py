"""Signatures of a model, as functions in TensorFlow."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import tensorflow as tf

from textapp.decoding.signatures import CACHE

Tensors = Mapping[str, Any]
Call = Callable[[Tensors], dict[str, Any]]


class Signature(NamedTuple):
    """A signature of an exported model.

    Attributes:
        name: such as `classify_32`.
        inputs: the shape of each input, `{"token_ids": (1, 32)}`; None for an open dimension.
        call: function from tensors by input name to tensors by output name.
    """

    name: str
    inputs: dict[str, tuple[int | None, ...]]
    call: Call

    def specs(self) -> dict[str, tf.TensorSpec]:
        """The TensorSpecs of the inputs: a cache is float32, all others are int32."""
        return {
            name: tf.TensorSpec(shape, tf.float32 if CACHE in name else tf.int32, name=name)
            for name, shape in self.inputs.items()
        }


class TextSignature(NamedTuple):
    """The `text` signature of a SavedModel.

    Attributes:
        call: function from strings `[batch]` to tensors by output name.
        resources: that the graph keeps, such as tokenizers.
    """

    call: Callable[[Any], dict[str, Any]]
    resources: list[Any]
