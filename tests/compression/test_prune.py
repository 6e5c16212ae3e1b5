"""Pruning: how many zeros, where, and that they stay through averages, stops and files."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from textapp.compression.prune import make_schedule
from textapp.compression.tfmot import LEGACY, tfmot
from textapp.errors import ConfigError
from textapp.models.saving import load_model
from textapp.training import trainer
from textapp.training.trainer import Interrupted

sys.path.insert(0, str(Path(__file__).parent))
import small  # noqa: E402


def zeros(model: keras.Model, step) -> dict[str, int]:
    return {name: int((view == 0).sum()) for name, view in small.views(model, step).items()}


@pytest.mark.parametrize("architecture", small.MODELS)
def test_every_kernel_has_its_share_of_zeros(tmp_path: Path, architecture: str) -> None:
    data, step = small.prepared(tmp_path, architecture), small.step_of(method="prune", sparsity=0.75)
    begun = small.start(data)
    model, history = small.compressed(tmp_path, data, step, begun.get_weights())
    for name, view in small.views(model, step).items():
        assert (view == 0).sum() == view.size - round(view.size * 0.25), name
    assert np.all(model.get_layer("encoder").get_layer("token_embedding").embeddings.numpy() != 0)
    assert history.best["epoch"] > 2  # the ramp ends after two of four epochs and one update
    model.save(tmp_path / "model.keras")
    assert zeros(load_model(tmp_path / "model.keras"), step) == zeros(model, step)


def test_weights_that_are_large_stay(tmp_path: Path) -> None:
    """With next to no learning the zeros are where the magnitudes were smallest."""
    data = small.prepared(tmp_path, "mlp", learning_rate=1e-7, optimizer="sgd")
    step = small.step_of(method="prune", sparsity=0.5, layers=["hidden_0"])
    begun = small.start(data)
    before = begun.get_layer("hidden_0").kernel.numpy()
    model, _ = small.compressed(tmp_path, data, step, begun.get_weights())
    kept = np.abs(before) > np.median(np.abs(before))
    assert np.array_equal(model.get_layer("hidden_0").kernel.numpy() != 0, kept)
    assert np.all(model.get_layer("logits").kernel.numpy() != 0)


@pytest.mark.parametrize("architecture", small.MODELS)
def test_two_of_four_inputs_are_zero_in_every_kernel(tmp_path: Path, architecture: str) -> None:
    data, step = small.prepared(tmp_path, architecture), small.step_of(method="prune", m_by_n=[2, 4])
    model, _ = small.compressed(tmp_path, data, step, small.start(data).get_weights())
    for name, view in small.views(model, step).items():
        whole = view[: len(view) // 4 * 4].reshape(-1, 4, view.shape[1])
        assert np.all((whole == 0).sum(axis=1) == 2), name
        assert np.all(view[len(whole) * 4 :] != 0)  # of 5 or 6 inputs the last 1 or 2 fill no group


def test_blocks_become_zero_as_a_whole(tmp_path: Path) -> None:
    data = small.prepared(tmp_path, "cnn")
    step = small.step_of(method="prune", sparsity=0.5, block_size=[4, 2], schedule="constant")
    model, _ = small.compressed(tmp_path, data, step, small.start(data).get_weights())
    view = small.views(model, step)["windows/kernel_3"]  # [24, 6]: 6 by 3 blocks
    empty = (view == 0).reshape(6, 4, 3, 2).sum(axis=(1, 3))
    assert sorted(empty.ravel()) == [0] * 9 + [8] * 9


def test_an_average_of_epochs_has_the_same_zeros(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = small.prepared(tmp_path, "cnn", epochs=6, average_checkpoints=6, monitor="loss")
    step = small.step_of(method="prune", sparsity=0.75)
    monkeypatch.setattr(trainer.History, "rank", lambda self, row: (row.get("epoch", -1), 0))
    model, history = small.compressed(tmp_path, data, step, small.start(data).get_weights())
    assert history.average["chosen"] and history.average["epochs"] == 3  # of six, those after the ramp
    for view in small.views(model, step).values():
        assert (view == 0).sum() == view.size - round(view.size * 0.25)


def test_a_stop_in_the_ramp_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopped in the second epoch, it goes on with the masks and the step of the schedule."""
    step = small.step_of(method="prune", sparsity=0.75)
    data = small.prepared(tmp_path, "cnn")
    weights = small.start(data).get_weights()
    folders = [tmp_path / "whole", tmp_path / "stopped"]
    for folder in folders:
        folder.mkdir()
    whole, _ = small.compressed(folders[0], data, step, weights)
    monkeypatch.setattr(trainer, "STEPS_BETWEEN_CHECKS", 3)
    with monkeypatch.context() as stopping:
        stopping.setattr(trainer._Stops, "due", lambda self, step: step == 11)
        stopping.setattr(trainer._Stops, "signal", lambda self, step: trainer.signal.SIGTERM if step == 11 else 0)
        with pytest.raises(Interrupted, match="in epoch 2 after 3 steps"):
            small.compressed(folders[1], data, step, weights)
    resumed, _ = small.compressed(folders[1], data, step, weights)
    for one, two in zip(whole.get_weights(), resumed.get_weights(), strict=True):
        assert np.array_equal(one, two)


def test_the_schedule_ends_within_the_training() -> None:
    polynomial = small.step_of(method="prune", sparsity=0.8)
    schedule, end = make_schedule(polynomial, 1000)
    assert (end, schedule.frequency, schedule.begin_step) == (501, 5, 1)
    assert float(schedule(1)[1]) == 0 and float(schedule(501)[1]) == pytest.approx(0.8)
    assert float(schedule(251)[1]) == pytest.approx(0.7)  # 0.8 * (1 - 0.5 ** 3)
    assert bool(schedule(501)[0]) and not bool(schedule(506)[0])
    constant, end = make_schedule(small.step_of(method="prune", sparsity=0.8, schedule="constant", ramp=0.9), 50)
    assert end == 46 and float(constant(1)[1]) == pytest.approx(0.8)
    assert make_schedule(small.step_of(method="prune", m_by_n=[2, 4]), 50)[1] == 1
    with pytest.raises(ConfigError, match="found a training of 1 update, expected at least 2: raise epochs"):
        make_schedule(polynomial, 1)


def test_the_toolkit_leaves_keras_as_it_is() -> None:
    tfmot("sparsity.keras.pruning_impl")
    assert LEGACY not in os.environ
    code = f"import os; os.environ['{LEGACY}'] = '0'; from textapp.compression.tfmot import tfmot;" \
        f"tfmot('sparsity.keras.pruning_impl'); print(os.environ['{LEGACY}'])"  # fmt: skip
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(__file__).parents[2])
    assert done.stdout.strip() == "0", done.stderr
