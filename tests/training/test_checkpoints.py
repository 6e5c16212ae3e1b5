from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest

from textapp.errors import ArtifactError
from textapp.training.checkpoints import BEST, LAST, PREVIOUS, Checkpoints


def made(folder: Path, units: int = 3, **options) -> tuple[keras.Model, keras.optimizers.Optimizer, Checkpoints]:
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(units), keras.layers.Dropout(0.5)])
    optimizer = keras.optimizers.Adam()
    optimizer.build(model.trainable_variables)
    return model, optimizer, Checkpoints(folder, model, optimizer, **options)


def values(*owners) -> list[list]:
    return [variable.numpy().tolist() for owner in owners for variable in owner.variables]


def test_everything_comes_back(tmp_path: Path) -> None:
    hook = keras.Variable([1.0, 2.0], trainable=False)
    model, optimizer, checkpoints = made(tmp_path, hook_variables=[hook])
    model(np.ones((1, 2)), training=True)  # moves the seed of the dropout
    optimizer.apply([keras.ops.ones(v.shape) for v in model.trainable_variables])
    expected = values(model, optimizer)
    assert any("seed" in variable.path for variable in model.variables)
    checkpoints.save({"step": 7, "history": [{"loss": 0.5}]})

    other_hook = keras.Variable([0.0, 0.0], trainable=False)
    other, other_optimizer, checkpoints = made(tmp_path, hook_variables=[other_hook])
    assert checkpoints.restore() == {"step": 7, "history": [{"loss": 0.5}]}
    assert values(other, other_optimizer) == expected
    assert other_hook.numpy().tolist() == [1, 2]


def test_best_weights_leave_the_optimizer(tmp_path: Path) -> None:
    model, optimizer, checkpoints = made(tmp_path)
    best = values(model)
    checkpoints.save_best()
    optimizer.apply([keras.ops.ones(v.shape) for v in model.trainable_variables])
    state = values(optimizer)
    checkpoints.restore_best()
    assert values(model) == best
    assert values(optimizer) == state


def test_nothing_saved_is_none_and_others_than_the_chief_write_nothing(tmp_path: Path) -> None:
    _, _, checkpoints = made(tmp_path / "new", writes=False)
    checkpoints.save({})
    checkpoints.save_best()
    checkpoints.restore_best()
    assert checkpoints.restore() is None
    assert not (tmp_path / "new").exists()


def test_others_than_the_chief_go_on_from_the_last_state_but_leave_the_best_alone(tmp_path: Path) -> None:
    model, _, checkpoints = made(tmp_path)
    model.layers[0].kernel.assign(np.ones((2, 3)))
    checkpoints.save({"step": 3})
    checkpoints.save_best()
    worker, _, checkpoints = made(tmp_path, writes=False)
    before = values(worker)
    checkpoints.restore_best()
    assert values(worker) == before
    assert checkpoints.restore() == {"step": 3} and values(worker) == values(model)


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path, monkeypatch) -> None:
    _, _, checkpoints = made(tmp_path)
    checkpoints.save({"step": 1})

    def full(file, **_: object) -> None:
        file.write(b"half")
        raise OSError("no space left")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(OSError, match="no space"):
        checkpoints.save({"step": 2})
    assert checkpoints.restore() == {"step": 1}
    assert sorted(path.name for path in tmp_path.iterdir()) == [LAST, PREVIOUS]


def test_another_model_is_named(tmp_path: Path) -> None:
    checkpoints = made(tmp_path)[2]
    checkpoints.save({})
    checkpoints.save_best()
    checkpoints.save_epoch(1, 1)
    other = made(tmp_path, units=4)[2]
    for name, read in (
        (LAST, other.restore), (BEST, other.restore_best), ("epoch_1.npz", lambda: other.average_epochs(1, 1))
    ):  # fmt: skip
        found = rf"{name}: found shape \[2, 3\] of float32 for .*kernel, expected \[2, 4\], so .* of another model"
        with pytest.raises(ArtifactError, match=found):
            read()
    with pytest.raises(ArtifactError, match="found 9 variables, expected 10"):
        made(tmp_path, hook_variables=[keras.Variable([0.0])])[2].restore()


@pytest.mark.parametrize("length", [0, 1, 10, 500, -1], ids=str)
def test_a_damaged_file_is_named_with_its_mend(tmp_path: Path, length: int) -> None:
    checkpoints = made(tmp_path)[2]
    checkpoints.save({})
    checkpoints.save_best()
    checkpoints.save_epoch(1, 1)
    for name in (LAST, BEST, "epoch_1.npz"):
        (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:length])
    with pytest.raises(ArtifactError, match=f"{LAST}: damaged.*--overwrite to train anew"):
        checkpoints.restore()
    with pytest.raises(ArtifactError, match=f"{BEST}: damaged.*the best weights of this training are lost"):
        checkpoints.restore_best()
    for reads in (checkpoints.average_epochs, checkpoints.check_epochs):
        with pytest.raises(ArtifactError, match="epoch_1.npz: damaged.*delete it, then the weights of the other"):
            reads(1, 1)


def cut(content: bytes) -> bytes:
    return content[: len(content) // 2]


def flipped(content: bytes) -> bytes:
    """One wrong bit inside the values of a variable: the length is right, and the file opens."""
    place = content.index(np.full(3, 2.0, np.float32).tobytes())
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


@pytest.mark.parametrize("damage", [cut, flipped, lambda content: b""], ids=["cut", "one bit", "empty"])
def test_a_damaged_last_state_falls_back_to_the_one_before(tmp_path: Path, caplog, damage) -> None:
    model, _, checkpoints = made(tmp_path)
    for step in (1, 2):
        model.layers[0].kernel.assign(np.full((2, 3), float(step)))
        checkpoints.save({"step": step})
    assert checkpoints.restore() == {"step": 2} and not caplog.records
    good = (tmp_path / PREVIOUS).read_bytes()
    (tmp_path / LAST).write_bytes(damage((tmp_path / LAST).read_bytes()))
    model, _, checkpoints = made(tmp_path)
    assert checkpoints.restore() == {"step": 1}
    assert model.layers[0].kernel.numpy().tolist() == [[1, 1, 1]] * 2
    (record,) = caplog.records
    assert record.levelname == "WARNING" and f"{LAST}: damaged, not readable" in record.message
    assert f"going on from {tmp_path / PREVIOUS}" in record.message and "--overwrite" not in record.message
    checkpoints.save({"step": 3})
    assert (tmp_path / PREVIOUS).read_bytes() == good  # and not the damaged one
    checkpoints.save({"step": 4})
    (tmp_path / LAST).write_bytes(b"")
    assert checkpoints.restore() == {"step": 3}


def test_two_damaged_states_are_an_error_that_names_the_last(tmp_path: Path) -> None:
    checkpoints = made(tmp_path)[2]
    for step in (1, 2):
        checkpoints.save({"step": step})
    for name in (LAST, PREVIOUS):
        (tmp_path / name).write_bytes(b"PK")
    with pytest.raises(ArtifactError, match=f"{LAST}: damaged.*--overwrite to train anew"):
        checkpoints.restore()


def test_a_last_state_of_another_model_is_no_reason_to_take_the_one_before(tmp_path: Path) -> None:
    made(tmp_path)[2].save({"step": 1})
    made(tmp_path, units=4)[2].save({"step": 2})
    with pytest.raises(ArtifactError, match=f"{LAST}: found shape.*of another model"):
        made(tmp_path)[2].restore()


@pytest.mark.parametrize("links", [True, False])
def test_the_state_before_is_kept_with_and_without_hard_links(tmp_path: Path, monkeypatch, links: bool) -> None:
    def refused(*_: object) -> None:
        raise PermissionError("no links here")

    if not links:
        monkeypatch.setattr("os.link", refused)
    checkpoints = made(tmp_path)[2]
    for step in (1, 2, 3):
        checkpoints.save({"step": step})
    assert sorted(path.name for path in tmp_path.iterdir()) == [LAST, PREVIOUS]
    (tmp_path / LAST).write_bytes(b"")
    assert checkpoints.restore() == {"step": 2}
    worker = made(tmp_path, writes=False)[2]
    assert worker.restore() == {"step": 2}
    worker.drop_previous()
    assert (tmp_path / PREVIOUS).is_file()
    checkpoints.drop_previous()
    assert [path.name for path in tmp_path.iterdir()] == [LAST]


def test_the_last_weights_are_never_taken_for_the_best(tmp_path: Path) -> None:
    checkpoints = made(tmp_path)[2]
    checkpoints.save({})
    for read in (checkpoints.check_best, checkpoints.restore_best):
        with pytest.raises(ArtifactError, match=f"{BEST}: missing, so the best weights of this training are lost"):
            read()


def test_a_training_whose_folder_was_deleted_cannot_go_on(tmp_path: Path) -> None:
    checkpoints = made(tmp_path / "run" / "checkpoints")[2]
    with pytest.raises(FileNotFoundError):
        checkpoints.save({})
    assert not (tmp_path / "run").exists()


def test_the_weights_of_the_last_epochs_are_averaged(tmp_path: Path) -> None:
    model, _, checkpoints = made(tmp_path)
    for epoch in (1, 2, 3):
        for variable in model.trainable_variables:
            variable.assign(np.full(variable.shape, 10.0**epoch))
        checkpoints.save_epoch(epoch, 2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["epoch_2.npz", "epoch_3.npz"]
    seeds = [variable.numpy().tolist() for variable in model.non_trainable_variables]
    assert checkpoints.average_epochs(3, 2) == 2
    assert all((variable.numpy() == 550).all() for variable in model.trainable_variables)
    assert [variable.numpy().tolist() for variable in model.non_trainable_variables] == seeds
    assert checkpoints.average_epochs(3, 5) == 2  # as many as there are
    assert made(tmp_path / "none")[2].average_epochs(3, 2) == 0
    assert made(tmp_path, writes=False)[2].average_epochs(3, 2) == 0
