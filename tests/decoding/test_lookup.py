"""Guessed tokens change how often a model is run, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from toys import END, Chain, InPlace, markov, random_chain

from textapp.decoding.greedy import argmax_token, walk
from textapp.decoding.logits import Rules
from textapp.decoding.lookup import GuessingSession, Lookup
from textapp.decoding.steps import Session, open_session

SEVERAL = 5
CIRCLE = [4, 5, 6, 7, 8, 9, 10, 11]


def circle(several: int = SEVERAL, **settings: Any) -> InPlace:
    """After each token of a circle comes the next one."""
    after = {one: {other: 1.0} for one, other in zip(CIRCLE, [*CIRCLE[1:], CIRCLE[0]], strict=True)}
    return InPlace(markov(after, 12), memory=False, several=several, places=64, mixing=0.0, **settings)


def opened(chain: Chain, ids: Sequence[int]) -> Session:
    padded = np.zeros((1, 8), np.int32)
    padded[0, : len(ids)] = ids
    features = {"token_ids": padded, "num_tokens": np.array([len(ids)], np.int32)}
    return open_session(chain, "prefill_8", features, len(ids))


def written(chain: Chain, ids: Sequence[int], rules: Rules, guesses: bool) -> list[tuple[int, float]]:
    session = opened(chain, ids)
    return list(walk(GuessingSession(session, ids) if guesses else session, rules, argmax_token))


def passes(chain: Chain) -> list[int]:
    """How many tokens each run of the model read."""
    return [rows for kind, rows in chain.calls if kind == "decode"]


@pytest.mark.parametrize(
    "text, count, expected",
    [
        ([5, 6, 7, 8, 9, 5, 6, 7], 4, [8, 9, 5, 6]),
        ([5, 6, 7, 8, 9, 5, 6, 7], 7, [8, 9, 5, 6, 7, 8, 9]),  # what is guessed goes on in itself
        ([5, 6, 7, 8, 5, 6, 7, 9, 5, 6, 7], 1, [9]),  # the latest place
        ([5, 6, 7, 8, 9, 7], 4, []),  # one token in common is too few
        ([5, 5, 5, 5], 3, [5, 5, 5]),
        ([5, 6, 7], 3, []),
        ([], 3, []),
    ],
)
def test_what_came_after_the_last_tokens_before(text: list[int], count: int, expected: list[int]) -> None:
    assert Lookup(text).guess(count) == expected


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("mixing", [0.0, 0.05, 0.5])  # the more, the less repeats
def test_guesses_change_no_token_and_no_score(seed: int, mixing: float) -> None:
    plain, guessing = (
        random_chain(seed, 9, InPlace, memory=False, places=60, mixing=mixing, several=several)
        for several in (1, SEVERAL)
    )
    rules = Rules(max_new_tokens=50, end_id=-1)
    for ids in ([5, 6, 7, 8], [5, 6, 7, 5, 6, 7, 5, 6], [4]):
        assert written(guessing, ids, rules, guesses=True) == written(plain, ids, rules, guesses=False)
    assert len(passes(guessing)) <= len(passes(plain))


def test_a_text_that_repeats_takes_a_fraction_of_the_passes() -> None:
    chain = circle()
    rules = Rules(max_new_tokens=41, end_id=-1)
    found = [token_id for token_id, _ in written(chain, CIRCLE, rules, guesses=True)]
    assert found == [CIRCLE[place % 8] for place in range(41)]
    # The first token comes from the prompt. With the second there are two in a row that were seen before.
    assert passes(chain) == [SEVERAL] * 9


@pytest.mark.parametrize("most", range(1, 14))
def test_the_last_token_may_lie_among_the_guesses(most: int) -> None:
    found = written(circle(), CIRCLE, Rules(max_new_tokens=most, end_id=-1), guesses=True)
    assert [token_id for token_id, _ in found] == [CIRCLE[place % 8] for place in range(most)]


@pytest.mark.parametrize("end_id", [CIRCLE[0], *CIRCLE[3:]])
def test_an_end_among_the_guesses_ends_the_text(end_id: int) -> None:
    found = written(circle(), CIRCLE, Rules(max_new_tokens=30, end_id=end_id), guesses=True)
    assert [token_id for token_id, _ in found] == CIRCLE[: CIRCLE.index(end_id) + 1]


def test_rules_hold_for_guesses_too() -> None:
    rules = Rules(max_new_tokens=30, end_id=END, no_repeat_ngram_size=6, repetition_penalty=1.2, min_new_tokens=20)
    plain, guessing = circle(1), circle()
    assert written(guessing, CIRCLE, rules, guesses=True) == written(plain, CIRCLE, rules, guesses=False)


def test_a_wrong_guess_leaves_nothing_behind() -> None:
    plain, guessing = (random_chain(3, 40, InPlace, memory=False, places=64, several=n) for n in (1, SEVERAL))
    ids = [5, 6, 7, 8, 9, 10, 11, 12]
    one, other = opened(plain, ids), GuessingSession(opened(guessing, ids), ids)
    for token_id in [5, 6, 7, 8, 20, 21, 5, 6, 7, 8, 9, 20, 22]:
        one.advance([0], [token_id])
        other.advance([0], [token_id])
        np.testing.assert_array_equal(one.logits, other.logits)
    assert len(passes(guessing)) < len(passes(plain))


def test_at_the_end_of_the_context_tokens_are_read_one_by_one() -> None:
    chain = InPlace(circle().logits, memory=False, several=SEVERAL, places=13, mixing=0.0)
    found = written(chain, CIRCLE, Rules(max_new_tokens=5, end_id=-1), guesses=True)
    assert [token_id for token_id, _ in found] == CIRCLE[:5]
    assert passes(chain) == [SEVERAL, 1, 1, 1]


def test_two_texts_may_take_turns() -> None:
    chain = circle()
    sessions = [GuessingSession(opened(chain, ids), ids) for ids in (CIRCLE, CIRCLE[4:] + CIRCLE[:4])]
    found: list[list[int]] = [[], []]
    for _ in range(30):
        for number, session in enumerate(sessions):
            token_id = argmax_token(session.logits[0])
            found[number].append(token_id)
            session.advance([0], [token_id])
    assert found[0] == [CIRCLE[place % 8] for place in range(30)]
    assert found[1] == [CIRCLE[(place + 4) % 8] for place in range(30)]
