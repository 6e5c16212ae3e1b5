from __future__ import annotations

import numpy as np
import pytest
from toys import END, START, Chain, markov, random_chain

from textapp.decoding.greedy import greedy_search, walk
from textapp.decoding.logits import Rules
from textapp.decoding.steps import open_session

CHAIN = Chain(markov({START: {5: 0.6, 6: 0.4}, 5: {7: 0.7, END: 0.3}, 7: {5: 0.2, END: 0.8}}, 8), mixing=0)


def open_chain(chain: Chain):
    return open_session(chain, "prefill_4", {"token_ids": np.array([[5, 3, 0, 0]], np.int32)}, 1)


def test_the_likeliest_token_at_each_step():
    found = greedy_search(open_chain(CHAIN), Rules(max_new_tokens=6, end_id=END))
    assert found.token_ids == [5, 7, END]
    assert found.score == pytest.approx(np.log(0.6 * 0.7 * 0.8), abs=1e-5)


def test_the_text_is_cut_at_its_greatest_length():
    found = greedy_search(open_chain(CHAIN), Rules(max_new_tokens=2, end_id=END))
    assert found.token_ids == [5, 7] and found.score == pytest.approx(np.log(0.6 * 0.7), abs=1e-5)


def test_no_text_before_its_least_length():
    found = greedy_search(open_chain(CHAIN), Rules(max_new_tokens=6, end_id=END, min_new_tokens=4))
    assert found.token_ids == [5, 7, 5, 7, END]
    assert found.score == pytest.approx(np.log(0.6 * 0.7 * 0.2 * 0.7 * 0.8), abs=1e-5)


def test_nothing_is_left_to_write_where_the_rules_forbid_all():
    rules = Rules(max_new_tokens=20, end_id=END, min_new_tokens=20, no_repeat_ngram_size=1)
    found = greedy_search(open_chain(Chain(np.zeros((5, 5)), mixing=0)), rules)
    assert sorted(found.token_ids) == [0, 1, 2, 4]


def test_the_model_is_asked_no_more_often_than_needed():
    chain = Chain(CHAIN.logits, mixing=0)
    greedy_search(open_chain(chain), Rules(max_new_tokens=3, end_id=END))
    assert chain.calls == [("prefill", 1), ("decode", 1), ("decode", 1)]


def test_each_token_is_there_before_the_next_is_asked_for():
    chain = Chain(CHAIN.logits, mixing=0)
    steps = walk(open_chain(chain), Rules(max_new_tokens=3, end_id=END), lambda logits: int(logits.argmax()))
    assert next(steps)[0] == 5 and chain.calls == [("prefill", 1)]


@pytest.mark.parametrize("seed", range(20))
def test_the_loop_in_the_graph_finds_the_same(seed):
    chain = random_chain(seed, 9, max_batch=2)
    ids = np.array([[4 + seed % 5, 3, 0, 0]], np.int32)
    graph = chain.run("generate_4_6", {"token_ids": ids})
    found = greedy_search(open_session(chain, "prefill_4", {"token_ids": ids}, 1), Rules(max_new_tokens=6, end_id=END))
    assert found.token_ids == graph["token_ids"][0, : graph["num_tokens"][0]].tolist()
    assert found.score == pytest.approx(graph["score"][0], abs=1e-5)
