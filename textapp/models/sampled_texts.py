"""Texts that a language model writes itself, to quantize it by where there are few others.

Sampled from its own probabilities they resemble what it was trained on (LLM-QAT; Liu et al., 2023).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import tensorflow as tf

from textapp.layers.cache import Cache, written
from textapp.layers.greedy_loop import never_generated

if TYPE_CHECKING:
    from textapp.models.generator import Generator

_SEED = 7


def sampled_texts(model: Generator, count: int, length: int) -> list[list[int]]:
    """Samples texts behind a start token, the same ones at every call.

    Args:
        model: a language model.
        count: number of texts, written at once.
        length: tokens of each. What follows an end token is a new text, as where a model is trained on packed ones.

    Returns:
        the token ids of each text.
    """

    @tf.function
    def step(token_id: tf.Tensor, position: tf.Tensor, cache: Cache) -> tuple[tf.Tensor, Cache]:
        logits, rows = model.step(token_id, position, cache)
        logits += never_generated(logits.shape[-1], model.never_ids)
        drawn = tf.random.stateless_categorical(logits, 1, tf.stack([_SEED, position[0]]), dtype=tf.int32)
        return tf.squeeze(drawn, axis=1), cache | written(cache, rows, position)

    first = tf.fill([count, 1], model.start_id)
    token_id, _, cache = model.begin({"token_ids": first, "num_tokens": tf.ones([count], tf.int32)}, length)
    columns = [token_id]
    for place in range(length - 1):
        token_id, cache = step(token_id, tf.constant([place]), cache)
        columns.append(token_id)
    return tf.stack(columns, axis=1).numpy().tolist()
