from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from textapp.batches.pipeline import dataset
from textapp.batches.sequences import IGNORED, PackedBatches, StreamBatches, TokenBatches
from textapp.errors import DataError

STRATEGY = tf.distribute.get_strategy()


def rows(*lists: list[int]) -> list[np.ndarray]:
    return [np.array(row, np.int32) for row in lists]


def pairs(**options) -> TokenBatches:
    sources = rows([5, 3], [6, 7, 3], [4] * 9, [9, 3])
    return TokenBatches(
        {"token_ids": sources, "target_ids": rows([2, 4], [2, 5, 6], [2, 8], [2])},
        rows([4, 3], [5, 6, 3], [8, 3], [3]),
        pad_id=0,
        **options,
    )


def test_each_side_has_its_own_length_and_a_row_weighs_its_targets() -> None:
    source = pairs(batch_tokens=200)
    (batch,) = source.distributed(source.plan(0), STRATEGY)
    assert batch["features"]["token_ids"].shape == (4, 9)
    assert batch["features"]["target_ids"].shape == batch["targets"].shape == (4, 3)
    assert sorted(batch["weights"].numpy()) == [1, 2, 2, 3] and float(batch["total_weight"]) == 8
    row = batch["weights"].numpy().tolist().index(3)
    assert batch["features"]["token_ids"][row].numpy().tolist() == [6, 7, 3] + [0] * 6
    assert batch["features"]["target_ids"][row].numpy().tolist() == [2, 5, 6]
    assert batch["targets"][row].numpy().tolist() == [5, 6, 3]
    row = batch["weights"].numpy().tolist().index(1)
    assert batch["targets"][row].numpy().tolist() == [3, IGNORED, IGNORED]


def test_three_replicas_share_a_batch_of_four_rows() -> None:
    source = pairs(batch_tokens=200)
    plan = source.plan(0)
    parts = list(dataset(source.maker(plan), plan.steps, 0, replicas=3, first=0, local=3))
    assert [len(part["weights"]) for part in parts] == [2, 2, 2]
    assert sorted(np.concatenate([part["weights"] for part in parts])) == [0, 0, 1, 2, 2, 3]
    assert {float(part["total_weight"]) for part in parts} == {8}


def test_token_batches_start_from_any_step() -> None:
    source = pairs(batch_tokens=16)
    plan = source.plan(2)
    whole = [batch["targets"].numpy().tolist() for batch in source.distributed(plan, STRATEGY)]
    assert len(whole) == 3
    rest = source.distributed(plan, STRATEGY, start=1)
    assert [batch["targets"].numpy().tolist() for batch in rest] == whole[1:]
    assert rest.element_spec["targets"].shape.as_list() == [None, None]


def test_packed_rows_hold_whole_documents_and_fill_without_weight() -> None:
    inputs, targets = rows([2, 5, 6], [2, 7], [2, 8, 9, 4]), rows([5, 6, 3], [IGNORED, 3], [8, 9, 4, 3])
    source = PackedBatches(inputs, targets, pad_id=0, length=6, batch_size=3, seed=0)
    (batch,) = source.distributed(source.plan(0), STRATEGY)
    weights = batch["weights"].numpy().tolist()
    assert sorted(weights) == [0, 3, 5] and float(batch["total_weight"]) == 8
    row = weights.index(5)
    assert batch["features"]["token_ids"][row].numpy().tolist() == [2, 8, 9, 4, 2, 7]
    assert batch["features"]["segment_ids"][row].numpy().tolist() == [1, 1, 1, 1, 2, 2]
    assert batch["targets"][row].numpy().tolist() == [8, 9, 4, 3, IGNORED, 3]
    row = weights.index(3)
    assert batch["targets"][row].numpy().tolist() == [5, 6, 3] + [IGNORED] * 3
    assert (batch["features"]["segment_ids"].numpy().max(axis=1) > 0).all()


def test_a_stream_gives_each_token_the_next_one() -> None:
    source = StreamBatches(np.arange(100), length=8, batch_size=4, seed=0)
    batches = list(source.distributed(source.plan(0), STRATEGY))
    assert len(batches) == 3 and [float(batch["total_weight"]) for batch in batches] == [32, 32, 24]
    for batch in batches:
        token_ids = batch["features"]["token_ids"].numpy()
        assert token_ids.shape == (4, 8)
        assert (batch["targets"].numpy() == token_ids + 1).all() and (np.diff(token_ids) == 1).all()


def test_a_text_shorter_than_a_window_is_refused() -> None:
    with pytest.raises(DataError, match="found 8 tokens, expected more than 8.*lengths"):
        StreamBatches(np.arange(8), length=8, batch_size=4, seed=0)
