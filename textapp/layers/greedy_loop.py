"""The one decoding loop inside a graph: training validates with it, SavedModel and LiteRT answer with it.

A function of `step` and a cache. It converts to one WHILE of LiteRT builtins, through which go the count, the token,
the answer so far and the entries of the cache that a step changes, and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import keras
import tensorflow as tf

Step = Callable[[tf.Tensor, tf.Tensor, dict[str, tf.Tensor]], tuple[tf.Tensor, dict[str, tf.Tensor]]]


class Greedy(NamedTuple):
    """What the loop found.

    Attributes:
        token_ids: `[batch, new]` int32, the end id included, padding after it.
        num_tokens: `[batch]` int32, the end id included.
        score: `[batch]` float32, the sum of the log-probabilities of these tokens.
    """

    token_ids: tf.Tensor
    num_tokens: tf.Tensor
    score: tf.Tensor


def greedy_loop(
    step: Step,
    token_id: tf.Tensor,
    position: tf.Tensor,
    cache: dict[str, tf.Tensor],
    new: int,
    end_id: int,
    pad_id: int,
) -> Greedy:
    """Takes the likeliest token at each step, until every row has ended or has `new` tokens.

    Args:
        step: `(token_id [batch], position, cache) -> (logits [batch, vocabulary], changed entries of the cache)`.
        token_id: `[batch]` int32, what is read first.
        position: its place, `[1]` or `[batch]` int32.
        cache: tensors of fixed shape.
        new: most tokens.
        end_id: ends a row; -1: nothing does.
        pad_id: stands after the end.
    """
    changing = [name for name in cache if "_memory_" not in name]  # a memory stays as it is
    resting = {name: value for name, value in cache.items() if name not in changing}
    batch = tf.shape(token_id)[0] if token_id.shape[0] is None else token_id.shape[0]
    zeros = tf.zeros([batch], tf.int32)

    def turn(count, token, going, token_ids, num_tokens, score, *values):
        logits, changed = step(token, position + count, resting | dict(zip(changing, values, strict=True)))
        token = tf.argmax(logits, axis=-1, output_type=tf.int32)
        token = token * going + pad_id * (1 - going)
        # The likeliest token's logit is the largest, so its log-probability is that less the log of the sum.
        top = tf.reduce_max(logits, axis=-1)
        certain = -tf.math.log(tf.reduce_sum(tf.exp(logits - tf.expand_dims(top, -1)), axis=-1))
        score = score + certain * tf.cast(going, tf.float32)
        token_ids = keras.ops.slice_update(token_ids, [0, count], tf.expand_dims(token, -1))
        num_tokens = num_tokens + going
        going = going * tf.cast(tf.not_equal(token, end_id), tf.int32)
        return (count + 1, token, going, token_ids, num_tokens, score, *(changed[name] for name in changing))

    def goes_on(count, token, going, *_):
        return tf.logical_and(count < new, tf.reduce_max(going) > 0)

    first = (
        tf.constant(0), token_id, zeros + 1, tf.fill([batch, new], pad_id), zeros, tf.cast(zeros, tf.float32),
        *(cache[name] for name in changing),
    )  # fmt: skip
    _, _, _, token_ids, num_tokens, score, *_ = tf.while_loop(goes_on, turn, first, parallel_iterations=1)
    return Greedy(token_ids, num_tokens, score)
