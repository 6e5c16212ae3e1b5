from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from textapp.decoding.options import DecodingOptions
from textapp.decoding.sampling import Sampler, candidates, highest

LOGITS = np.log(np.array([0.15, 0.5, 0.05, 0.3], np.float32))


@pytest.mark.parametrize(
    ("options", "token_ids", "probabilities"),
    [
        ({}, [1, 3, 0, 2], [0.5, 0.3, 0.15, 0.05]),
        ({"top_k": 2}, [1, 3], [0.625, 0.375]),
        ({"top_p": 0.7}, [1, 3], [0.5, 0.3]),
        ({"top_p": 0.5}, [1], [0.5]),
        ({"top_p": 0.0}, [1], [0.5]),
        ({"min_p": 0.2}, [1, 3, 0], [0.5, 0.3, 0.15]),
        ({"min_p": 1.0}, [1], [0.5]),
        ({"top_k": 3, "top_p": 0.6}, [1, 3], [0.5 / 0.95, 0.3 / 0.95]),
        ({"temperature": 0.5}, [1, 3, 0, 2], np.array([0.25, 0.09, 0.0225, 0.0025]) / 0.365),
    ],
)
def test_candidates_by_hand(options, token_ids, probabilities):
    found = candidates(LOGITS, DecodingOptions(**{"temperature": 1.0, **options}))
    assert found[0].tolist() == token_ids
    np.testing.assert_allclose(found[1], probabilities, rtol=1e-5)


def test_the_fewest_tokens_that_reach_top_p_are_enough():
    assert candidates(np.zeros(4), DecodingOptions(temperature=1.0, top_p=0.5))[0].tolist() == [0, 1]


def test_what_is_forbidden_is_never_drawn():
    logits = np.array([-np.inf, 0.0, -np.inf, -np.inf])
    assert candidates(logits, DecodingOptions(temperature=9.0))[0].tolist() == [1]


def test_draws_have_the_probabilities_of_the_model():
    draw = Sampler(DecodingOptions(temperature=1.0, seed=5))
    counts = np.bincount([draw(LOGITS) for _ in range(5000)], minlength=4) / 5000
    np.testing.assert_allclose(counts, [0.15, 0.5, 0.05, 0.3], atol=0.02)


def test_a_tiny_temperature_takes_the_likeliest():
    assert {Sampler(DecodingOptions(temperature=1e-300))(LOGITS) for _ in range(20)} == {1}


@given(st.lists(st.floats(-50, 50, width=32), min_size=1, max_size=30), st.integers(0, 99))
def test_the_likeliest_of_one_is_the_greedy_choice(logits, seed):
    values = np.array(logits, np.float32)
    assert Sampler(DecodingOptions(temperature=2.0, top_k=1, seed=seed))(values) == int(values.argmax())


@settings(max_examples=50)
@given(st.lists(st.floats(-50, 50, width=32), min_size=1, max_size=30), st.integers(0, 99))
def test_the_same_seed_draws_the_same(logits, seed):
    one, two = (Sampler(DecodingOptions(temperature=1.5, seed=seed)) for _ in range(2))
    values = np.array(logits, np.float32)
    assert [one(values) for _ in range(5)] == [two(values) for _ in range(5)]


@given(st.lists(st.integers(-3, 3), min_size=1, max_size=60), st.integers(1, 70))
def test_the_highest_are_those_of_a_stable_sort_without_what_is_forbidden(values, count):
    values = [-np.inf if value == -3 else value for value in values]
    possible = [index for index, value in enumerate(values) if value > -np.inf]
    expected = sorted(possible, key=lambda index: (-values[index], index))[:count]
    assert highest(np.array(values, np.float32), count).tolist() == expected
