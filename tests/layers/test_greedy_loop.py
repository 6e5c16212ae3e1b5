"""The decoding loops over a step of a few lines, whose next token depends on every token before it and on its place."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from textapp.layers import greedy_loop, greedy_queue
from textapp.layers.greedy_loop import argmax_token

VOCABULARY, PAD, END = 32, 0, 3


def step(token, position, cache, recent):
    """A row of the cache is its token's number times 1, 2, 3, ... by its place, so that a row out of place shows."""
    value = tf.cast(token * (position + 1), tf.float32)
    rows = tf.reshape(value, [-1, 1, 1, 1])
    count = tf.reshape(recent.count, [-1, 1])
    old = tf.range(cache["cache_0_key"].shape[2]) < tf.reshape(position, [-1, 1]) - count
    seen = tf.reduce_sum(cache["cache_0_key"][:, 0, :, 0] * tf.cast(old, tf.float32), 1)
    seen += tf.reduce_sum(recent.rows["cache_0_key"][:, 0, :, 0] * tf.cast(recent.ages <= count, tf.float32), 1)
    following = tf.cast(seen + value, tf.int32) % VOCABULARY
    return 9.0 * tf.one_hot(following, VOCABULARY), {"cache_0_key": rows}


def expected_tokens(token, position, new, end_ids):
    seen, written = 0, []
    while len(written) < new and not set(end_ids) & set(written):
        seen += token * (position + len(written) + 1)
        token = seen % VOCABULARY
        written.append(token)
    return written


@pytest.mark.parametrize("end_ids", [(-1,), (END,), (END, 11, 2)])
@pytest.mark.parametrize("places", [[0], [4, 1]])
@pytest.mark.parametrize("new", [1, 2, 48])
def test_every_token_sees_all_before_it(new, places, end_ids):
    """Prompts of zeros stand before the first position, so that each text begins at its own."""
    cache = {"cache_0_key": tf.zeros((2, 1, max(places), 1))}
    first = tf.constant([7, 5])
    found = tf.function(
        lambda: greedy_loop(step, first, tf.constant(places), cache, new, end_ids[0], PAD, other_end_ids=end_ids[1:]),
        autograph=False,
    )()
    for row, token in enumerate((7, 5)):
        expected = expected_tokens(token, places[row % len(places)], new, end_ids)
        assert found.token_ids[row].numpy().tolist() == expected + [PAD] * (new - len(expected))
        assert found.num_tokens[row] == len(expected)
        certain = -np.log(1 + (VOCABULARY - 1) * np.exp(-9.0))
        assert float(found.score[row]) == pytest.approx(certain * len(expected), rel=1e-4)


@pytest.mark.parametrize("end_ids", [(-1,), (END,), (END, 11, 2)])
@pytest.mark.parametrize("wanted, texts", [(7, 7), (12, 12), (2, 7), (0, 7), (3, 3)])
@pytest.mark.parametrize("new", [1, 6, 48])
def test_a_queue_writes_each_wanted_text_to_its_end(new, wanted, texts, end_ids):
    """Without an end all texts are as long as they may be, and the last ones begin as late as they can."""
    first = tf.range(5, 5 + texts)
    cache = {"cache_0_key": tf.zeros((texts, 1, 0, 1))}
    found = tf.function(
        lambda: greedy_queue(step, first, cache, tf.constant(wanted), new, end_ids[0], PAD, other_end_ids=end_ids[1:]),
        autograph=False,
    )()
    for row, token in enumerate(first.numpy().tolist()):
        expected = expected_tokens(token, 0, new, end_ids) if row < wanted else []
        assert found.token_ids[row].numpy().tolist() == expected + [PAD] * (new - len(expected))
        assert found.num_tokens[row] == len(expected)


@pytest.mark.parametrize(
    "never_ids, token, score", [((), 5, np.log(0.7)), ((5,), 2, np.log(0.2)), ((5, 2), 1, np.log(0.1))]
)
def test_what_is_never_written_keeps_its_share_of_the_probability(never_ids, token, score):
    logits = np.full((1, VOCABULARY), -30.0, np.float32)
    logits[0, [5, 2, 1]] = np.log([0.7, 0.2, 0.1])
    found = greedy_loop(lambda *_: (tf.constant(logits), {}), tf.zeros([1], tf.int32), [0], {}, 2, -1, PAD, never_ids)
    assert found.token_ids.numpy().tolist() == [[token, token]]
    assert float(found.score[0]) == pytest.approx(2 * score, rel=1e-5)


@pytest.mark.parametrize("size", [31, 64, 120, 8000])
def test_the_likeliest_token_is_the_first_of_the_largest(size):
    logits = np.random.default_rng(0).integers(0, 5, (6, size)).astype(np.float32)
    logits[0] = -3.0
    token, certain = argmax_token(tf.constant(logits))
    np.testing.assert_array_equal(token, logits.argmax(axis=1))
    expected = logits.max(axis=1) - np.log(np.exp(logits).sum(axis=1))
    np.testing.assert_allclose(certain, expected, rtol=1e-5)
