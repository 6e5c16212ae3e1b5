"""What an exported model can be asked: for each task, its signatures over a Keras model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from textapp.decoding.signatures import CACHE, DECODE, batch_name, generate_name, prefill_name, step_caches

if TYPE_CHECKING:
    import keras

    from textapp.models.generator import Generator

Tensors = Mapping[str, Any]


class Signature(NamedTuple):
    """One entry of an exported model.

    Attributes:
        name: such as `classify_32`.
        inputs: the shape of each input, `{"token_ids": (1, 32)}`; None for an open dimension.
        call: tensors by input name -> tensors by output name, in TensorFlow.
    """

    name: str
    inputs: dict[str, tuple[int | None, ...]]
    call: Callable[[Tensors], dict[str, Any]]

    def specs(self) -> dict[str, Any]:
        """The inputs as TensorFlow wants them: a cache is float32, all else int32."""
        import tensorflow as tf

        return {
            name: tf.TensorSpec(shape, tf.float32 if name.startswith(CACHE) else tf.int32, name=name)
            for name, shape in self.inputs.items()
        }


def classification(model: keras.Model, manifest: Mapping[str, Any]) -> list[Signature]:
    """`classify_<L>` for each bucket: features `[1, L]` to `probabilities` `[1, classes]`."""
    from textapp.objectives.classification import probabilities

    def classify(features: Tensors) -> dict[str, Any]:
        return {"probabilities": probabilities(model(dict(features), training=False), manifest["multiple"])}

    return [
        Signature(f"classify_{length}", {name: (1, length) for name in manifest["features"]}, classify)
        for length in manifest["lengths"]
    ]


def writing(model: Generator, manifest: Mapping[str, Any]) -> list[Signature]:
    """What a translator or a language model is asked for, one text at a time.

    `generate_<S>_<N>`: `token_ids` `[1, S]` (of a language model also `num_tokens` `[1]`) to `token_ids` `[1, N]`,
    `num_tokens` `[1]` and `score` `[1]`. `prefill_<S>`: the same inputs to `logits` `[1, vocabulary]` of the first new
    token, and the cache. `decode`: `token_id` `[1]`, `position` `[1]` and the cache to `logits` and what changed of it.
    Where the manifest has a `batch_size` above 1, `batch_<rows>_generate_<S>_<N>` takes so many texts at once; of
    sources the last ones may be rows of padding alone.
    """
    from textapp.objectives import decoding

    pairs = sorted((read, new) for read, new in manifest["generate_lengths"])
    caches = step_caches(pairs, model.has_encoder, manifest["lengths"][-1])
    steps = {"cache_length": caches.cache, "memory_length": caches.memory}
    # Texts that a language model writes have like lengths; a translator's do not wait for each other.
    of_many = decoding.generate_in_turn if model.has_encoder else decoding.generate
    generates = [
        Signature(
            batch_name(generate_name(read, new), rows),
            _read(model, read, rows),
            partial(decoding.generate if rows == 1 else of_many, model, new=new),
        )
        for rows in sorted({1, manifest.get("batch_size", 1)})
        for read, new in pairs
    ]
    prefills = [
        Signature(prefill_name(read), _read(model, read), partial(decoding.prefill, model, **steps))
        for read in dict(pairs)
    ]
    inputs = {"token_id": (1,), "position": (1,), **_cache_shapes(prefills[-1])}
    return [*generates, *prefills, Signature(DECODE, inputs, partial(decoding.decode, model))]


def _read(model: Generator, length: int, rows: int = 1) -> dict[str, tuple[int | None, ...]]:
    """What sources or prompts are: of a prompt the length counts, as its padding may not be told from its tokens."""
    return {"token_ids": (rows, length)} if model.has_encoder else {"token_ids": (rows, length), "num_tokens": (rows,)}


def _cache_shapes(prefill: Signature) -> dict[str, tuple[int, ...]]:
    import tensorflow as tf

    outputs = tf.function(prefill.call).get_concrete_function(prefill.specs()).structured_outputs
    return {name: tuple(value.shape) for name, value in outputs.items() if name.startswith(CACHE)}


SIGNATURES: dict[str, Callable[[Any, Mapping[str, Any]], list[Signature]]] = {
    "classification": classification,
    "translation": writing,
    "generation": writing,
}


def signatures_of(model: keras.Model, manifest: Mapping[str, Any]) -> list[Signature]:
    """The signatures of fixed shape that a run's model is exported with."""
    return SIGNATURES[manifest["task"]](model, manifest)
