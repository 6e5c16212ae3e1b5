from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from toys import END, START, Chain, markov, random_chain

from textapp.decoding import beam as module
from textapp.decoding.beam import beam_search
from textapp.decoding.greedy import greedy_search
from textapp.decoding.logits import Rules
from textapp.decoding.steps import open_session


def open_chain(chain: Chain):
    return open_session(chain, "prefill_4", {"token_ids": np.array([[4, 3, 0, 0]], np.int32)}, 1)


# greedy goes to 5 (0.6) and finds 0.6 * 0.55 = 0.33 there; over 6 there is 0.4 * 0.95 = 0.38
FORK = markov({START: {5: 0.6, 6: 0.4}, 5: {7: 0.55, 4: 0.45}, 6: {7: 0.95, 4: 0.05}, 7: {END: 1}, 4: {END: 1}}, 8)


def test_a_beam_finds_what_greedy_search_misses():
    rules = Rules(max_new_tokens=6, end_id=END)
    assert greedy_search(open_chain(Chain(FORK, mixing=0)), rules).token_ids == [5, 7, END]
    best, second = beam_search(
        open_chain(Chain(FORK, mixing=0)), rules, beam_size=2, length_penalty=0, num_hypotheses=2
    )
    assert best.token_ids == [6, 7, END] and best.score == pytest.approx(np.log(0.38), abs=1e-5)
    assert second.token_ids == [5, 7, END] and second.score == pytest.approx(np.log(0.33), abs=1e-5)


@pytest.mark.parametrize(
    ("length_penalty", "token_ids", "rank"),
    [(0.0, [END], np.log(0.4)), (1.0, [5, END], np.log(0.3) / 2), (2.0, [5, END], np.log(0.3) / 4)],
)
def test_the_length_penalty_ranks_by_score_over_a_power_of_the_length(length_penalty, token_ids, rank):
    logits = markov({START: {END: 0.4, 5: 0.6}, 5: {END: 0.5, 6: 0.5}, 6: {7: 0.1, 4: 0.1}}, 8)
    found = beam_search(open_chain(Chain(logits, mixing=0)), Rules(max_new_tokens=3, end_id=END), 2, length_penalty)
    assert found[0].token_ids == token_ids and found[0].rank == pytest.approx(rank, abs=1e-5)


def test_equal_continuations_are_taken_in_the_order_of_their_ids():
    found = beam_search(open_chain(Chain(np.zeros((7, 7)), mixing=0)), Rules(max_new_tokens=1, end_id=END), 3, 1.0, 3)
    assert [hypothesis.token_ids for hypothesis in found] == [[0], [1], [2]]


def test_what_is_cut_at_the_greatest_length_counts_too():
    found = beam_search(open_chain(Chain(FORK, mixing=0)), Rules(max_new_tokens=1, end_id=END), 2, 1.0, 2)
    assert [hypothesis.token_ids for hypothesis in found] == [[5], [6]]


def test_rules_bind_every_hypothesis():
    rules = Rules(max_new_tokens=6, end_id=END, no_repeat_ngram_size=1, min_new_tokens=3)
    found = beam_search(open_chain(random_chain(1, 9)), rules, 4, 1.0, 4)
    assert len(found) == 4
    for hypothesis in found:
        written = hypothesis.token_ids
        assert len(set(written)) == len(written) and END not in written[:3]


def test_the_search_ends_as_soon_as_nothing_can_win():
    chain = Chain(markov({START: {END: 0.9, 5: 0.1}, 5: {5: 0.9, 6: 0.1}, 6: {6: 1.0}}, 8), mixing=0, places=99)
    beam_search(open_chain(chain), Rules(max_new_tokens=50, end_id=END), 2, 0.0)
    assert len(chain.calls) == 1


seeds, penalties = st.integers(0, 10**6), st.sampled_from([0.0, 0.6, 1.0, 2.0])


@settings(max_examples=60, deadline=None)
@given(seeds, penalties, st.integers(1, 7))
def test_a_beam_of_one_is_greedy_search(seed, length_penalty, max_new_tokens):
    rules = Rules(max_new_tokens=max_new_tokens, end_id=END)
    (found,) = beam_search(open_chain(random_chain(seed, 7)), rules, 1, length_penalty)
    greedy = greedy_search(open_chain(random_chain(seed, 7)), rules)
    assert found.token_ids == greedy.token_ids and found.score == pytest.approx(greedy.score)


@settings(max_examples=60, deadline=None)
@given(seeds, penalties, st.integers(1, 5), st.integers(1, 7), st.data())
def test_stopping_early_changes_no_answer(seed, length_penalty, beam_size, max_new_tokens, data):
    num_hypotheses = data.draw(st.integers(1, beam_size))
    arguments = (Rules(max_new_tokens=max_new_tokens, end_id=END), beam_size, length_penalty, num_hypotheses)
    early = beam_search(open_chain(random_chain(seed, 7)), *arguments)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_settled", lambda *_: False)
        late = beam_search(open_chain(random_chain(seed, 7)), *arguments)
    assert early == late


@settings(max_examples=40, deadline=None)
@given(seeds, penalties)
def test_a_beam_as_wide_as_the_vocabulary_finds_the_best_of_all_short_texts(seed, length_penalty):
    size = 6
    rules = Rules(max_new_tokens=2, end_id=END)
    (found,) = beam_search(open_chain(random_chain(seed, size)), rules, size, length_penalty)
    texts = [[END], *([first, second] for first, second in product(range(size), repeat=2) if first != END)]
    ranks = {tuple(text): _score(random_chain(seed, size), text) / len(text) ** length_penalty for text in texts}
    assert found.rank == pytest.approx(max(ranks.values()), abs=1e-5)
    greedy = greedy_search(open_chain(random_chain(seed, size)), rules)
    assert found.rank >= greedy.score / len(greedy.token_ids) ** length_penalty - 1e-9


def _score(chain: Chain, text: list[int]) -> float:
    session, total = open_chain(chain), 0.0
    for place, token_id in enumerate(text):
        logits = session.logits[0].astype(np.float64)
        total += logits[token_id] - np.log(np.exp(logits).sum())
        if place + 1 < len(text):
            session.advance([0], [token_id])
    return total
