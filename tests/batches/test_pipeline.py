from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from textapp.batches.buckets import BatchPlan
from textapp.batches.pipeline import BucketBatches, Examples, dataset, evaluation_batches

ROWS = [[5], [6, 7, 8], [9, 10, 11, 12, 13], [3, 4]]


def batches(pad_id: int = 0) -> BucketBatches:
    rows = [np.array(row, np.int32) for row in ROWS]
    segments = [np.ones(len(row), np.int32) for row in ROWS]
    weights = np.array([1, 2, 3, 4], np.float32)
    features = {"token_ids": rows, "segment_ids": segments}
    return BucketBatches(Examples(features, np.arange(4, dtype=np.int32), weights), 4, pad_id, 2, seed=0)


PLAN = BatchPlan(np.array([4, 2], np.int32), np.array([[1, 2], [3, -1]], np.int32))


def test_a_batch_is_padded_cut_and_weighed() -> None:
    first, second = batches(pad_id=1).distributed(PLAN, tf.distribute.get_strategy())
    assert first["features"]["token_ids"].numpy().tolist() == [[6, 7, 8, 1], [9, 10, 11, 12]]
    assert first["features"]["segment_ids"].numpy().tolist() == [[1, 1, 1, 0], [1, 1, 1, 1]]
    assert first["targets"].numpy().tolist() == [1, 2]
    assert first["weights"].numpy().tolist() == [2, 3]
    assert float(first["total_weight"]) == 5
    # A row that fills repeats a real one and weighs nothing.
    assert second["features"]["token_ids"].numpy().tolist() == [[3, 4], [3, 4]]
    assert second["weights"].numpy().tolist() == [4, 0]
    assert float(second["total_weight"]) == 4
    assert PLAN.examples == 3


def test_it_starts_from_any_step() -> None:
    rng = np.random.default_rng(0)
    rows = [rng.integers(2, 99, rng.integers(1, 20)).astype(np.int32) for _ in range(50)]
    many = BucketBatches(Examples({"token_ids": rows}, np.arange(50, dtype=np.int32)), 20, 0, 8, seed=0)
    plan, strategy = many.plan(0), tf.distribute.get_strategy()
    whole = [batch["targets"].numpy().tolist() for batch in many.distributed(plan, strategy)]
    rest = [batch["targets"].numpy().tolist() for batch in many.distributed(plan, strategy, start=3)]
    assert len(whole) == 7
    assert rest == whole[3:]


@pytest.mark.parametrize(("static_shapes", "least"), [(False, 95), (True, 85)])
def test_reviews_are_batched_with_little_padding(caplog, static_shapes: bool, least: float) -> None:
    dice = np.random.default_rng(1)
    counts = np.clip(dice.lognormal(4.2, 0.8, 6000), 3, 600).astype(int)  # 512 are kept of each
    labels = ((dice.random(6000) < 0.6) == (counts > 70)).astype(np.int32)  # long texts have one a little more often
    examples = Examples({"token_ids": [np.ones(n, np.int32) for n in counts]}, labels)
    source = BucketBatches(examples, 512, 0, 16, seed=0, static_shapes=static_shapes)
    plan = source.plan(0)
    useful = 100 * np.minimum(counts, 512).sum() / (plan.lengths.sum() * 16)
    assert plan.steps == 375 and plan.lengths.max() == 512 and useful > least
    assert source.many_shapes is not static_shapes and (source.many_shapes or len(set(plan.lengths)) <= 12)
    with caplog.at_level("INFO", "textapp"):
        source.log_shapes()
    assert f"batches: {len(set(plan.lengths))} shapes, {useful:.1f} % of their tokens are no padding" in caplog.text


@pytest.mark.parametrize("static_shapes", [False, True])
def test_where_the_length_tells_the_label_batches_have_both(caplog, static_shapes: bool) -> None:
    dice = np.random.default_rng(1)
    labels = dice.integers(0, 2, 800).astype(np.int32)
    counts = np.where(labels, dice.integers(40, 90, 800), dice.integers(3, 9, 800))  # bodies and titles
    examples = Examples({"token_ids": [np.ones(n, np.int32) for n in counts]}, labels)
    source = BucketBatches(examples, 128, 0, 16, seed=0, static_shapes=static_shapes)
    plan = source.plan(0)
    assert all(0 < labels[row].sum() < 16 for row in plan.indices)
    assert plan.lengths.tolist() == [counts.max() if static_shapes else counts[row].max() for row in plan.indices]
    with caplog.at_level("INFO", "textapp"):
        source.log_shapes()
    assert "of texts of all lengths, as their length tells much of their label" in caplog.text


def test_workers_take_consecutive_rows_of_the_same_batch() -> None:
    make = batches().maker(PLAN)
    for first, expected in ((0, [1, 3]), (1, [2, 3])):
        rows = dataset(make, 2, 0, replicas=2, first=first, local=1)
        assert [int(batch["targets"][0]) for batch in rows] == expected
    both = list(dataset(make, 2, 1, replicas=2, first=0, local=2))
    assert [float(batch["weights"][0]) for batch in both] == [4, 0]
    assert [float(batch["total_weight"]) for batch in both] == [4, 4]


def test_evaluation_batches_cover_all_and_keep_the_numbers() -> None:
    batches = list(evaluation_batches({"token_ids": ROWS}, [4, 8], pad_id=0, batch_size=3))
    numbers = [int(i) for chosen, _ in batches for i in chosen]
    assert sorted(numbers) == [0, 1, 2, 3]
    assert batches[0][1]["token_ids"].tolist() == [[5, 0, 0, 0], [3, 4, 0, 0], [6, 7, 8, 0]]
    assert batches[1][1]["token_ids"].tolist() == [[9, 10, 11, 12, 13, 0, 0, 0]]
