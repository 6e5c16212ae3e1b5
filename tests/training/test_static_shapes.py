"""Batches of a few fixed shapes train as open ones of the same rows do."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from textapp.arrays import IGNORED
from textapp.batches.pipeline import dataset
from textapp.batches.sequences import TokenBatches
from textapp.batches.token_buckets import TokenPlan
from textapp.catalog import parse_config
from textapp.models import GeneratorSettings, build_generator
from textapp.objectives.language import make_loss
from textapp.training import trainer
from textapp.training.loop import Hooks, TrainingLoop
from textapp.training.trainer import Interrupted, make_loop, train_model

sys.path.insert(0, str(Path(__file__).parent))
import tiny  # noqa: E402

STRATEGY = tf.distribute.get_strategy()
SIZES = {
    "transformer": {"hidden_dim": 16, "num_layers": 1, "num_heads": 2, "positions": "sinusoidal", "activation": "relu"},
    "lstm": {"embedding_dim": 8, "units": [8]},
}
GENERATOR = np.random.default_rng(0)


def some(*lengths: int) -> list[np.ndarray]:
    return [GENERATOR.integers(4, 30, length).astype(np.int32) for length in lengths]


SOURCES, TARGETS = some(*GENERATOR.integers(1, 16, 203)), some(*GENERATOR.integers(1, 12, 203))
INPUTS = [np.concatenate([[2], row[:-1]]).astype(np.int32) for row in TARGETS]


def pairs() -> TokenBatches:
    features = {"token_ids": SOURCES, "target_ids": INPUTS}
    return TokenBatches(features, TARGETS, pad_id=0, batch_tokens=96, seed=3, static_shapes=True)


def open_shapes(plan: TokenPlan) -> TokenPlan:
    """The same rows, each batch with no more rows and tokens than it needs."""
    parts = np.split(plan.indices, plan.offsets[1:-1])
    lengths = {
        name: np.array([max(len(rows[i]) for i in part) for part in parts], np.int32)
        for name, rows in (("token_ids", SOURCES), ("target_ids", INPUTS))
    }
    return plan._replace(lengths=lengths, rows=np.diff(plan.offsets).astype(np.int32))


def losses(architecture: str, source: TokenBatches, plan: TokenPlan) -> list[float]:
    keras.utils.set_random_seed(5)
    raw = {"architecture": architecture, **SIZES[architecture], "tie_embeddings": True, "dropout": 0.0}
    config = {"task": "translation", "run": "r", "data": {"train": {"source": "a", "target": "b"}}, "model": raw}
    settings = GeneratorSettings(30, pad_id=0, start_id=2, end_id=3, max_length=16, max_source_length=16)
    model = build_generator(parse_config(config).model, settings)
    # `adam` updates the rows of an embedding that a batch used, with those of its padding.
    loop = make_loop(model, make_loss(0.1), tiny.make_config(), plan.steps, STRATEGY, Hooks())
    return loop.steps(source.distributed(plan, STRATEGY), tf.constant(plan.steps)).numpy().tolist()


@pytest.mark.parametrize("architecture", SIZES)
def test_a_translator_has_the_losses_of_open_shapes(architecture: str) -> None:
    source = pairs()
    plan = source.plan(0)
    tight = open_shapes(plan)
    assert (plan.rows > tight.rows).any()
    assert all((plan.lengths[name] > tight.lengths[name]).any() for name in plan.lengths)
    found = losses(architecture, source, plan)
    assert len(found) == plan.steps >= 20 and found[-1] < found[0]
    assert found == pytest.approx(losses(architecture, source, tight), abs=1e-4)


def test_rows_that_fill_have_no_weight_and_every_pair_counts_once_in_each_shape_s_rows() -> None:
    source = pairs()
    plan = source.plan(1)
    seen: dict[tuple[int, ...], int] = {}
    for batch in source.distributed(plan, STRATEGY):
        kept = batch["weights"].numpy() > 0
        assert batch["weights"].numpy()[kept].sum() == batch["total_weight"]
        assert batch["features"]["target_ids"].shape == batch["targets"].shape
        for row in np.where(batch["targets"].numpy() == IGNORED, 0, batch["targets"].numpy())[kept]:
            key = tuple(np.trim_zeros(row, "b").tolist())
            seen[key] = seen.get(key, 0) + 1
    expected: dict[tuple[int, ...], int] = {}
    for row in TARGETS:
        expected[tuple(row.tolist())] = expected.get(tuple(row.tolist()), 0) + 1
    assert seen == expected


def test_three_replicas_have_equal_rows_of_the_same_shapes() -> None:
    source = pairs()
    plan = source.plan(0)
    parts = list(dataset(source.maker(plan), plan.steps, 0, replicas=3, first=0, local=3))
    for step, rows in enumerate(plan.rows):
        shares = parts[3 * step : 3 * step + 3]
        assert [len(share["weights"]) for share in shares] == [-(-rows // 3)] * 3
        assert sum(float(tf.reduce_sum(share["weights"])) for share in shares) == float(shares[0]["total_weight"])


def test_the_step_is_traced_once_for_each_shape_and_a_resumed_training_ends_with_equal_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainer, "STEPS_BETWEEN_CHECKS", 2)
    steps = []
    monkeypatch.setattr(TrainingLoop, "_steps", lambda *_: pytest.fail("open shapes"))
    traced = TrainingLoop._loss_and_gradients

    def counted(loop: TrainingLoop, batch: Any) -> Any:
        steps.append(batch["features"]["token_ids"].shape.as_list())
        return traced(loop, batch)

    monkeypatch.setattr(TrainingLoop, "_loss_and_gradients", counted)

    def run(folder: str, **more: Any) -> list[np.ndarray]:
        model = tiny.make_model(0.3)
        own = tiny.arguments(tmp_path / folder) | {"loss": tiny.first_target_loss} | more
        train_model(model, tiny.make_token_batches(static_shapes=True), **own)
        return [variable.numpy() for variable in model.variables]

    plan = tiny.make_token_batches(static_shapes=True).plan(0)
    shapes = set(zip(plan.rows.tolist(), plan.lengths["token_ids"].tolist(), strict=True))
    whole = run("whole")
    assert sorted(map(tuple, steps)) == sorted(shapes) and 1 < len(shapes) < plan.steps
    stop = tiny.Quiet(lambda count: os.kill(os.getpid(), signal.SIGTERM) if count == 4 else None)
    with pytest.raises(Interrupted):
        run("cut", progress=stop)
    for one, other in zip(run("cut"), whole, strict=True):
        np.testing.assert_array_equal(one, other)
