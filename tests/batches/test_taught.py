"""What a teacher said of each row or token is with it in every batch, whatever the source."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from textapp.arrays import IGNORED
from textapp.batches.pipeline import BucketBatches, Examples
from textapp.batches.sequences import PackedBatches, StreamBatches, TokenBatches
from textapp.batches.taught import TEACHER, TaughtBatches

STRATEGY = tf.distribute.get_strategy()
ROWS = [np.arange(10 * number, 10 * number + 3 + number % 4, dtype=np.int32) for number in range(1, 14)]
FLAT = np.concatenate(ROWS)


def all_batches(source: Any, stored: dict[str, np.ndarray], key: str) -> list[dict[str, Any]]:
    taught = TaughtBatches(source, stored, lambda batch: batch[key])
    assert (taught.batch_size, taught.many_shapes) == (source.batch_size, source.many_shapes)
    return list(taught.distributed(taught.plan(0), STRATEGY))


def test_rows_of_texts_from_a_memory_map(tmp_path: Path) -> None:
    numbers = np.arange(len(ROWS), dtype=np.int32)
    np.save(tmp_path / "said.npy", np.stack([numbers * 2, numbers * 3], axis=1).astype(np.float16))
    stored = {"said": np.load(tmp_path / "said.npy", mmap_mode="r")}
    source = BucketBatches(Examples({"token_ids": ROWS}, numbers), 8, pad_id=0, batch_size=4, seed=1)
    batches = all_batches(source, stored, "rows")
    for batch in batches:
        targets = batch["targets"].numpy()
        assert batch["rows"].numpy().tolist() == targets.tolist()
        assert np.array_equal(batch[TEACHER]["said"].numpy(), np.stack([targets * 2, targets * 3], axis=1))
        assert batch[TEACHER]["said"].dtype == tf.float16 and batch[TEACHER]["said"].shape == (4, 2)
    assert len(batches) == 4


@pytest.mark.parametrize(
    "source",
    [
        TokenBatches({"token_ids": ROWS}, ROWS, pad_id=0, batch_size=4),
        PackedBatches(ROWS, ROWS, pad_id=0, length=8, batch_size=3, seed=1),
        StreamBatches(FLAT, length=8, batch_size=3, seed=1),
    ],
    ids=["rows", "packed", "stream"],
)
def test_places_of_tokens(source: Any) -> None:
    """Each place has the token at it: in a stream that is the input, whose target is the next one."""
    batches, seen = all_batches(source, {"said": FLAT}, "positions"), 0
    for batch in batches:
        said, positions = batch[TEACHER]["said"].numpy(), batch["positions"].numpy()
        assert said.shape == positions.shape == batch["targets"].shape
        counted = batch["targets"].numpy() != IGNORED
        assert np.array_equal(counted, positions >= 0)
        assert np.array_equal(said[counted], batch["features"]["token_ids"].numpy()[counted])
        seen += int(counted[batch["weights"].numpy() > 0].sum())
    assert seen == (len(FLAT) if not isinstance(source, StreamBatches) else batches[0]["total_weight"] * len(batches))
