"""The signatures of a `Generator` as functions of tensors, for Keras, SavedModel and LiteRT alike."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from textapp.decoding.signatures import CACHE
from textapp.layers import greedy_loop, greedy_queue
from textapp.layers.cache import MEMORY, written
from textapp.layers.greedy_loop import never_generated
from textapp.layers.masking import NEVER
from textapp.models.generator import Generator

Tensors = dict[str, Any]


def generate(model: Generator, features: Mapping[str, Any], new: int) -> Tensors:
    """Generates greedily.

    Args:
        model: a language model or a translator.
        features: `token_ids` `[batch, length]` int32, for a language model also `num_tokens` `[batch]`.
        new: maximum number of new tokens.

    Returns:
        `token_ids` `[batch, new]` int32, including the end id, padded; `num_tokens` `[batch]` int32; and `score`
        `[batch]` float32, the sum of the log-probabilities.
    """
    read = 0 if model.has_encoder else features["token_ids"].shape[1]
    token_id, position, cache = model.begin(features, read + (new if model.loops_copy else 0))
    return greedy_loop(model.step, token_id, position, cache, new, **_ids(model))._asdict()


def generate_queued(model: Generator, features: Mapping[str, Any], new: int) -> Tensors:
    """Like `generate`, for many sources of a translator, with continuous batching; see `greedy_queue`.

    Args:
        model, new: as for `generate`.
        features: `token_ids` `[batch, length]` int32. The last rows may be empty, all padding; nothing is generated for
            these.
    """
    token_ids = features["token_ids"]
    token_id, _, cache = model.begin(features, 0)
    filled = tf.cast(tf.reduce_any(tf.not_equal(token_ids, model.pad_id), axis=1), tf.int32)
    num_texts = tf.reduce_max(filled * tf.range(1, token_ids.shape[0] + 1))
    return greedy_queue(model.step, token_id, cache, num_texts, new, **_ids(model))._asdict()


def prefill(
    model: Generator, features: Mapping[str, Any], cache_length: int, memory_length: int | None = None
) -> Tensors:
    """Reads a source or a prompt.

    Args:
        model, features: as for `generate`.
        cache_length: capacity of the cache in tokens; for a language model including the prompt.
        memory_length: pads the memory of a source to this length, so that one `decode` serves all lengths.

    Returns:
        `logits` `[batch, vocabulary_size]` of the first new token, and the cache. The next position is 1 after a
        source, and `num_tokens` after a prompt.
    """
    if model.reads_at_once:
        logits, cache = model.read(features, cache_length)
        return {"logits": logits, **cache}
    token_id, position, cache = model.begin(features, cache_length)
    if memory_length is not None:
        cache = {name: _longer(value, name, memory_length) for name, value in cache.items()}
    if model.has_encoder:
        # The start token by way of an input, which is never negative: else the first products are constants, which the
        # converter adds to the bias of the next one. XNNPACK's cache of packed weights knows a kernel by its weights
        # alone, so all signatures have to use it with the same bias.
        token_id += tf.minimum(features["token_ids"][:, 0], 0)
    logits, rows = model.step(token_id, position, cache)
    return {"logits": logits, **cache, **written(cache, rows, position)}


def decode(model: Generator, features: Mapping[str, Any]) -> Tensors:
    """Decodes one step: reads a token and predicts the next one.

    Args:
        model: as for `generate`.
        features: `token_id` `[batch]`, `position` `[1]` or `[batch]`, and the cache.

    Returns:
        `logits` `[batch, vocabulary_size]` of the next token, and the changed entries of the cache.
    """
    cache = _cache(features)
    logits, rows = model.step(features["token_id"], features["position"], cache)
    return {"logits": logits, **written(cache, rows, features["position"])}


def read_more(model: Generator, features: Mapping[str, Any]) -> Tensors:
    """Reads a few tokens at once, and predicts the one after each.

    Args:
        model: a language model whose cache has a row for each token.
        features: `token_ids` `[1, tokens]` int32, `position` `[1]` of the first of them, and the cache.

    Returns:
        `logits` `[1, tokens, vocabulary_size]`, and the cache with the rows of these tokens.
    """
    cache = _cache(features)
    logits, cache = model.step(features["token_ids"], features["position"], cache)
    return {"logits": logits, **cache}


def extend(model: Generator, features: Mapping[str, Any]) -> Tensors:
    """Reads a new turn, or as much of it as fits, behind what was read before.

    Args:
        model: a language model whose cache has a row for each token.
        features: `token_ids` `[1, tokens]` int32, padded; `num_tokens` `[1]`; `position` `[1]` of the first; the cache.

    Returns:
        `logits` `[1, vocabulary_size]` of the token after the last, and the cache with the rows of all.
    """
    cache = _cache(features)
    logits, cache = model.extend(features["token_ids"], features["num_tokens"], features["position"], cache)
    return {"logits": logits, **cache}


def score(model: Generator, features: Mapping[str, Any], targets: Any) -> Tensors:
    """What a model says of given texts, read at once: each token given all before it.

    Args:
        model: as for `generate`.
        features: as for the call of the model.
        targets: `[batch, length]` int32, padded with -1, because the padding id of a preset may equal its end id.

    Returns:
        of each target, `[batch, length]`, 0 on padding: `log_probability` float32; `best` int32, the most probable
        token that may be generated in its place; and `gap` float32, the logit of that token minus the target's.
    """
    logits = model(dict(features), training=False)
    real, ids = tf.cast(targets >= 0, tf.float32), tf.maximum(targets, 0)
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=ids, logits=logits)
    given = tf.gather(logits, ids, batch_dims=2)
    if model.never_ids:
        logits += never_generated(logits.shape[-1], model.never_ids)
    best = tf.argmax(logits, axis=-1, output_type=tf.int32)
    gap = tf.gather(logits, best, batch_dims=2) - given
    return {"log_probability": -losses * real, "best": best * tf.cast(real, tf.int32), "gap": gap * real}


def _cache(features: Mapping[str, Any]) -> Tensors:
    return {name: value for name, value in features.items() if name.startswith(CACHE)}


def _ids(model: Generator) -> dict[str, Any]:
    return {name: getattr(model, name) for name in ("end_id", "pad_id", "never_ids", "other_end_ids")}


def _longer(value, name: str, length: int):
    """Pads the length axis of entries of a memory: the third, or the fourth of a mask."""
    if MEMORY not in name:
        return value
    if name.endswith("mask"):
        return tf.pad(value, [[0, 0], [0, 0], [0, 0], [0, length - value.shape[3]]], constant_values=NEVER)
    return tf.pad(value, [[0, 0], [0, 0], [0, length - value.shape[2]], [0, 0]])
