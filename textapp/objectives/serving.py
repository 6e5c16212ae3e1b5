"""Signatures of a generative model for servers: any number of rows, any length, compiled by XLA."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from textapp.decoding.signatures import GENERATE, lengths_of
from textapp.objectives.signature import Signature, Tensors


def any_rows(signature: Signature) -> Signature:
    """The signature for any number of rows."""
    return signature._replace(inputs={name: (None, *shape[1:]) for name, shape in signature.inputs.items()})


def compiled(signature: Signature) -> Signature:
    """The signature compiled by XLA, if XLA supports it: two to three times as fast."""
    call = tf.function(signature.call, jit_compile=True)
    specs = signature.specs().items()
    try:
        call({name: tf.ones([1, *spec.shape[1:]], spec.dtype) for name, spec in specs})
    except tf.errors.OpError:
        return signature
    return signature._replace(call=call)


def any_length(signatures: list[Signature], pad_id: int) -> Signature:
    """`generate`: ids `[batch, length]`, both open, run by the smallest signature that fits the longest row.

    Longer inputs are truncated, sources at the end, prompts at the start. In a batch with a longer row a text may get
    more new tokens than alone.
    """
    lengths = [signature.inputs["token_ids"][1] for signature in signatures]
    max_new = max(lengths_of(signature.name)[1] for signature in signatures)
    counted = "num_tokens" in signatures[0].inputs

    def branch(signature: Signature, length: int, features: Tensors) -> Callable[[], dict[str, Any]]:
        def answer() -> dict[str, Any]:
            ids = features["token_ids"][:, :length]
            ids = tf.pad(ids, [[0, 0], [0, length - tf.shape(ids)[1]]], constant_values=pad_id)
            inputs = {**features, "token_ids": tf.ensure_shape(ids, [None, length])}
            outputs = signature.call(inputs)
            more = max_new - outputs["token_ids"].shape[1]
            return {**outputs, "token_ids": tf.pad(outputs["token_ids"], [[0, 0], [0, more]], constant_values=pad_id)}

        return answer

    def generate(features: Tensors) -> dict[str, Any]:
        features = _last_tokens(features, lengths[-1]) if counted else features
        shorter = tf.constant(lengths[:-1], tf.int32)  # empty for a single signature
        index = tf.reduce_sum(tf.cast(tf.shape(features["token_ids"])[1] > shorter, tf.int32))
        branches = [branch(*pair, features) for pair in zip(signatures, lengths, strict=True)]
        return tf.switch_case(index, branches)

    inputs = {"token_ids": (None, None), "num_tokens": (None,)} if counted else {"token_ids": (None, None)}
    return Signature(GENERATE, inputs, generate)


def _last_tokens(features: Tensors, length: int) -> dict[str, Any]:
    """Truncates prompts to their last `length` tokens."""
    ids, counts = features["token_ids"], features["num_tokens"]
    cut = tf.maximum(counts - length, 0)
    positions = tf.expand_dims(cut, 1) + tf.expand_dims(tf.range(tf.minimum(length, tf.shape(ids)[1])), 0)
    return {"token_ids": tf.gather(ids, positions, batch_dims=1), "num_tokens": counts - cut}
