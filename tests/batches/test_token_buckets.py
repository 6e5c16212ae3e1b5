from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from textapp.batches.token_buckets import (
    MAX_BUCKETS,
    MAX_PROGRAMS,
    TokenBuckets,
    TokenPlan,
    token_buckets,
    token_plan,
)

GENERATOR = np.random.default_rng(0)
# As of captions: sources of 4 to 40 tokens, most of 10 to 20, and translations of about the same length.
SOURCES = np.clip(GENERATOR.gamma(9, 1.6, 20000), 4, 40).astype(int)
COUNTS = {"token_ids": SOURCES, "target_ids": np.clip(SOURCES + GENERATOR.normal(0, 2.5, 20000), 3, 56).astype(int)}
FORMS = pytest.mark.parametrize("static_shapes", [False, True], ids=["open", "static"])


def batches(plan: TokenPlan) -> list[np.ndarray]:
    return np.split(plan.indices, plan.offsets[1:-1])


def shapes(plan: TokenPlan) -> list[tuple[int, ...]]:
    return list(zip(plan.rows.tolist(), *(numbers.tolist() for numbers in plan.lengths.values()), strict=True))


def padded(buckets: TokenBuckets) -> int:
    """The tokens of all examples with their padding, without rows that fill."""
    return sum(int(lengths[buckets.members].sum()) for lengths in buckets.lengths.values())


def lengths(buckets: TokenBuckets) -> list[tuple[int, ...]]:
    """Of each bucket, and of all features."""
    return sorted(zip(*(numbers.tolist() for numbers in buckets.lengths.values()), strict=True))


@FORMS
def test_every_example_once_an_epoch_in_batches_of_its_bucket_that_hold_it(static_shapes: bool) -> None:
    buckets = token_buckets(COUNTS, 1024, 1, static_shapes=static_shapes)
    plan = token_plan(buckets, seed=1, epoch=0)
    assert sorted(plan.indices) == list(range(20000)) and plan.examples == 20000 and plan.steps == sum(buckets.steps)
    assert len(set(shapes(plan))) == buckets.shapes
    assert set(zip(plan.shapes, shapes(plan), strict=True)) == set(enumerate(sorted(set(shapes(plan)))))
    for step, rows in enumerate(batches(plan)):
        assert 0 < len(rows) <= plan.rows[step] and len({*buckets.members[rows]}) == 1
        assert plan.rows[step] * max(numbers[step] for numbers in plan.lengths.values()) <= 1024
        for name, counts in COUNTS.items():
            assert counts[rows].max() <= plan.lengths[name][step]


def test_static_shapes_are_one_of_each_bucket_and_their_rows_a_multiple_of_8() -> None:
    buckets = token_buckets(COUNTS, 1024, 1, static_shapes=True)
    plan = token_plan(buckets, seed=1, epoch=0)
    assert len(set(shapes(plan))) == len(buckets.steps) == MAX_PROGRAMS
    assert (plan.rows % 8 == 0).all() and (plan.rows > np.diff(plan.offsets)).any()


def test_open_shapes_fill_nothing_and_batches_of_a_bucket_are_of_equal_size() -> None:
    buckets = token_buckets(COUNTS, 1024, 1)
    plan = token_plan(buckets, seed=1, epoch=0)
    assert (plan.rows == np.diff(plan.offsets)).all() and MAX_PROGRAMS < len(buckets.steps) == MAX_BUCKETS
    of_buckets = buckets.members[plan.indices[plan.offsets[:-1]]]
    for bucket in range(MAX_BUCKETS):
        rows = plan.rows[of_buckets == bucket]
        assert max(rows) - min(rows) <= 1
        # One batch less would not hold them.
        longest = max(int(numbers[bucket]) for numbers in buckets.lengths.values())
        assert sum(rows) > (len(rows) - 1) * (1024 // longest)


@pytest.mark.parametrize(("static_shapes", "least"), [(False, 0.95), (True, 0.88)])
def test_a_mix_of_captions_has_little_padding(static_shapes: bool, least: float) -> None:
    buckets = token_buckets(COUNTS, 1024, 1, static_shapes=static_shapes)
    plan = token_plan(buckets, seed=1, epoch=0)
    used = sum(int((plan.rows * numbers).sum()) for numbers in plan.lengths.values())
    assert buckets.useful == pytest.approx(sum(counts.sum() for counts in COUNTS.values()) / used)
    assert buckets.useful > least


@FORMS
def test_the_order_depends_on_seed_and_epoch_alone_and_the_steps_stay(static_shapes: bool) -> None:
    buckets = token_buckets(COUNTS, 1024, 1, static_shapes=static_shapes)

    def order(seed: int, epoch: int) -> list[int]:
        return token_plan(buckets, seed, epoch).indices.tolist()

    assert order(1, 0) == order(1, 0)
    assert order(1, 0) != order(1, 1)
    assert order(1, 0) != order(2, 0)
    assert len({token_plan(buckets, 1, epoch).steps for epoch in range(5)}) == 1


def test_examples_meet_others_of_their_bucket_in_each_epoch() -> None:
    buckets = token_buckets(COUNTS, 1024, 1)

    def neighbours(epoch: int) -> set[int]:
        plan = token_plan(buckets, seed=1, epoch=epoch)
        return next({*rows} for rows in batches(plan) if 0 in rows)

    assert len(neighbours(0)) > 20 and len(neighbours(0) & neighbours(1)) < 0.5 * len(neighbours(0))


def test_what_needs_the_least_padding_is_merged(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four of 3 tokens become as long as 4 for 4 tokens; the next would be 2 of 20 as long as 30 for 20 tokens."""
    monkeypatch.setattr("textapp.batches.token_buckets.MAX_BUCKETS", 3)
    buckets = token_buckets({"token_ids": np.array([3, 3, 4, 20, 3, 30, 20, 3])}, None, 1)
    assert buckets.lengths["token_ids"].tolist() == [4, 20, 30]
    assert buckets.members.tolist() == [0, 0, 0, 1, 0, 2, 1, 0]
    assert buckets.steps.tolist() == [5, 2, 1] and buckets.rows is None
    assert buckets.useful == pytest.approx(86 / 90)


def test_the_lengths_of_all_features_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the longest of both, all three are 9 tokens long."""
    monkeypatch.setattr("textapp.batches.token_buckets.MAX_BUCKETS", 2)
    counts = {"token_ids": np.array([9, 9, 2]), "target_ids": np.array([2, 3, 9])}
    buckets = token_buckets(counts, None, 1)
    assert lengths(buckets) == [(2, 9), (9, 3)]


@FORMS
def test_an_example_is_in_the_shortest_bucket_that_holds_it(static_shapes: bool) -> None:
    buckets = token_buckets(COUNTS, 1024, 1, static_shapes=static_shapes)
    counts, tops = np.stack(list(COUNTS.values())), np.stack(list(buckets.lengths.values()))
    holds = (counts[:, :, None] <= tops[:, None, :]).all(axis=0)
    shortest = np.where(holds, tops.sum(axis=0), 10**6).min(axis=1)
    assert (tops.sum(axis=0)[buckets.members] == shortest).all()


def test_few_cuts_have_less_padding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("textapp.batches.token_buckets.MAX_BUCKETS", 4)
    counts = np.clip(GENERATOR.gamma(4, 3, 300), 1, 30).astype(int)
    costs = []
    for ends in combinations(np.unique(counts)[:-1], 3):
        tops = np.array([*ends, counts.max()])
        costs.append(int(tops[np.searchsorted(tops, counts)].sum()))
    buckets = token_buckets({"token_ids": counts}, None, 1)
    assert len(buckets.steps) == 4 and padded(buckets) < 1.02 * min(costs) < np.quantile(costs, 0.05)


@pytest.mark.parametrize(("short", "expected"), [(12, [4]), (13, [3, 4])])
def test_a_bucket_saves_an_eighth_of_a_batch(short: int, expected: list[int]) -> None:
    buckets = token_buckets({"token_ids": np.array([3] * short + [4] * 60)}, 100, 1)
    assert buckets.lengths["token_ids"].tolist() == expected


@pytest.mark.parametrize(
    ("examples", "length", "tokens", "size", "steps", "rows"),
    [
        (140, 10, 1360, 1, 2, 72),  # two of 72 rows, not of 136
        (60, 10, 1360, 1, 1, 64),
        (5, 100, 350, 1, 3, 2),  # three rows fit, but are no power of two
        (5, 100, 50, 1, 5, 1),  # longer than all tokens
        (100, 10, None, 32, 4, 32),
    ],
)
def test_rows_of_static_shapes(
    examples: int, length: int, tokens: int | None, size: int, steps: int, rows: int
) -> None:
    buckets = token_buckets({"token_ids": np.full(examples, length)}, tokens, size, static_shapes=True)
    assert shapes(token_plan(buckets, seed=0, epoch=0)) == [(rows, length)] * steps


@pytest.mark.parametrize(
    ("examples", "length", "tokens", "size", "rows"),
    [
        (140, 10, 1360, 1, [70, 70]),
        (10, 100, 400, 1, [3, 3, 4]),
        (3, 100, 50, 1, [1, 1, 1]),  # longer than all tokens
        (100, 10, None, 32, [25] * 4),
        (1, 1, 4096, 1, [1]),
    ],
)
def test_rows_of_open_shapes(examples: int, length: int, tokens: int | None, size: int, rows: list[int]) -> None:
    buckets = token_buckets({"token_ids": np.full(examples, length)}, tokens, size)
    plan = token_plan(buckets, seed=0, epoch=0)
    assert sorted(plan.rows.tolist()) == rows == sorted(map(len, batches(plan)))
    assert set(plan.lengths["token_ids"].tolist()) == {length} and buckets.shapes == len({*rows})


@FORMS
def test_few_batches_have_few_buckets(static_shapes: bool) -> None:
    assert len(token_buckets(COUNTS, 10**7, 1, static_shapes=static_shapes).steps) == 1
    assert 1 < len(token_buckets(COUNTS, None, 5000, static_shapes=static_shapes).steps) <= 8


def test_padding_ends_where_the_model_does() -> None:
    counts = {"token_ids": np.array([3, 3, 30, 0] * 9)}
    buckets = token_buckets(counts, 28, 1, max_lengths={"token_ids": 20})
    assert buckets.lengths["token_ids"].tolist() == [1, 3, 20] and buckets.lengths["token_ids"].dtype == np.int32
    assert buckets.useful == 1 and buckets.steps.tolist() == [1, 2, 9]
    fixed = token_buckets(counts, 28, 1, max_lengths={"token_ids": 20}, static_shapes=True)
    assert fixed.rows.tolist() == [16, 8, 1] and fixed.steps.tolist() == [1, 3, 9]
    assert fixed.useful == pytest.approx((9 * 1 + 18 * 3 + 9 * 20) / (16 * 1 + 3 * 8 * 3 + 9 * 1 * 20))


def test_thousands_of_lengths_are_cut_in_steps() -> None:
    counts = np.arange(1, 4097)
    buckets = token_buckets({"token_ids": counts}, 8192, 1)
    found = buckets.lengths["token_ids"]
    assert len(found) == MAX_BUCKETS and (counts <= found[buckets.members]).all()
    assert (found % 4 == 0).all() and found[-1] == 4096
