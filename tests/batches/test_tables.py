"""Rows gathered from disk are those of rows in memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from tests.records.test_shards import ROWS, stored
from textapp.batches.pipeline import BucketBatches, Examples
from textapp.batches.sequences import TokenBatches
from textapp.batches.tables import Targets, make_table
from textapp.records.shards import ManyLabels, ShardColumn, TokenShards, preceded, shard_name, truncated

ARRAYS = [np.array(row, np.int32) for row in ROWS]
FILLS = {"token_ids": 0, "targets": -100}


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> TokenShards:
    return TokenShards.open(stored(tmp_path_factory.mktemp("tables") / "one", [[0], [2], [0], [1]]))


def test_tensorflow_reads_the_shards(shards: TokenShards) -> None:
    """Its reader checks both checksums of each record."""
    files = [str(shards.folder / shard_name(number, 2)) for number in range(2)]
    features = {"token_ids": tf.io.RaggedFeature(tf.int64), "labels": tf.io.FixedLenFeature([1], tf.int64)}
    read = [tf.io.parse_single_example(record, features) for record in tf.data.TFRecordDataset(files)]
    assert [record["token_ids"].numpy().tolist() for record in read] == ROWS
    assert [int(record["labels"][0]) for record in read] == [0, 2, 0, 1]


@pytest.mark.parametrize("length", [1, 3, 6])
def test_rows_are_padded_and_truncated_as_in_memory(shards: TokenShards, length: int) -> None:
    column = shards.column("token_ids")
    rows, lengths = tf.constant([2, 0, 3, 3]), dict.fromkeys(FILLS, tf.constant(length))
    in_memory = make_table({"token_ids": ARRAYS, "targets": preceded(ARRAYS, 1)}, FILLS).gather(rows, lengths)
    on_disk = make_table({"token_ids": column, "targets": preceded(column, 1)}, FILLS).gather(rows, lengths)
    for name in FILLS:
        assert on_disk[name].dtype == tf.int32
        assert on_disk[name].numpy().tolist() == in_memory[name].numpy().tolist()


def test_chosen_and_truncated_rows(shards: TokenShards) -> None:
    column = truncated(shards.column("token_ids"), 2)
    assert isinstance(column, ShardColumn)
    table = make_table({"token_ids": column.taken(np.array([3, 1]))}, FILLS)
    found = table.gather(tf.constant([1, 0]), {"token_ids": tf.constant(3)})
    assert found["token_ids"].numpy().tolist() == [[9, 0, 0], [70000, 2, 0]]


def test_several_labels(tmp_path: Path) -> None:
    several = TokenShards.open(stored(tmp_path / "many", [[0, 2], [], [1], [2]], multiple=True))
    targets = Targets(ManyLabels(several.column("labels"), 3))
    assert targets.gather(tf.constant([1, 0, 3])).numpy().tolist() == [[0, 0, 0], [1, 0, 1], [0, 0, 1]]


def test_every_batch_of_a_resumed_epoch_is_that_of_memory(shards: TokenShards) -> None:
    targets = np.array([0, 2, 0, 1], np.int32)
    strategy = tf.distribute.get_strategy()
    column = shards.column("token_ids")
    for one, other in (
        (
            BucketBatches(Examples({"token_ids": ARRAYS}, targets), 4, 0, 2, seed=3),
            BucketBatches(Examples({"token_ids": column}, shards.targets), 4, 0, 2, seed=3),
        ),
        (
            TokenBatches({"token_ids": ARRAYS, "target_ids": preceded(ARRAYS, 1)}, ARRAYS, 0, batch_size=2, seed=3),
            TokenBatches({"token_ids": column, "target_ids": preceded(column, 1)}, column, 0, batch_size=2, seed=3),
        ),
    ):
        pairs = (source.distributed(source.plan(1), strategy, start=1) for source in (one, other))
        batches = [list(map(_plain, each)) for each in pairs]
        assert batches[0] == batches[1] and len(batches[0]) == one.plan(1).steps - 1
        assert one.plan(0).indices.tolist() != one.plan(1).indices.tolist()


def _plain(batch: dict) -> dict:
    return tf.nest.map_structure(lambda tensor: tensor.numpy().tolist(), batch)
