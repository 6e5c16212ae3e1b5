from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from textapp.batches.token_buckets import MAX_BUCKETS, TokenBuckets, bucketed_plan, token_buckets
from textapp.batches.tokens import TokenPlan, token_plan

GENERATOR = np.random.default_rng(0)
# As of captions: sources of 4 to 40 tokens, most of 10 to 20, and translations of about the same length.
SOURCES = np.clip(GENERATOR.gamma(9, 1.6, 5000), 4, 40).astype(int)
COUNTS = {"token_ids": SOURCES, "target_ids": np.clip(SOURCES + GENERATOR.normal(0, 2.5, 5000), 3, 56).astype(int)}


def batches(plan: TokenPlan) -> list[np.ndarray]:
    return np.split(plan.indices, plan.offsets[1:-1])


def shapes(plan: TokenPlan) -> list[tuple[int, ...]]:
    return list(zip(plan.rows.tolist(), *(numbers.tolist() for numbers in plan.lengths.values()), strict=True))


def padded(buckets: TokenBuckets) -> int:
    """The tokens of all examples with their padding, without rows that fill."""
    return sum(int(lengths[buckets.members].sum()) for lengths in buckets.lengths.values())


def test_every_example_once_an_epoch_in_batches_of_few_shapes_that_hold_it() -> None:
    buckets = token_buckets(COUNTS, 1024, 1)
    plan = bucketed_plan(buckets, seed=1, epoch=0)
    assert sorted(plan.indices) == list(range(5000)) and plan.examples == 5000
    assert len(set(shapes(plan))) == len(buckets.rows) == MAX_BUCKETS
    assert set(zip(plan.shapes, shapes(plan), strict=True)) == set(enumerate(sorted(set(shapes(plan)))))
    for step, rows in enumerate(batches(plan)):
        assert 0 < len(rows) <= plan.rows[step] and plan.rows[step] % 8 == 0
        assert plan.rows[step] * max(lengths[step] for lengths in plan.lengths.values()) <= 1024
        for name, counts in COUNTS.items():
            assert counts[rows].max() <= plan.lengths[name][step]


def test_a_mix_of_captions_has_little_padding_and_less_than_batches_of_open_shapes() -> None:
    buckets = token_buckets(COUNTS, 1024, 1)
    plan = bucketed_plan(buckets, seed=1, epoch=0)
    used = sum(int((plan.rows * lengths).sum()) for lengths in plan.lengths.values())
    assert buckets.useful == pytest.approx(sum(counts.sum() for counts in COUNTS.values()) / used)
    opened = token_plan(COUNTS, 1024, 1, seed=1, epoch=0)
    more = sum(int((opened.rows * lengths).sum()) for lengths in opened.lengths.values())
    assert buckets.useful > 0.85 and used < 0.93 * more


def test_the_order_depends_on_seed_and_epoch_alone_and_the_steps_stay() -> None:
    buckets = token_buckets(COUNTS, 1024, 1)

    def order(seed: int, epoch: int) -> list[int]:
        return bucketed_plan(buckets, seed, epoch).indices.tolist()

    assert order(1, 0) == order(1, 0)
    assert order(1, 0) != order(1, 1)
    assert order(1, 0) != order(2, 0)
    assert len({bucketed_plan(buckets, 1, epoch).steps for epoch in range(5)}) == 1


def test_no_other_cut_has_less_padding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("textapp.batches.token_buckets.MAX_BUCKETS", 3)
    counts = {"token_ids": GENERATOR.integers(1, 12, 60), "target_ids": GENERATOR.integers(1, 12, 60)}
    longest = np.maximum(*counts.values())
    costs = []
    for ends in combinations(np.unique(longest)[:-1], 2):
        members = np.searchsorted(ends, longest)
        tops = [[numbers[members == i].max() for i in range(3)] for numbers in counts.values()]
        costs.append(int(np.sum(tops, axis=0)[members].sum()))
    buckets = token_buckets(counts, None, 4)
    assert len(buckets.rows) == 3 and padded(buckets) == min(costs) < max(costs)


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
def test_rows(examples: int, length: int, tokens: int | None, size: int, steps: int, rows: int) -> None:
    plan = bucketed_plan(token_buckets({"token_ids": np.full(examples, length)}, tokens, size), seed=0, epoch=0)
    assert shapes(plan) == [(rows, length)] * steps


def test_few_batches_have_few_shapes() -> None:
    assert len(token_buckets(COUNTS, 10**6, 1).rows) == 1
    assert len(token_buckets(COUNTS, None, 625).rows) == 2


def test_padding_ends_where_the_model_does() -> None:
    buckets = token_buckets({"token_ids": np.array([3, 3, 30, 0] * 9)}, 28, 1, max_lengths={"token_ids": 20})
    assert buckets.lengths["token_ids"].tolist() == [3, 20] and buckets.rows.tolist() == [8, 1]
    assert buckets.useful == pytest.approx((7 * 9 + 20 * 9) / (4 * 8 * 3 + 9 * 1 * 20))


def test_thousands_of_lengths_are_cut_in_steps() -> None:
    counts = np.arange(1, 4097)
    buckets = token_buckets({"token_ids": counts}, 8192, 1)
    lengths = buckets.lengths["token_ids"]
    assert len(lengths) == MAX_BUCKETS and (counts <= lengths[buckets.members]).all()
    assert (lengths % 8 == 0).all() and lengths[-1] == 4096
