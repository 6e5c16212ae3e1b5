"""Buckets chosen from the lengths of the data."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from textapp.recipes.lengths import choose_lengths, generation_lengths, translation_lengths

COUNTS = st.lists(st.tuples(st.integers(1, 80), st.integers(1, 80)), min_size=1, max_size=60)


@pytest.mark.parametrize(
    ("counts", "expected"),
    [([5] * 50 + [30] * 50, [8, 32]), ([1], [8]), ([600] * 9, [512]), ([4] * 50 + [12] * 50, [8, 16])],
)
def test_buckets_fit_the_lengths_of_the_data(counts: list[int], expected: list[int]) -> None:
    assert choose_lengths(counts) == expected


def test_four_buckets_at_most() -> None:
    lengths = choose_lengths([1 + index % 500 for index in range(5000)])
    assert len(lengths) <= 4 and lengths == sorted(lengths)


def test_room_for_the_targets_of_each_bucket() -> None:
    assert translation_lengths([5, 5, 20], [9, 7, 30], [8, 32]) == [(8, 16), (32, 32)]


def test_a_longer_source_never_gets_less_room() -> None:
    assert translation_lengths([5, 20], [40, 10], [8, 16, 32]) == [(8, 40), (16, 40), (32, 40)]


def test_sources_over_the_longest_bucket_count_in_it() -> None:
    assert translation_lengths([90], [50], [8]) == [(8, 56)]
    assert translation_lengths([90], [50], [8], max_length=32) == [(8, 32)]


@given(COUNTS)
def test_pairs_are_multiples_of_eight_and_never_shrink(counts: list[tuple[int, int]]) -> None:
    sources, targets = zip(*counts, strict=True)
    pairs = translation_lengths(sources, targets, [16, 32, 80])
    new = [pair[1] for pair in pairs]
    assert [pair[0] for pair in pairs] == [16, 32, 80]
    assert new == sorted(new) and all(length % 8 == 0 for length in new)
    assert new[-1] >= max(targets)  # of fewer than 200 examples, 99.5 % are all


def test_prompts_and_what_may_follow_them() -> None:
    assert generation_lengths(256, [], None) == [(8, 248), (32, 224), (128, 128)]
    assert generation_lengths(256, [], 64) == [(8, 64), (32, 64), (128, 64)]
    assert generation_lengths(64, [5] * 50 + [30] * 50, None) == [(8, 56), (32, 32)]
    assert generation_lengths(8, [], None) == [(4, 4)]
