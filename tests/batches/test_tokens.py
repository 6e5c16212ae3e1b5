from __future__ import annotations

import numpy as np
import pytest

from textapp.batches.tokens import rounded_up, token_plan

GENERATOR = np.random.default_rng(0)
COUNTS = {"token_ids": GENERATOR.integers(1, 40, 203), "target_ids": GENERATOR.integers(1, 60, 203)}


def batches(plan) -> list[np.ndarray]:
    return np.split(plan.indices, plan.offsets[1:-1])


def test_every_example_once_within_the_tokens() -> None:
    plan = token_plan(COUNTS, 256, 1, seed=1, epoch=0)
    assert sorted(plan.indices) == list(range(203))
    assert plan.examples == 203 and plan.steps == len(batches(plan))
    for step, rows in enumerate(batches(plan)):
        for name, counts in COUNTS.items():
            assert plan.lengths[name][step] == rounded_up(counts[rows]).max()
            assert len(rows) * plan.lengths[name][step] <= 256


def test_batches_are_full_but_where_the_lengths_change() -> None:
    plan = token_plan(COUNTS, 256, 1, seed=1, epoch=0)
    used = sum(max(plan.lengths[name][step] for name in COUNTS) * len(rows) for step, rows in enumerate(batches(plan)))
    assert used > 0.85 * 256 * plan.steps


def test_the_order_depends_on_seed_and_epoch_alone_and_the_steps_stay() -> None:
    def order(seed: int, epoch: int) -> list[int]:
        return token_plan(COUNTS, 256, 1, seed, epoch).indices.tolist()

    assert order(1, 0) == order(1, 0)
    assert order(1, 0) != order(1, 1)
    assert order(1, 0) != order(2, 0)
    assert len({token_plan(COUNTS, 256, 1, 1, epoch).steps for epoch in range(5)}) == 1


@pytest.mark.parametrize(("tokens", "size", "expected"), [(24, 9, [1, 3]), (None, 3, [1, 3]), (8, 9, [1, 1, 1, 1])])
def test_limits(tokens: int | None, size: int, expected: list[int]) -> None:
    """The example of the docstring; rows that count instead; a text longer than all tokens stands alone."""
    plan = token_plan({"token_ids": np.array([3, 20, 5, 7])}, tokens, size, seed=0, epoch=0)
    assert sorted(map(len, batches(plan))) == expected


def test_padding_ends_where_the_model_does() -> None:
    """A context of 20 tokens has 20 positions: the longest row is not padded to 24."""
    plan = token_plan({"token_ids": np.array([3, 20, 5, 7])}, 24, 9, seed=0, epoch=0, max_lengths={"token_ids": 20})
    assert sorted(plan.lengths["token_ids"].tolist()) == [8, 20] and plan.lengths["token_ids"].dtype == np.int32


def test_rounded_up() -> None:
    assert rounded_up(np.array([0, 8, 9])).tolist() == [8, 8, 16]
