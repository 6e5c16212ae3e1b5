"""A Keras model that writes behind the predictor: the signatures of an export, run by TensorFlow, in batches."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from textapp.decoding.signatures import (
    DECODE,
    GENERATE,
    PREFILL,
    SCORE,
    generate_name,
    lengths_of,
    prefill_name,
    step_caches,
)
from textapp.errors import ArtifactError
from textapp.models.generator import Generator
from textapp.objectives import decoding


class GeneratorRunner:
    """Runs a translator or a language model.

    Args:
        model: the model; later changes of its weights show in its answers.
        manifest: `lengths` and `generate_lengths` of the run.

    Attributes:
        signatures: the names that `run` takes: `generate_<S>_<N>`, `prefill_<S>`, `decode`, and `score` for the
            log-probabilities of given texts.
    """

    max_batch = 64

    def __init__(self, model: Generator, manifest: Mapping[str, Any]) -> None:
        self.model = model
        pairs = manifest["generate_lengths"]
        self._caches = step_caches(pairs, model.has_encoder, manifest["lengths"][-1])
        names = [generate_name(read, new) for read, new in pairs]
        names += dict.fromkeys(prefill_name(read) for read, _ in pairs)
        self.signatures = (*names, DECODE, SCORE)
        self._functions: dict[str, tf.types.experimental.GenericFunction] = {}

    def clone(self) -> GeneratorRunner:
        """Itself: TensorFlow's functions may be called from several threads."""
        return self

    def run(self, signature: str, features: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Runs one signature on a batch of any size.

        Args:
            signature: one of `signatures`.
            features: its inputs by name.

        Raises:
            ArtifactError: there is no such signature.
        """
        if signature not in self.signatures:
            raise ArtifactError(f"the model has no signature {signature!r}; it has {', '.join(self.signatures)}")
        inputs = {name: tf.convert_to_tensor(values) for name, values in features.items()}
        if signature not in self._functions:
            self._functions[signature] = tf.function(self._call(signature), input_signature=[_specs(signature, inputs)])
        return {name: values.numpy() for name, values in self._functions[signature](inputs).items()}

    def _call(self, signature: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
        kind = signature.split("_")[0]
        if kind == GENERATE:
            new = lengths_of(signature)[1]
            return lambda inputs: decoding.generate(self.model, inputs, new)
        if kind == PREFILL:
            return lambda inputs: decoding.prefill(self.model, inputs, *self._caches)
        if kind == DECODE:
            return lambda inputs: decoding.decode(self.model, inputs)
        return self._score

    def _score(self, inputs: dict[str, Any]) -> dict[str, Any]:
        features = {name: values for name, values in inputs.items() if name != "targets"}
        return {"log_probabilities": decoding.log_probabilities(self.model, features, inputs["targets"])}


def _specs(signature: str, inputs: Mapping[str, Any]) -> dict[str, tf.TensorSpec]:
    """The inputs' shapes with an open batch, and an open length of what is scored: one graph serves them all."""
    free = 2 if signature == SCORE else 1
    return {
        name: tf.TensorSpec((*(None,) * min(free, values.shape.rank), *values.shape[free:]), values.dtype)
        for name, values in inputs.items()
    }
