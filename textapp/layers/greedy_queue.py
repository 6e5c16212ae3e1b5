"""Greedy decoding inside a graph with continuous batching: a slot whose text has ended takes the next source.

With static batching (greedy_loop.py) every row waits for the longest text. Here all sources are encoded at once, and
`SLOTS` decoder slots generate their texts, each at a position of its own; the memory of a slot's source is gathered at
every iteration. This is the iteration-level scheduling of Orca (Yu et al., 2022), with the queue inside the graph.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import keras
import tensorflow as tf

from textapp.layers.cache import MEMORY, Cache, Recent, ages, empty_rows, states_of, written
from textapp.layers.greedy_loop import Greedy, Step, argmax_token, is_one_of

# Texts that are generated at the same time. The int8 kernels of x86 compute five rows at once, and those of ten no
# longer fit the processor's cache.
SLOTS = 5


class _Log(NamedTuple):
    """The tokens taken at each iteration, `[iterations, slots]` each.

    Attributes:
        token: the token.
        index: where it belongs in the flat output of all texts.
        log_probability: of the token.
    """

    token: tf.Tensor
    index: tf.Tensor
    log_probability: tf.Tensor


class _Slots(NamedTuple):
    """The loop variables, without the buffers of rows.

    Attributes:
        iteration: iterations so far; a scalar.
        text: `[slots]`, the index of each slot's text; the next free slot takes the text after the maximum. An index
            >= `num_texts` marks an idle slot.
        count: `[slots]`, tokens generated of this text.
        token: `[slots]`, the input of the next step.
        states: the cache entries that every token replaces.
        log: the tokens taken so far.
    """

    iteration: tf.Tensor
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
    max_new_tokens: int,
    end_id: int,
    pad_id: int,
    never_ids: Sequence[int] = (),
    other_end_ids: Sequence[int] = (),
) -> Greedy:
    """Generates one text for each source, with the results of `greedy_loop` and a few slots at a time.

    Args:
        step, max_new_tokens, end_id, pad_id, never_ids, other_end_ids: see `greedy_loop`; `step` gets positions
            `[slots]`, from 0.
        token_id: `[texts]` int32, the first input of `step` for each text.
        cache: for each source, before the first step, `[texts, ...]`; its entries with one row a token have 0 rows.
        num_texts: only the first so many texts are generated, the others stay empty; a scalar, int32.

    Returns:
        the tokens of each text, with their number and score.
    """
    texts = token_id.shape[0]
    slots, discarded = min(SLOTS, texts), texts * max_new_tokens
    first_states = states_of(cache)
    memories = {name: value for name, value in cache.items() if MEMORY in name}
    no_rows = empty_rows(cache, slots, 0)

    def condition(now: _Slots, *_):
        return tf.reduce_min(now.text) < num_texts

    def body(now: _Slots, rows: Cache) -> tuple[_Slots, Cache]:
        source = tf.minimum(now.text, texts - 1)
        entries = {name: tf.gather(value, source) for name, value in memories.items()} | no_rows | now.states
        # All slots write to the same row of a ring buffer; rows of a slot's text before are older than its count.
        recent = Recent(now.count, rows, ages(now.iteration, max_new_tokens))
        logits, new = step(now.token, now.count, entries, recent)
        token, log_probability = argmax_token(logits, never_ids)
        then = _next(now, token, log_probability, {name: new[name] for name in first_states})
        row = tf.reshape(now.iteration % max_new_tokens, [1])
        return then, written(rows, {name: new[name] for name in rows}, row)

    def _next(now: _Slots, token, log_probability, states: Cache) -> _Slots:
        """Logs the tokens, and assigns the next texts to slots whose text has ended."""
        busy = now.text < num_texts
        index = tf.where(busy, now.text * max_new_tokens + now.count, discarded)
        log = _Log(*(
            keras.ops.slice_update(values, [now.iteration, 0], tf.expand_dims(value, 0))
            for values, value in zip(now.log, (token, index, log_probability), strict=True)
        ))  # fmt: skip
        full = now.count + 1 >= max_new_tokens
        ended = tf.logical_or(tf.logical_or(is_one_of(token, (end_id, *other_end_ids)), full), tf.logical_not(busy))
        one = tf.cast(ended, tf.int32)
        text = tf.where(ended, tf.reduce_max(now.text) + tf.cumsum(one), now.text)
        source = tf.minimum(text, texts - 1)
        return _Slots(
            iteration=now.iteration + 1,
            text=text,
            count=(now.count + 1) * (1 - one),
            token=tf.where(ended, tf.gather(token_id, source), token),
            states={
                name: tf.where(tf.expand_dims(ended, 1), tf.gather(first_states[name], source), value)
                for name, value in states.items()
            },
            log=log,
        )

    # An upper bound: all slots are busy until the queue is empty; then each finishes at most one text.
    iterations = -(-discarded // slots) + max_new_tokens
    shape = [iterations, slots]
    log = _Log(tf.zeros(shape, tf.int32), tf.fill(shape, discarded), tf.zeros(shape))
    states = {name: value[:slots] for name, value in first_states.items()}
    count = tf.zeros([slots], tf.int32)
    now = _Slots(tf.constant(0), tf.range(slots), count, token_id[:slots], states, log)
    rows = empty_rows(cache, slots, max_new_tokens)
    now, _ = tf.while_loop(condition, body, (now, rows), parallel_iterations=1)
    return _by_text(now.log, texts, max_new_tokens, pad_id)


def _by_text(log: _Log, texts: int, max_new_tokens: int, pad_id: int) -> Greedy:
    """Sorts the log by text."""
    index = tf.reshape(log.index, [-1, 1])
    shape = [texts, max_new_tokens]

    def scattered(values):
        return tf.reshape(tf.scatter_nd(index, tf.reshape(values, [-1]), [texts * max_new_tokens + 1])[:-1], shape)

    token_ids = scattered(log.token + 1)  # 0 where there is none
    taken = tf.cast(token_ids > 0, tf.int32)
    token_ids = taken * (token_ids - 1) + (1 - taken) * pad_id
    return Greedy(token_ids, tf.reduce_sum(taken, axis=1), tf.reduce_sum(scattered(log.log_probability), axis=1))
