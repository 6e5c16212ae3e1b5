from __future__ import annotations

import numpy as np
import pytest

from textapp.decoding.logits import Rules, log_sum_exp, penalised, repeating


def test_log_sum_exp_neither_overflows_nor_loses_the_small():
    assert log_sum_exp(np.zeros(4, np.float32)) == pytest.approx(np.log(4))
    assert log_sum_exp(np.array([1000.0, 1000.0], np.float32)) == pytest.approx(1000 + np.log(2))


def test_the_penalty_lowers_logits_of_either_sign():
    logits = np.array([2.0, -1.0, 3.0])
    np.testing.assert_array_equal(penalised(logits, [0, 1, 0], 2.0), [1, -2, 3])
    np.testing.assert_array_equal(logits, [2, -1, 3])


@pytest.mark.parametrize(
    ("token_ids", "size", "expected"),
    [
        ([5, 6, 7, 5, 6], 3, [7]),
        ([5, 6, 5, 8, 5], 2, [6, 8]),
        ([5, 6], 1, [5, 6]),
        ([5, 6], 3, []),
        ([5, 5, 5], 0, []),
    ],
)
def test_the_ends_of_runs_that_came_before(token_ids, size, expected):
    assert repeating(token_ids, size) == expected


def test_what_is_forbidden_keeps_its_share():
    logits = np.zeros(4, np.float32)
    found, normaliser = Rules(max_new_tokens=9, end_id=3, min_new_tokens=2).apply(logits, [1])
    assert found.tolist() == [0, 0, 0, -np.inf] and normaliser == pytest.approx(np.log(4))
    found, _ = Rules(max_new_tokens=9, end_id=3, min_new_tokens=2).apply(logits, [1, 1])
    assert found is logits


def test_what_is_no_text_is_forbidden_at_every_step():
    rules = Rules(max_new_tokens=9, end_id=3, never_ids=[0, 1])
    for written in ([], [2], [2, 2, 2]):
        found, normaliser = rules.apply(np.zeros(4, np.float32), written)
        assert found.tolist() == [-np.inf, -np.inf, 0, 0] and normaliser == pytest.approx(np.log(4))


def test_a_text_ends_at_the_end_id_or_where_it_is_stopped():
    rules = Rules(max_new_tokens=9, end_id=3, stopped=lambda token_ids: token_ids[-2:] == [7, 8])
    assert rules.ended([5, 3]) and rules.ended([7, 8]) and not rules.ended([8, 7])


def test_each_of_several_ids_ends_a_text_but_not_too_early():
    rules = Rules(max_new_tokens=9, end_id=3, other_end_ids=[1], min_new_tokens=2)
    assert rules.ended([5, 3]) and rules.ended([5, 1]) and not rules.ended([1, 5])
    assert rules.apply(np.zeros(4, np.float32), [5])[0].tolist() == [0, -np.inf, 0, -np.inf]
