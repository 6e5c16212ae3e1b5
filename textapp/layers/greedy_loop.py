"""The one decoding loop inside a graph: training validates with it, SavedModel and LiteRT answer with it.

A function of `step` and a cache. What changes in a loop of LiteRT is copied twice a turn, and of a cache one row in
many changes. So there are two loops, both WHILEs of builtins: the inner one carries the count, the token, the answer so
far and the rows of the latest tokens, and the cache rests beside it; the outer one writes these rows to the cache, once
in `CHUNK` tokens. Answers of one chunk take the inner loop alone, and so do states, all of which change at each token.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from textapp.layers.cache import MEMORY, Cache, Recent, grows, written
from textapp.layers.masking import NEVER

Step = Callable[[tf.Tensor, tf.Tensor, Cache, Recent], tuple[tf.Tensor, Cache]]

# Tokens whose rows the inner loop carries. More are copied more at each token; fewer enter that loop more often, and a
# runtime makes it ready anew each time.
CHUNK = 16


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
        cache: tensors of fixed shape, with room for `rows_kept(new)` tokens from the position on.
        new: most tokens.
        end_id: ends a row; -1: nothing does.
        pad_id: stands after the end.
        never_ids: tokens that are not taken, though a model that is still weak may find them likeliest; they keep
            their share of the probability.
    """
    batch = tf.shape(token_id)[0] if token_id.shape[0] is None else token_id.shape[0]
    zeros = tf.zeros([batch], tf.int32)
    answer = Greedy(tf.fill([batch, new], pad_id), zeros, tf.cast(zeros, tf.float32))
    growing = {name: value for name, value in cache.items() if grows(name, value)}
    states = {name: value for name, value in cache.items() if name not in growing and MEMORY not in name}
    resting = {name: value for name, value in cache.items() if MEMORY in name}
    room = min(CHUNK, new) if growing else new

    def goes_on(walk: _Walk, *_):
        return tf.logical_and(walk.count < new, tf.reduce_max(walk.going) > 0)

    def read(walk: _Walk, growing: Cache) -> tuple[_Walk, Cache]:
        """Up to `room` tokens, beside caches that rest; their rows."""
        start = walk.count

        def turn(walk: _Walk, rows: Cache) -> tuple[_Walk, Cache]:
            recent = Recent(rows, walk.count - start)
            logits, more = step(walk.token, position + walk.count, resting | growing | walk.states, recent)
            walk = _taken(walk, logits, end_id, pad_id, never_ids)
            walk = walk._replace(states={name: more[name] for name in states})
            return walk, {name: tf.concat([value, more[name]], axis=2)[:, :, 1:] for name, value in rows.items()}

        def has_room(walk: _Walk, *_):
            return tf.logical_and(goes_on(walk), walk.count - start < room)

        shapes = {name: (batch, value.shape[1], room, value.shape[3]) for name, value in growing.items()}
        rows = {name: tf.zeros(shape, growing[name].dtype) for name, shape in shapes.items()}
        return tf.while_loop(has_room, turn, (walk, rows), parallel_iterations=1)

    def read_and_write(walk: _Walk, growing: Cache) -> tuple[_Walk, Cache]:
        then, rows = read(walk, growing)
        # The last rows find no room in the cache and are put over others: nobody reads them.
        return then, written(growing, rows, position + walk.count)

    walk = _Walk(tf.constant(0), token_id, zeros + 1, answer, states)
    if new <= room:
        return read(walk, growing)[0].answer
    return tf.while_loop(goes_on, read_and_write, (walk, growing), parallel_iterations=1)[0].answer


def rows_kept(new: int) -> int:
    """How many of `new` tokens the loop writes to the cache: all before the last `CHUNK`."""
    return (new - 1) // CHUNK * CHUNK


def _taken(walk: _Walk, logits, end_id: int, pad_id: int, never_ids: Sequence[int]) -> _Walk:
    """Goes on by the likeliest token."""
    never = np.zeros(logits.shape[-1], np.float32)
    never[list(never_ids)] = NEVER
    token, top = _likeliest(logits + never if never_ids else logits)
    token = token * walk.going + pad_id * (1 - walk.going)
    # Its log-probability is its logit less the log of the sum; taken off first, it keeps the exponentials small.
    certain = -tf.math.log(tf.reduce_sum(tf.exp(logits - tf.expand_dims(top, -1)), axis=-1))
    token_ids, num_tokens, score = walk.answer
    answer = Greedy(
        keras.ops.slice_update(token_ids, [0, walk.count], tf.expand_dims(token, -1)),
        num_tokens + walk.going,
        score + certain * tf.cast(walk.going, tf.float32),
    )
    going = walk.going * tf.cast(tf.not_equal(token, end_id), tf.int32)
    return walk._replace(count=walk.count + 1, token=token, going=going, answer=answer)


def _likeliest(logits) -> tuple[tf.Tensor, tf.Tensor]:
    """The first of the largest logits of each row, and that logit: both `[batch]`.

    The largest of each block is found by vectors and the rest by numbers, as an edge runtime compares one number after
    the other to find a place.
    """
    block = max(size for size in range(1, 129) if logits.shape[-1] % size == 0)
    if block < 16:
        return tf.argmax(logits, axis=-1, output_type=tf.int32), tf.reduce_max(logits, axis=-1)
    blocks = tf.reshape(logits, [-1, logits.shape[-1] // block, block])
    largest = tf.reduce_max(blocks, axis=-1)
    number = tf.argmax(largest, axis=-1, output_type=tf.int32)
    inside = tf.argmax(tf.gather(blocks, number, axis=1, batch_dims=1), axis=-1, output_type=tf.int32)
    return number * block + inside, tf.reduce_max(largest, axis=-1)
