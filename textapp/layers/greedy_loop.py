"""Greedy decoding inside a graph: for validation during training, and in SavedModel and LiteRT exports.

A function of a decoder's `step` and its cache, which becomes one WHILE of builtin operators. The cache of a source or a
prompt stays outside the loop; new tokens have their rows in separate buffers, one after the other. A .tflite file
writes these buffers in place (export/flatbuffer/in_place.py), so nothing as large as a cache is copied at a token.

All rows start together and wait for the longest (static batching); see greedy_queue.py for continuous batching.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from textapp.layers.cache import Cache, Recent, ages, empty_rows, states_of, written
from textapp.layers.masking import NEVER
from textapp.layers.shapes import axis_size

Step = Callable[[tf.Tensor, tf.Tensor, Cache, Recent], tuple[tf.Tensor, Cache]]

BLOCK = 64  # logits; see `argmax_token`


class Greedy(NamedTuple):
    """The generated tokens.

    Attributes:
        token_ids: `[batch, max_new_tokens]` int32, the end id included, padding after it.
        num_tokens: `[batch]` int32, the end id included.
        score: `[batch]` float32, the sum of the log-probabilities of these tokens.
    """

    token_ids: tf.Tensor
    num_tokens: tf.Tensor
    score: tf.Tensor


class _State(NamedTuple):
    """The loop variables, without the buffers of rows.

    Attributes:
        count: tokens generated so far; a scalar.
        token: `[batch]`, the last of them, which the next step reads.
        active: `[batch]` int32, 1 for each row that has not ended.
        output: the tokens so far.
        states: the cache entries that every token replaces.
    """

    count: tf.Tensor
    token: tf.Tensor
    active: tf.Tensor
    output: Greedy
    states: Cache


def greedy_loop(
    step: Step,
    token_id: tf.Tensor,
    position: tf.Tensor,
    cache: Cache,
    max_new_tokens: int,
    end_id: int,
    pad_id: int,
    never_ids: Sequence[int] = (),
    other_end_ids: Sequence[int] = (),
) -> Greedy:
    """Takes the most probable token at each step, until every row has ended or has `max_new_tokens` tokens.

    Args:
        step: `(token_id [batch], position, cache, recent) -> (logits [batch, vocabulary], new rows and states)`, see
            `textapp.layers.cache`.
        token_id: `[batch]` int32, the first input of `step`.
        position: of `token_id`, `[1]` or `[batch]` int32.
        cache: before the first step, tensors of fixed shape. The loop does not write to it.
        max_new_tokens: tokens of a row at most.
        end_id: ends a row; -1: rows do not end.
        pad_id: fills a row after its end.
        never_ids: tokens that are never taken, though a weak model may give them the highest probability. They are
            not removed from the softmax, so scores keep their meaning.
        other_end_ids: further tokens that end a row.

    Returns:
        the tokens of each row, with their number and score.
    """
    batch = axis_size(token_id, 0)
    zeros = tf.zeros([batch], tf.int32)
    output = Greedy(tf.fill([batch, max_new_tokens], pad_id), zeros, tf.cast(zeros, tf.float32))
    states = states_of(cache)
    fixed = {name: value for name, value in cache.items() if name not in states}

    def condition(state: _State, *_):
        return tf.logical_and(state.count < max_new_tokens, tf.reduce_max(state.active) > 0)

    def body(state: _State, rows: Cache) -> tuple[_State, Cache]:
        recent = Recent(state.count, rows, ages(state.count, max_new_tokens))
        logits, new = step(state.token, position + state.count, fixed | state.states, recent)
        row = tf.reshape(state.count, [1])
        state = _append(state, logits, (end_id, *other_end_ids), pad_id, never_ids)
        state = state._replace(states={name: new[name] for name in states})
        return state, written(rows, {name: new[name] for name in rows}, row)

    state = _State(tf.constant(0), token_id, zeros + 1, output, states)
    state, _ = tf.while_loop(condition, body, (state, empty_rows(cache, batch, max_new_tokens)), parallel_iterations=1)
    return state.output


def _append(state: _State, logits, end_ids: Sequence[int], pad_id: int, never_ids: Sequence[int]) -> _State:
    """Appends the most probable token to each active row, and padding to the others."""
    token, log_probability = argmax_token(logits, never_ids)
    token = token * state.active + pad_id * (1 - state.active)
    token_ids, num_tokens, score = state.output
    output = Greedy(
        keras.ops.slice_update(token_ids, [0, state.count], tf.expand_dims(token, -1)),
        num_tokens + state.active,
        score + log_probability * tf.cast(state.active, tf.float32),
    )
    active = state.active * tf.cast(tf.logical_not(is_one_of(token, end_ids)), tf.int32)
    return state._replace(count=state.count + 1, token=token, active=active, output=output)


def is_one_of(token: tf.Tensor, ids: Sequence[int]) -> tf.Tensor:
    """Whether each token `[batch]` is one of a few ids, bool `[batch]`."""
    found = tf.equal(token, ids[0])
    for other in ids[1:]:
        found = tf.logical_or(found, tf.equal(token, other))
    return found


def never_generated(size: int, never_ids: Sequence[int]) -> np.ndarray:
    """What is added to the logits so that some tokens are not taken, `[size]` float32."""
    never = np.zeros(size, np.float32)
    never[list(never_ids)] = NEVER
    return never


def argmax_token(logits: tf.Tensor, never_ids: Sequence[int] = ()) -> tuple[tf.Tensor, tf.Tensor]:
    """The most probable token of each row, the first of equals, and its log-probability.

    Edge runtimes compute a maximum by vectors but an argmax one element after the other. So the maximum of each block
    of logits is taken first, and the argmax of these maxima and of the best block.

    Args:
        logits: `[batch, vocabulary]` float32.
        never_ids: see `greedy_loop`.

    Returns:
        the token int32 and its log-probability float32, `[batch]` each.
    """
    size = logits.shape[-1]
    allowed = logits + never_generated(size, never_ids) if never_ids else logits
    allowed = tf.pad(allowed, [[0, 0], [0, -size % BLOCK]], constant_values=NEVER)
    blocks = tf.reshape(allowed, [-1, (size + BLOCK - 1) // BLOCK, BLOCK])
    largest = tf.reduce_max(blocks, axis=-1)
    number = tf.argmax(largest, axis=-1, output_type=tf.int32)
    inside = tf.argmax(tf.gather(blocks, number, axis=1, batch_dims=1), axis=-1, output_type=tf.int32)
    top = tf.reduce_max(largest, axis=-1, keepdims=True)
    token = tf.minimum(number * BLOCK + inside, size - 1)  # among NaN the argmax may be in the padding
    # The maximum is subtracted before the exponentials, so that these do not overflow.
    return token, -tf.math.log(tf.reduce_sum(tf.exp(logits - top), axis=-1))
