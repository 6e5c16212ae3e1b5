"""The decoding loop inside a graph for many sources: a row whose text has ended goes on with the next of a queue.

Rows that begin together wait for the longest of their texts. Here all sources are read at once and wait for `SLOTS`
rows that write, each at a place of its own; what a row reads of its source is gathered at each turn. This is the
iteration-level scheduling of Yu et al. (2022, Orca), with the queue inside the graph.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import keras
import tensorflow as tf

from textapp.layers.cache import MEMORY, Cache, Recent, ages, empty_rows, states_of, written
from textapp.layers.greedy_loop import Greedy, Step, likeliest

# Rows that write at the same time. The int8 kernels of x86 take five in one go, and the rows of ten leave its cache.
SLOTS = 5


class _Log(NamedTuple):
    """What was taken at each turn, `[turns, slots]`: the token, its place in all answers, its log-probability."""

    token: tf.Tensor
    place: tf.Tensor
    certain: tf.Tensor


class _Slots(NamedTuple):
    """What changes at every turn.

    Attributes:
        turn: how many were made.
        text: `[slots]`, whose text each slot writes; the source behind the greatest is taken next. Of a slot that is
            done, a number behind the last text.
        count: `[slots]`, the tokens that it has read of this text.
        token: `[slots]`, what it reads next.
        states: of the step.
        log: what was taken.
    """

    turn: tf.Tensor
    text: tf.Tensor
    count: tf.Tensor
    token: tf.Tensor
    states: Cache
    log: _Log


def greedy_queue(
    step: Step,
    token_id: tf.Tensor,
    cache: Cache,
    num_texts: tf.Tensor,
    new: int,
    end_id: int,
    pad_id: int,
    never_ids: Sequence[int] = (),
) -> Greedy:
    """Writes one text for each source as `greedy_loop` does, a few at a time.

    Args:
        step, new, end_id, pad_id, never_ids: see `greedy_loop`; positions are `[slots]`, from 0.
        token_id: `[texts]` int32, what is read first of each.
        cache: what there is of each source before its first token, with no rows that grow.
        num_texts: the texts that are wanted, the first ones; a scalar, int32. Those behind them stay empty.
    """
    texts = token_id.shape[0]
    slots, nowhere = min(SLOTS, texts), texts * new
    firsts = states_of(cache)
    sources = {name: value for name, value in cache.items() if MEMORY in name}
    nothing = empty_rows(cache, slots, 0)

    def goes_on(now: _Slots, *_):
        return tf.reduce_min(now.text) < num_texts

    def turn(now: _Slots, rows: Cache) -> tuple[_Slots, Cache]:
        own = tf.minimum(now.text, texts - 1)
        entries = {name: tf.gather(value, own) for name, value in sources.items()} | nothing | now.states
        # All slots put their rows at the same place of a ring; what an earlier text left there is too old to be read.
        logits, more = step(now.token, now.count, entries, Recent(now.count, rows, ages(now.turn, new)))
        token, certain = likeliest(logits, never_ids)
        then = _next(now, token, certain, {name: more[name] for name in firsts})
        return then, written(rows, {name: more[name] for name in rows}, tf.reshape(now.turn % new, [1]))

    def _next(now: _Slots, token, certain, states: Cache) -> _Slots:
        """Writes down what was taken, and gives slots whose text has ended the next ones."""
        busy = now.text < num_texts
        place = tf.where(busy, now.text * new + now.count, nowhere)
        log = _Log(*(
            keras.ops.slice_update(values, [now.turn, 0], tf.expand_dims(value, 0))
            for values, value in zip(now.log, (token, place, certain), strict=True)
        ))  # fmt: skip
        ended = tf.logical_or(tf.logical_or(tf.equal(token, end_id), now.count + 1 >= new), tf.logical_not(busy))
        one = tf.cast(ended, tf.int32)
        text = tf.where(ended, tf.reduce_max(now.text) + tf.cumsum(one), now.text)
        own = tf.minimum(text, texts - 1)
        return _Slots(
            turn=now.turn + 1,
            text=text,
            count=(now.count + 1) * (1 - one),
            token=tf.where(ended, tf.gather(token_id, own), token),
            states={
                name: tf.where(tf.expand_dims(ended, 1), tf.gather(firsts[name], own), value)
                for name, value in states.items()
            },
            log=log,
        )

    # All slots are busy until no source waits; then each has at most one text to end.
    turns = -(-nowhere // slots) + new
    log = _Log(tf.zeros([turns, slots], tf.int32), tf.fill([turns, slots], nowhere), tf.zeros([turns, slots]))
    first = {name: value[:slots] for name, value in firsts.items()}
    count = tf.zeros([slots], tf.int32)
    now = _Slots(tf.constant(0), tf.range(slots), count, token_id[:slots], first, log)
    now, _ = tf.while_loop(goes_on, turn, (now, empty_rows(cache, slots, new)), parallel_iterations=1)
    return _sorted(now.log, texts, new, pad_id)


def _sorted(log: _Log, texts: int, new: int, pad_id: int) -> Greedy:
    """What was taken, text by text."""
    place = tf.reshape(log.place, [-1, 1])

    def by_text(values):
        return tf.reshape(tf.scatter_nd(place, tf.reshape(values, [-1]), [texts * new + 1])[:-1], [texts, new])

    token_ids = by_text(log.token + 1)  # 0 where none was taken
    taken = tf.cast(token_ids > 0, tf.int32)
    token_ids = taken * (token_ids - 1) + (1 - taken) * pad_id
    return Greedy(token_ids, tf.reduce_sum(taken, axis=1), tf.reduce_sum(by_text(log.certain), axis=1))
