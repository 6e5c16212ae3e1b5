"""What an exported model can be asked: for each task, its signatures over a Keras model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import keras


class Signature(NamedTuple):
    """One entry of an exported model.

    Attributes:
        name: such as `classify_32`.
        inputs: the shape of each int32 input, `{"token_ids": (1, 32)}`; None for an open dimension.
        call: tensors by input name -> tensors by output name, in TensorFlow.
    """

    name: str
    inputs: dict[str, tuple[int | None, ...]]
    call: Callable[[Mapping[str, Any]], dict[str, Any]]


def classification(model: keras.Model, manifest: Mapping[str, Any]) -> list[Signature]:
    """`classify_<L>` for each bucket: features `[1, L]` to `probabilities` `[1, classes]`."""
    from textapp.objectives.classification import probabilities

    def classify(features: Mapping[str, Any]) -> dict[str, Any]:
        return {"probabilities": probabilities(model(dict(features), training=False), manifest["multiple"])}

    return [
        Signature(f"classify_{length}", {name: (1, length) for name in manifest["features"]}, classify)
        for length in manifest["lengths"]
    ]


SIGNATURES: dict[str, Callable[[Any, Mapping[str, Any]], list[Signature]]] = {"classification": classification}


def signatures_of(model: keras.Model, manifest: Mapping[str, Any]) -> list[Signature]:
    """The signatures of fixed shape that a run's model is exported with."""
    return SIGNATURES[manifest["task"]](model, manifest)
