"""The decoding loop inside a graph: training validates with it, SavedModel and LiteRT answer with it.

A function of `step` and a cache, one WHILE of builtins. What `step` reads of a source or a prompt rests beside the
loop; the rows of new tokens lie in buffers of their own, each put at the place of its count. In a .tflite file they are
written where they lie (export/flatbuffer/in_place.py), so nothing as large as a cache is copied at a token.

All rows begin together here, and wait for the longest; see greedy_queue.py for many texts one after the other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from textapp.layers.cache import Cache, Recent, ages, empty_rows, states_of, written
from textapp.layers.masking import NEVER

Step = Callable[[tf.Tensor, tf.Tensor, Cache, Recent], tuple[tf.Tensor, Cache]]

# Logits among which the largest is found at once.
BLOCK = 64


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


class _Walk(NamedTuple):
    """What changes at every token: how many were read, the last one, 1 for each row that goes on, answer, states."""

    count: tf.Tensor
    token: tf.Tensor
    going: tf.Tensor
    answer: Greedy
    states: Cache


def greedy_loop(
    step: Step,
    token_id: tf.Tensor,
    position: tf.Tensor,
    cache: Cache,
    new: int,
    end_id: int,
    pad_id: int,
    never_ids: Sequence[int] = (),
) -> Greedy:
    """Takes the likeliest token at each step, until every row has ended or has `new` tokens.

    Args:
        step: `(token_id [batch], position, cache, recent) -> (logits [batch, vocabulary], what it adds to the cache)`;
            see `textapp.layers.cache`.
        token_id: `[batch]` int32, what is read first.
        position: its place, `[1]` or `[batch]` int32.
        cache: what there is before the first token, tensors of fixed shape. The loop writes no row into it.
        new: most tokens.
        end_id: ends a row; -1: nothing does.
        pad_id: stands after the end.
        never_ids: tokens that are not taken, though a model that is still weak may find them likeliest; they keep
            their share of the probability.
    """
    batch = tf.shape(token_id)[0] if token_id.shape[0] is None else token_id.shape[0]
    zeros = tf.zeros([batch], tf.int32)
    answer = Greedy(tf.fill([batch, new], pad_id), zeros, tf.cast(zeros, tf.float32))
    states = states_of(cache)
    resting = {name: value for name, value in cache.items() if name not in states}

    def goes_on(walk: _Walk, *_):
        return tf.logical_and(walk.count < new, tf.reduce_max(walk.going) > 0)

    def turn(walk: _Walk, rows: Cache) -> tuple[_Walk, Cache]:
        recent = Recent(walk.count, rows, ages(walk.count, new))
        logits, more = step(walk.token, position + walk.count, resting | walk.states, recent)
        place = tf.reshape(walk.count, [1])
        walk = _taken(walk, logits, end_id, pad_id, never_ids)
        walk = walk._replace(states={name: more[name] for name in states})
        return walk, written(rows, {name: more[name] for name in rows}, place)

    walk = _Walk(tf.constant(0), token_id, zeros + 1, answer, states)
    walk, _ = tf.while_loop(goes_on, turn, (walk, empty_rows(cache, batch, new)), parallel_iterations=1)
    return walk.answer


def _taken(walk: _Walk, logits, end_id: int, pad_id: int, never_ids: Sequence[int]) -> _Walk:
    """Goes on by the likeliest token."""
    token, certain = likeliest(logits, never_ids)
    token = token * walk.going + pad_id * (1 - walk.going)
    token_ids, num_tokens, score = walk.answer
    answer = Greedy(
        keras.ops.slice_update(token_ids, [0, walk.count], tf.expand_dims(token, -1)),
        num_tokens + walk.going,
        score + certain * tf.cast(walk.going, tf.float32),
    )
    going = walk.going * tf.cast(tf.not_equal(token, end_id), tf.int32)
    return walk._replace(count=walk.count + 1, token=token, going=going, answer=answer)


def likeliest(logits: tf.Tensor, never_ids: Sequence[int] = ()) -> tuple[tf.Tensor, tf.Tensor]:
    """The likeliest token of each row that may be taken, the first of equals, and its log-probability: both `[batch]`.

    The largest of each block is found by vectors and the rest by numbers, as an edge runtime compares one number after
    the other to find a place.

    Args:
        logits: `[batch, vocabulary]` float32.
        never_ids: see `greedy_loop`.
    """
    size = logits.shape[-1]
    never = np.zeros(size, np.float32)
    never[list(never_ids)] = NEVER
    allowed = tf.pad(logits + never if never_ids else logits, [[0, 0], [0, -size % BLOCK]], constant_values=NEVER)
    blocks = tf.reshape(allowed, [-1, (size + BLOCK - 1) // BLOCK, BLOCK])
    largest = tf.reduce_max(blocks, axis=-1)
    number = tf.argmax(largest, axis=-1, output_type=tf.int32)
    inside = tf.argmax(tf.gather(blocks, number, axis=1, batch_dims=1), axis=-1, output_type=tf.int32)
    top = tf.reduce_max(largest, axis=-1, keepdims=True)
    # The log-probability is the logit less the log of the sum; taken off first, it keeps the exponentials small.
    token = tf.minimum(number * BLOCK + inside, size - 1)  # among logits that are NaN it may be a place behind them
    return token, -tf.math.log(tf.reduce_sum(tf.exp(logits - top), axis=-1))
