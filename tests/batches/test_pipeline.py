from __future__ import annotations

import numpy as np
import tensorflow as tf

from textapp.batches.buckets import BatchPlan, training_plan
from textapp.batches.pipeline import Examples, Pipeline, evaluation_batches, padded

ROWS = [[5], [6, 7, 8], [9, 10, 11, 12, 13], [3, 4]]


def examples() -> Examples:
    rows = [np.array(row, np.int32) for row in ROWS]
    segments = [np.ones(len(row), np.int32) for row in ROWS]
    weights = np.array([1, 2, 3, 4], np.float32)
    return Examples({"token_ids": rows, "segment_ids": segments}, np.arange(4, dtype=np.int32), weights)


PLAN = BatchPlan(np.array([4, 2], np.int32), np.array([[1, 2], [3, -1]], np.int32))


def test_a_batch_is_padded_cut_and_weighed() -> None:
    first, second = Pipeline(examples(), pad_id=1).distributed(PLAN, tf.distribute.get_strategy())
    assert first["features"]["token_ids"].numpy().tolist() == [[6, 7, 8, 1], [9, 10, 11, 12]]
    assert first["features"]["segment_ids"].numpy().tolist() == [[1, 1, 1, 0], [1, 1, 1, 1]]
    assert first["targets"].numpy().tolist() == [1, 2]
    assert first["weights"].numpy().tolist() == [2, 3]
    assert float(first["total_weight"]) == 5
    # A row that fills repeats a real one and weighs nothing.
    assert second["features"]["token_ids"].numpy().tolist() == [[3, 4], [3, 4]]
    assert second["weights"].numpy().tolist() == [4, 0]
    assert float(second["total_weight"]) == 4


def test_it_starts_from_any_step() -> None:
    rng = np.random.default_rng(0)
    many = Examples(
        {"token_ids": [rng.integers(2, 99, rng.integers(1, 20)).astype(np.int32) for _ in range(50)]},
        np.arange(50, dtype=np.int32),
    )
    plan = training_plan(many.counts, [8, 20], 8, seed=0, epoch=0)
    pipeline, strategy = Pipeline(many, 0), tf.distribute.get_strategy()
    whole = [batch["targets"].numpy().tolist() for batch in pipeline.distributed(plan, strategy)]
    rest = [batch["targets"].numpy().tolist() for batch in pipeline.distributed(plan, strategy, start=3)]
    assert len(whole) == 7
    assert rest == whole[3:]


def test_workers_take_consecutive_rows_of_the_same_batch() -> None:
    pipeline = Pipeline(examples(), pad_id=0)
    for first, expected in ((0, [1, 3]), (1, [2, 3])):
        rows = pipeline._dataset(PLAN, 0, replicas=2, first=first, local=1)
        assert [int(batch["targets"][0]) for batch in rows] == expected
    both = pipeline._dataset(PLAN, 1, replicas=2, first=0, local=2)
    assert [float(batch["weights"][0]) for batch in both] == [4, 0]
    assert [float(batch["total_weight"]) for batch in both] == [4, 4]


def test_evaluation_batches_cover_all_and_keep_the_numbers() -> None:
    batches = list(evaluation_batches({"token_ids": ROWS}, [4, 8], pad_id=0, batch_size=3))
    numbers = [int(i) for chosen, _ in batches for i in chosen]
    assert sorted(numbers) == [0, 1, 2, 3]
    assert batches[0][1]["token_ids"].tolist() == [[5, 0, 0, 0], [3, 4, 0, 0], [6, 7, 8, 0]]
    assert batches[1][1]["token_ids"].tolist() == [[9, 10, 11, 12, 13, 0, 0, 0]]


def test_padded() -> None:
    assert padded([[5, 6], [7, 8, 9], []], 2, 1).tolist() == [[5, 6], [7, 8], [1, 1]]
