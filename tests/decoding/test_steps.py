"""Three ways to keep the cache, one answer."""

from __future__ import annotations

from itertools import zip_longest

import numpy as np
import pytest
from toys import END, Chain, InPlace, random_chain

from textapp.decoding.beam import beam_search
from textapp.decoding.greedy import argmax_token, greedy_search, walk
from textapp.decoding.logits import Rules
from textapp.decoding.steps import CopySession, InPlaceSession, open_session

RULES = Rules(max_new_tokens=8, end_id=END)


def session(chain: Chain, first: int = 5):
    features = {"token_ids": np.array([[first, 6, 0, 0]], np.int32)}
    if not chain.memory:
        features["num_tokens"] = np.array([2], np.int32)
    return open_session(chain, "prefill_4", features, 1 if chain.memory else 2)


@pytest.mark.parametrize("memory", [True, False])
@pytest.mark.parametrize("seed", range(5))
def test_copies_batches_and_buffers_find_the_same(seed, memory):
    one, several, in_place = (
        random_chain(seed, 9, kind, memory=memory, max_batch=most)
        for kind, most in ((Chain, 1), (Chain, 3), (InPlace, 1))
    )
    assert isinstance(session(one), CopySession) and isinstance(session(in_place), InPlaceSession)
    for search in (greedy_search, lambda session, rules: beam_search(session, rules, 5, 0.7, 3)):
        expected = search(session(one), RULES)
        assert search(session(several), RULES) == expected == search(session(in_place), RULES)
    assert ("decode", 3) in several.calls


def test_two_texts_may_take_turns_in_one_memory():
    chain = random_chain(3, 9, InPlace)
    rules = Rules(max_new_tokens=8, end_id=-1)
    alone = [list(walk(session(chain, first), rules, argmax_token)) for first in (4, 8)]
    assert alone[0] != alone[1]
    together = list(zip_longest(*(walk(session(chain, first), rules, argmax_token) for first in (4, 8))))
    assert [list(steps) for steps in zip(*together, strict=True)] == alone


def test_a_beam_may_go_on_after_another_text_in_its_memory():
    chain = random_chain(3, 9, InPlace)
    first, other, lonely = session(chain), session(chain, 7), session(Chain(chain.logits))
    for step in range(4):
        parents = [0, 0] if step == 0 else [1, 0]
        for each in (first, lonely):
            each.advance(parents, [4 + step, 5])
        other.advance([0], [6])
        np.testing.assert_allclose(first.logits, lonely.logits, atol=1e-6)


def test_a_row_alone_again_goes_on_where_the_beam_was():
    chain = random_chain(4, 9, InPlace)
    pair = session(chain), session(Chain(chain.logits))
    for each in pair:
        each.advance([0, 0], [4, 5])
        each.advance([1], [6])
        each.advance([0], [7])
    np.testing.assert_allclose(pair[0].logits, pair[1].logits, atol=1e-6)


def test_a_text_that_was_left_unfinished_does_no_harm():
    chain = random_chain(3, 9, InPlace)
    session(chain).advance([0], [4])
    assert greedy_search(session(chain), RULES) == greedy_search(session(Chain(chain.logits)), RULES)


def test_logits_survive_the_next_step():
    chain = random_chain(3, 9, InPlace)
    one = session(chain)
    one.advance([0], [4])
    before, kept = one.logits, one.logits.copy()
    one.advance([0], [5])
    np.testing.assert_array_equal(before, kept)
