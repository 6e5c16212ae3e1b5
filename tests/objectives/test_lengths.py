"""The lengths of a bundle."""

from __future__ import annotations

from textapp.objectives.lengths import MAX_LENGTHS, finer_lengths


def test_a_length_is_added_where_it_spares_padding():
    assert finer_lengths([16, 64], [12] * 50 + [35] * 50) == [16, 40, 64]


def test_the_lengths_of_the_run_stay():
    assert finer_lengths([16, 32, 64], [3] * 100) == [8, 16, 32, 64]


def test_nothing_is_added_where_it_spares_nothing():
    assert finer_lengths([16, 64], [16, 64, 90]) == [16, 64]
    assert finer_lengths([8], [2, 3]) == [8]


def test_rare_texts_get_no_length_of_their_own():
    assert finer_lengths([16, 128], [10] * 1000 + [20]) == [16, 128]


def test_there_are_few_lengths_at_most():
    assert len(finer_lengths([512], list(range(1, 513)))) == MAX_LENGTHS
