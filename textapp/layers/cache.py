"""What a decoder has read, as a flat dict of tensors of fixed shape, and where the rows of new tokens are put.

An entry grows along its third axis, a row a token; or is a state that each token replaces; or belongs to a memory and
stays as it is.
"""

from __future__ import annotations

from typing import NamedTuple

import keras
import tensorflow as tf

Cache = dict[str, tf.Tensor]

MEMORY = "_memory_"  # in the names of what a step reads and never changes
MEMORY_MASK = "cache_memory_mask"


class Recent(NamedTuple):
    """The latest tokens, which a loop keeps beside the cache.

    Attributes:
        count: how many these are; a scalar or `[batch]`, int32.
        rows: by the names of the cache, `[batch, heads, room, head_dim]`.
        ages: how many tokens ago each of these was made, `[room]` int32. What is older than `count` is not read.
    """

    count: tf.Tensor
    rows: Cache
    ages: tf.Tensor


def ages(count: tf.Tensor, room: int) -> tf.Tensor:
    """How many tokens ago each place of a ring was written: `[room]` int32, from 1.

    Args:
        count: tokens so far; the next is put at `count % room`.
        room: places.

    Example: `ages(2, 4)` is `[2, 1, 4, 3]`; the last two are older than the two tokens, so they are empty.
    """
    return tf.math.floormod(count - 1 - tf.range(room), room) + 1


def grows(name: str, value: tf.Tensor) -> bool:
    """Whether an entry of a cache has a row for each token."""
    return MEMORY not in name and value.shape.rank == 4


def states_of(cache: Cache) -> Cache:
    """The entries that each token replaces."""
    return {name: value for name, value in cache.items() if MEMORY not in name and not grows(name, value)}


def empty_rows(cache: Cache, batch: int | tf.Tensor, room: int) -> Cache:
    """Zeros `[batch, heads, room, head_dim]` for each entry that grows."""
    return {
        name: tf.zeros((batch, value.shape[1], room, value.shape[3]), value.dtype)
        for name, value in cache.items()
        if grows(name, value)
    }


def written(cache: Cache, rows: Cache, position: tf.Tensor) -> Cache:
    """The entries that change, as they are after a token.

    Args:
        cache: the entries before.
        rows: what a step gave: `[batch, heads, 1, head_dim]` of an entry that grows, else the entry itself.
        position: of the token, `[1]` or `[batch]` int32.
    """
    return {
        name: _placed(cache[name], row, position) if grows(name, cache[name]) else row for name, row in rows.items()
    }


def _placed(values, row, position):
    """Puts a row at `position` of the third axis."""
    if position.shape[0] == 1:
        return keras.ops.slice_update(values, [0, 0, position[0], 0], row)
    here = tf.equal(tf.range(values.shape[2]), tf.reshape(position, [-1, 1]))  # each text of the batch at its own place
    return tf.where(here[:, None, :, None], row, values)
