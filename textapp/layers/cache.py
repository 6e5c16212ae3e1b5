"""The cache of a decoder, a flat dict of tensors of fixed shape, and the functions that read and write it.

An entry is one of three kinds: keys or values of self-attention, with one row a token along the third axis; a state of
an LSTM, which every token replaces; or a part of the encoder's memory, which never changes.
"""

from __future__ import annotations

from typing import NamedTuple

import keras
import tensorflow as tf

Cache = dict[str, tf.Tensor]

MEMORY = "_memory_"  # in the names of entries that never change
MEMORY_MASK = "cache_memory_mask"


class Recent(NamedTuple):
    """The keys and values of the latest tokens, where a loop keeps them in buffers of its own beside the cache.

    Attributes:
        count: the number of these tokens; a scalar or `[batch]`, int32.
        rows: the buffers, under the names of the cache's entries, `[batch, heads, room, head_dim]`.
        ages: how many tokens ago each row was written, `[room]` int32. Rows older than `count` tokens are ignored.
    """

    count: tf.Tensor
    rows: Cache
    ages: tf.Tensor


def ages(count: tf.Tensor, room: int) -> tf.Tensor:
    """How many tokens ago each row of a ring buffer was written: `[room]` int32, from 1.

    Args:
        count: tokens so far; the next one is written to row `count % room`.
        room: rows of the buffer.

    Example: `ages(2, 4)` is `[2, 1, 4, 3]`: with two tokens so far, the rows of ages 4 and 3 are still empty.
    """
    return tf.math.floormod(count - 1 - tf.range(room), room) + 1


def grows(name: str, value: tf.Tensor) -> bool:
    """Whether an entry of a cache has one row a token."""
    return MEMORY not in name and value.shape.rank == 4


def states_of(cache: Cache) -> Cache:
    """The entries that every token replaces."""
    return {name: value for name, value in cache.items() if MEMORY not in name and not grows(name, value)}


def empty_rows(cache: Cache, batch: int | tf.Tensor, room: int) -> Cache:
    """Buffers of zeros for the rows of new tokens.

    Args:
        cache: gives the names, heads and dtypes.
        batch: rows of the batch.
        room: tokens that a buffer holds.

    Returns:
        `[batch, heads, room, head_dim]` for each entry that has one row a token.
    """
    return {
        name: tf.zeros((batch, value.shape[1], room, value.shape[3]), value.dtype)
        for name, value in cache.items()
        if grows(name, value)
    }


def written(cache: Cache, rows: Cache, position: tf.Tensor) -> Cache:
    """The entries that a decoding step changes, with their new values.

    Args:
        cache: the entries before the step.
        rows: what the step returned: `[batch, heads, 1, head_dim]` for an entry with one row a token, else the whole
            entry.
        position: of the token, `[1]` or `[batch]` int32.

    Returns:
        the changed entries only, in the shapes of `cache`.
    """
    return {
        name: _write_row(cache[name], row, position) if grows(name, cache[name]) else row for name, row in rows.items()
    }


def written_at(values: tf.Tensor, rows: tf.Tensor, position: tf.Tensor) -> tf.Tensor:
    """Writes rows one after the other along the third axis.

    Args:
        values: `[batch, heads, length, head_dim]`.
        rows: `[batch, heads, rows, head_dim]`.
        position: of the first row, `[1]` int32.
    """
    return keras.ops.slice_update(values, [0, 0, position[0], 0], rows)


def _write_row(values, row, position):
    """Writes a row at `position` of the third axis."""
    if position.shape[0] == 1:
        return written_at(values, row, position)
    chosen = tf.equal(tf.range(values.shape[2]), tf.reshape(position, [-1, 1]))  # each text has a position of its own
    return tf.where(chosen[:, None, :, None], row, values)
