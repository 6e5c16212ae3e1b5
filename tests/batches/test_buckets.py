from __future__ import annotations

import numpy as np
import pytest

from textapp.batches.buckets import FILL, evaluation_plan, told_by_bucket, training_plan

COUNTS = np.random.default_rng(0).integers(1, 40, 103)
LENGTHS = [8, 16, 32]


def test_every_example_once_and_at_most_one_batch_with_fill() -> None:
    plan = training_plan(COUNTS, LENGTHS, 10, seed=1, epoch=0)
    used = plan.indices[plan.indices != FILL]
    assert sorted(used) == list(range(103))
    assert plan.steps == 11
    assert plan.indices.shape == (11, 10)
    assert ((plan.indices == FILL).any(axis=1)).sum() == 1


def test_a_text_fits_its_bucket_unless_it_is_longer_than_all() -> None:
    plan = training_plan(COUNTS, LENGTHS, 10, seed=1, epoch=0)
    longest = {
        length: [COUNTS[row[row != FILL]].max() for row in plan.indices[plan.lengths == length]] for length in LENGTHS
    }
    assert max(longest[8]) <= 8 < max(longest[16]) <= 16 < max(longest[32]) == COUNTS.max() > 32
    # Short texts stay in short batches, but for what the fill of a batch needs.
    assert (plan.lengths == 8).sum() == (COUNTS <= 8).sum() // 10


def test_the_order_depends_on_seed_and_epoch_alone() -> None:
    def order(seed: int, epoch: int) -> list[int]:
        return training_plan(COUNTS, LENGTHS, 10, seed, epoch).indices.ravel().tolist()

    assert order(1, 0) == order(1, 0)
    assert order(1, 0) != order(1, 1)
    assert order(1, 0) != order(2, 0)


@pytest.mark.parametrize(("counts", "steps"), [([3], 1), ([3, 40], 1), ([40, 40, 40], 2)])
def test_few_examples(counts: list[int], steps: int) -> None:
    plan = training_plan(counts, LENGTHS, 2, seed=0, epoch=0)
    assert plan.steps == steps
    assert sorted(plan.indices[plan.indices != FILL]) == list(range(len(counts)))


def test_the_docstring_example() -> None:
    plan = training_plan([2, 3, 9, 4], [4, 16], 2, seed=3, epoch=0)
    by_length = dict(zip(plan.lengths.tolist(), plan.indices.tolist(), strict=True))
    assert set(by_length) == {4, 16}
    assert 2 in by_length[16]
    assert 2 not in by_length[4]


@pytest.mark.parametrize(
    ("right", "examples", "told", "error"),
    [(1.0, 1000, 1.0, 0.01), (0.9, 4000, 0.53, 0.03), (0.5, 4000, 0.0, 0.01), (0.5, 40, 0.0, 0.15)],
    ids=["each", "nine of ten", "by chance", "few by chance"],
)
def test_how_much_of_a_label_its_bucket_tells(right: float, examples: int, told: float, error: float) -> None:
    """Of a fair coin that is right nine times of ten: 1 less the entropy of 0.9 in bits, 0.469."""
    dice = np.random.default_rng(2)
    labels = dice.integers(0, 2, examples)
    guessed = np.where(dice.random(examples) < right, labels, 1 - labels)
    assert told_by_bucket(labels, 4 * guessed + dice.integers(0, 4, examples)) == pytest.approx(told, abs=error)


def test_of_one_label_there_is_nothing_to_tell() -> None:
    assert told_by_bucket(np.zeros(9, int), np.arange(9)) == 0


def test_evaluation_goes_by_length() -> None:
    plan = evaluation_plan([9, 2, 5, 2], [4, 16], 3)
    assert plan.indices.tolist() == [[1, 3, 2], [0, FILL, FILL]]
    assert plan.lengths.tolist() == [16, 16]
