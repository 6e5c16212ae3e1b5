from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from textapp.errors import ArtifactError, ConfigError, TextappError
from textapp.objectives import language
from textapp.training import trainer
from textapp.training.loop import Hooks, TrainingLoop
from textapp.training.trainer import History, Interrupted, train_model

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
import killed  # noqa: E402
import tiny  # noqa: E402


def weights(model) -> list[np.ndarray]:
    return [variable.numpy() for variable in model.variables]


def equal(one: list[np.ndarray], other: list[np.ndarray]) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def trained(folder: Path, dropout: float = 0.3, **fields):
    model = tiny.make_model(dropout)
    history = train_model(model, tiny.make_batches(), **tiny.arguments(folder, **fields))
    return model, history


def test_it_learns_and_reports_each_epoch(tmp_path: Path) -> None:
    _, history = trained(tmp_path, dropout=0.0, epochs=8)
    assert [row["epoch"] for row in history.epochs] == list(range(1, 9))
    assert history.epochs[-1]["loss"] < history.epochs[0]["loss"] / 1.3
    assert all(row["seconds"] > 0 and row["examples_per_second"] > 0 for row in history.epochs)
    assert list((tmp_path / "logs").rglob("events*"))


def test_the_same_seed_gives_the_same_weights_bit_for_bit(tmp_path: Path) -> None:
    one, _ = trained(tmp_path / "one")
    other, _ = trained(tmp_path / "other")
    assert equal(weights(one), weights(other))
    third = tiny.make_model(0.3)
    train_model(third, tiny.make_batches(seed=2), **tiny.arguments(tmp_path / "third"))
    assert not equal(weights(one), weights(third))


@pytest.mark.parametrize(("number", "exit_code"), [(signal.SIGINT, 130), (signal.SIGTERM, 75)])
def test_a_signal_saves_and_the_resumed_run_ends_with_equal_weights(
    tmp_path: Path, monkeypatch, number: int, exit_code: int
) -> None:
    monkeypatch.setattr(trainer, "STEPS_BETWEEN_CHECKS", 3)
    whole, expected = trained(tmp_path / "whole")
    handler = signal.getsignal(number)
    arguments = tiny.arguments(tmp_path / "cut")
    arguments["progress"] = tiny.Quiet(lambda count: os.kill(os.getpid(), number) if count == 4 else None)
    with pytest.raises(Interrupted, match="same command again") as caught:
        train_model(tiny.make_model(0.3), tiny.make_batches(), **arguments)
    assert caught.value.exit_code == exit_code
    assert arguments["progress"].closed
    assert signal.getsignal(number) is handler
    # A new process would have other seeds and weights until the checkpoint is read.
    resumed, history = trained(tmp_path / "cut")
    assert equal(weights(resumed), weights(whole))
    assert [row["loss"] for row in history.epochs] == pytest.approx([row["loss"] for row in expected.epochs], rel=1e-12)


def test_a_frozen_model_with_low_rank_additions_resumes_and_is_averaged(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(trainer, "STEPS_BETWEEN_CHECKS", 3)

    def adapted():
        model = tiny.make_model(0.3)
        for variable in model.variables:
            variable.trainable = False
        model.layers[-1].enable_lora(2)
        return model

    def train(folder: str, stop_at: int = 0) -> list[np.ndarray]:
        model, arguments = adapted(), tiny.arguments(tmp_path / folder, average_checkpoints=2)
        stop = tiny.Quiet(lambda count: os.kill(os.getpid(), signal.SIGTERM) if count == stop_at else None)

        def validate() -> dict[str, float]:
            return {"accuracy": float(np.abs(model.layers[-1].lora_kernel_b).sum())}

        history = train_model(model, tiny.make_batches(), **{**arguments, "progress": stop}, validate=validate)
        assert history.average["epochs"] == 2
        return weights(model)

    whole = train("whole")
    with pytest.raises(Interrupted):
        train("cut", stop_at=4)
    assert equal(train("cut"), whole)
    before = adapted()
    assert len(before.trainable_variables) == 2
    for variable, value in zip(before.variables, whole, strict=True):
        if "seed" not in variable.path:
            assert np.array_equal(variable.numpy(), value) is not variable.trainable


def start_killed(*arguments: object) -> subprocess.Popen[str]:
    path = os.pathsep.join(filter(None, [str(HERE.parents[1]), os.environ.get("PYTHONPATH")]))
    command = [sys.executable, str(HERE / "killed.py"), *map(str, arguments)]
    return subprocess.Popen(command, env={**os.environ, "PYTHONPATH": path}, stdout=subprocess.PIPE, text=True)


def assert_equal_results(one: Path, other: Path) -> None:
    with np.load(one / "weights.npz") as first, np.load(other / "weights.npz") as second:
        assert all(np.array_equal(first[name], second[name]) for name in first.files)


def test_a_killed_process_resumes_to_equal_weights(tmp_path: Path, monkeypatch) -> None:
    """SIGKILL in the middle of the second epoch, twice saved by then; then the same training in another process."""
    for name in ("STEPS_BETWEEN_CHECKS", "SECONDS_BETWEEN_SAVES"):
        monkeypatch.setattr(trainer, name, getattr(trainer, name))  # the script changes them
    killed.main(tmp_path / "whole", 0, 0)
    process = start_killed(tmp_path / "cut", 5)
    process.communicate(timeout=300)
    assert process.returncode == -signal.SIGKILL and not (tmp_path / "cut" / "weights.npz").exists()
    killed.main(tmp_path / "cut", 0, 0)
    assert_equal_results(tmp_path / "whole", tmp_path / "cut")


@pytest.mark.slow
def test_twenty_kills_at_random_moments_change_nothing(tmp_path: Path) -> None:
    """Each some tenths of a second after the training begins or resumes: in steps, in saves, between epochs."""
    epochs, dice = 50, random.Random(3)
    whole = start_killed(tmp_path / "whole", 0, epochs)
    whole.communicate(timeout=600)
    assert whole.returncode == 0
    for _ in range(20):
        process = start_killed(tmp_path / "cut", 0, epochs)
        assert process.stdout.readline() == "begun\n"
        time.sleep(dice.uniform(0, 0.5))
        process.kill()
        process.communicate(timeout=300)
        assert process.returncode == -signal.SIGKILL  # there was enough left to do
    last = start_killed(tmp_path / "cut", 0, epochs)
    last.communicate(timeout=600)
    assert last.returncode == 0
    assert_equal_results(tmp_path / "whole", tmp_path / "cut")


def test_a_training_whose_last_checkpoint_is_damaged_goes_on_from_the_one_before(
    tmp_path: Path, monkeypatch, caplog
) -> None:
    monkeypatch.setattr(trainer, "STEPS_BETWEEN_CHECKS", 3)
    monkeypatch.setattr(trainer, "SECONDS_BETWEEN_SAVES", 0.0)
    whole, _ = trained(tmp_path / "whole")
    assert not (tmp_path / "whole" / "checkpoints" / "previous.npz").exists()
    arguments = tiny.arguments(tmp_path / "cut")
    arguments["progress"] = tiny.Quiet(lambda count: os.kill(os.getpid(), signal.SIGTERM) if count == 5 else None)
    with pytest.raises(Interrupted):
        train_model(tiny.make_model(0.3), tiny.make_batches(), **arguments)
    last = tmp_path / "cut" / "checkpoints" / "last.npz"
    last.write_bytes(last.read_bytes()[:-100])
    resumed, _ = trained(tmp_path / "cut")
    assert "last.npz: damaged" in caplog.text and "going on from" in caplog.text
    assert equal(weights(resumed), weights(whole))


def test_a_training_does_not_go_on_within_an_epoch_of_other_batches(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(trainer, "STEPS_BETWEEN_CHECKS", 3)

    def train(batch_size: int, epochs: int = 3, stop_at: int = 0) -> History:
        stop = tiny.Quiet(lambda count: os.kill(os.getpid(), signal.SIGTERM) if count == stop_at else None)
        arguments = {**tiny.arguments(tmp_path, epochs=epochs), "progress": stop}
        return train_model(tiny.make_model(), tiny.make_batches(batch_size=batch_size), **arguments)

    with pytest.raises(Interrupted, match="after 3 steps"):
        train(8, stop_at=1)
    with pytest.raises(ArtifactError, match="last.npz: saved within an epoch of 8 steps, expected 15.*--overwrite"):
        train(4)
    train(8, epochs=1)
    assert len(train(4).epochs) == 3  # between two epochs it does


def test_several_workers_ask_each_other_and_stop_after_the_same_step(monkeypatch) -> None:
    """The first of two gets SIGTERM during step 3; each takes a second for a step, and they ask every two."""
    now, received = [0.0], [[], []]
    monkeypatch.setattr(trainer.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(trainer, "num_workers", lambda strategy: 2)
    asked = []
    monkeypatch.setattr(trainer, "make_largest", lambda strategy: lambda numbers: answer(numbers))

    def answer(numbers: list[int]) -> list[int]:
        other = [each[0] if each else 0 for each in received]
        return [max(numbers[0], *other), max(numbers[1], -2)]

    stops = [trainer._Stops(None, each, 10) for each in received]
    ended: list[int] = []
    for step in range(11, 20):
        now[0] += 1.0
        if step == 13:
            received[0].append(signal.SIGTERM)
        due = [each.due(step) for each in stops]
        assert due[0] is due[1]
        if due[0]:
            asked.append(step)
            ended = [each.signal(step) for each in stops]
            if any(ended):
                break
    assert asked == [11, 13] and ended == [signal.SIGTERM, signal.SIGTERM]


def test_one_process_asks_only_when_it_got_a_signal() -> None:
    received: list[int] = []
    stops = trainer._Stops(tf.distribute.get_strategy(), received, 0)
    assert not stops.due(1) and stops.signal(1) == 0
    received.append(signal.SIGINT)
    assert stops.due(2) and stops.signal(2) == signal.SIGINT


def test_early_stopping_and_the_best_weights(tmp_path: Path) -> None:
    model, seen = tiny.make_model(), []
    scores = iter([50.0, 80.0, 80.0, 60.0, 99.0])

    def validate() -> dict[str, float]:
        seen.append(weights(model))
        return {"accuracy": next(scores), "f1_macro": 1.0, "loss": 0.5}

    arguments = tiny.arguments(tmp_path, epochs=9, patience=2)
    history = train_model(model, tiny.make_batches(), **arguments, validate=validate)
    assert [row["validation_accuracy"] for row in history.epochs] == [50, 80, 80, 60]
    assert history.best["epoch"] == 2
    assert equal(weights(model), seen[1])
    assert not equal(weights(model), seen[3])


def test_patience_0_never_stops(tmp_path: Path) -> None:
    arguments = tiny.arguments(tmp_path, epochs=5, patience=0)
    history = train_model(tiny.make_model(), tiny.make_batches(), **arguments, validate=lambda: {"accuracy": 1.0})
    assert len(history.epochs) == 5


def test_a_finished_training_is_not_trained_again(tmp_path: Path) -> None:
    one, _ = trained(tmp_path)
    other, history = trained(tmp_path)
    assert equal(weights(one), weights(other))
    assert len(history.epochs) == 3


def test_history_monitors_a_loss_downwards_and_passes_over_nan() -> None:
    rows = [{"epoch": i, "validation_loss": value} for i, value in enumerate([float("nan"), 0.5, 0.4, 0.6], start=1)]
    history = History("loss", rows)
    assert history.best["epoch"] == 3
    assert history.epochs_without_gain() == 1
    assert History("accuracy", [{"epoch": 1, "loss": 1.0}]).best is None


def test_steps_limit_ends_in_the_middle_of_an_epoch(tmp_path: Path) -> None:
    model = tiny.make_model()
    taken = tf.Variable(0)
    arguments = tiny.arguments(tmp_path) | {"hooks": Hooks(after_update=lambda: taken.assign_add(1))}
    history = train_model(model, tiny.make_batches(), **arguments, steps_limit=10)
    assert len(history.epochs) == 2
    assert int(taken) == 10
    assert model.optimizer is None  # else model.save would write its moments too


@pytest.mark.parametrize("stop_at", [1, 3], ids=["between two batches of an update", "at the end of an epoch"])
def test_a_training_that_accumulates_resumes_to_equal_weights(tmp_path: Path, monkeypatch, stop_at: int) -> None:
    """Epochs of seven batches, two of them an update: the seventh makes one of its own."""
    monkeypatch.setattr(trainer, "STEPS_BETWEEN_CHECKS", 3)

    def train(folder: str, progress: tiny.Quiet | None = None) -> list[np.ndarray]:
        arguments = tiny.arguments(tmp_path / folder, gradient_accumulation_steps=2) | {"loss": language.make_loss(0)}
        model = tiny.make_writer()
        train_model(model, tiny.Halves(tiny.make_stream()), **arguments | ({"progress": progress} if progress else {}))
        return weights(model)

    whole = train("whole")
    with pytest.raises(Interrupted, match="after 3 steps" if stop_at == 1 else "after 7 steps"):
        train("cut", tiny.Quiet(lambda count: os.kill(os.getpid(), signal.SIGINT) if count == stop_at else None))
    assert equal(train("cut"), whole)


def test_an_epoch_of_an_uneven_number_of_batches_moves_as_one_of_whole_ones(tmp_path: Path) -> None:
    """By SGD, as for Adam the rows that fill a batch count as used."""
    moved = []
    for folder, source, steps in (("one", tiny.make_stream(), 1), ("two", tiny.Halves(tiny.make_stream()), 2)):
        assert source.plan(0).steps == (4 if steps == 1 else 7)
        arguments = tiny.arguments(tmp_path / folder, gradient_accumulation_steps=steps, optimizer="sgd")
        model = tiny.make_writer()
        train_model(model, source, **arguments | {"loss": language.make_loss(0)})
        moved.append(weights(model))
    for one, two in zip(*moved, strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-5, atol=1e-6)


def test_a_loss_that_is_no_number_stops_with_its_step(tmp_path: Path) -> None:
    arguments = tiny.arguments(tmp_path)

    def broken(batch: dict, outputs: tf.Tensor) -> tf.Tensor:
        late = tf.cast(counter.assign_add(1) > 11, tf.float32)
        return tiny.loss(batch, outputs) / (1 - late)

    counter = tf.Variable(0)
    arguments["loss"] = broken
    with pytest.raises(TextappError, match="step 4 of epoch 2.*learning_rate.*float32"):
        train_model(tiny.make_model(), tiny.make_batches(), **arguments)
    assert (tmp_path / "checkpoints" / "last.npz").is_file()


def test_batch_size_must_divide_by_the_replicas(tmp_path: Path) -> None:
    class Three:
        num_replicas_in_sync = 3

    with pytest.raises(ConfigError, match="found 8, expected a multiple of the 3 replicas.*try 6 or 9"):
        train_model(tiny.make_model(), tiny.make_batches(), **tiny.arguments(tmp_path) | {"strategy": Three()})


def test_an_accuracy_that_stands_still_is_no_standstill_while_the_loss_falls() -> None:
    history = History("accuracy")
    for epoch, (accuracy, loss) in enumerate([(0, 0.7), (0, 0.6), (0, 0.5), (0, 0.5)], start=1):
        history.epochs.append({"epoch": epoch, "validation_accuracy": accuracy, "validation_loss": loss})
    assert history.best["epoch"] == 3 and history.epochs_without_gain() == 1
    history.epochs.append({"epoch": 5, "validation_accuracy": 10.0, "validation_loss": 0.9})
    assert history.best["epoch"] == 5


@pytest.mark.parametrize(("score", "chosen"), [(9.0, True), (2.0, False)])
def test_averaged_weights_are_kept_where_they_validate_better(tmp_path: Path, score: float, chosen: bool) -> None:
    model, seen = tiny.make_model(), []
    scores = iter([1.0, 3.0, 5.0, score])

    def validate() -> dict[str, float]:
        seen.append(weights(model))
        return {"bleu": next(scores), "loss": 0.5}

    arguments = tiny.arguments(tmp_path, monitor="bleu", average_checkpoints=2)
    history = train_model(model, tiny.make_batches(), **arguments, validate=validate)
    mean = [(one + two) / 2 for one, two in zip(seen[1], seen[2], strict=True)]
    expected = mean if chosen else seen[2]
    assert history.average == {"epochs": 2, "chosen": chosen, "validation_bleu": score, "validation_loss": 0.5}
    for one, other, variable in zip(weights(model), expected, model.variables, strict=True):
        if variable.trainable:
            np.testing.assert_allclose(one, other, atol=1e-6)
    assert any("average of 2 epochs" in line for line in arguments["progress"].shown)


def test_samples_are_shown_after_each_epoch(tmp_path: Path) -> None:
    arguments = tiny.arguments(tmp_path, epochs=2)
    train_model(tiny.make_model(), tiny.make_batches(), **arguments, samples=lambda: ["> hello"])
    assert arguments["progress"].shown == ["> hello", "> hello"]


@pytest.mark.parametrize(("monitor", "best"), [("perplexity", 3), ("bleu", 2), ("chrf", 4), ("loss", 1)])
def test_history_knows_which_figures_fall(monitor: str, best: int) -> None:
    columns = {
        "loss": [1.0, 2.0, 3.0, 4.0], "bleu": [1.0, 9.0, 3.0, 4.0], "perplexity": [8.0, 7.0, 2.0, 7.0],
        "chrf": [1.0, 2.0, 3.0, 4.0],
    }  # fmt: skip
    rows = [
        {"epoch": epoch, **{f"validation_{name}": values[epoch - 1] for name, values in columns.items()}}
        for epoch in (1, 2, 3, 4)
    ]
    assert History(monitor, rows).best["epoch"] == best


def test_batches_of_many_shapes_are_traced_once_and_resume_to_equal_weights(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(trainer, "STEPS_BETWEEN_CHECKS", 2)
    traced = []

    def loss(batch: dict, outputs: tf.Tensor) -> tf.Tensor:
        traced.append(outputs.shape)
        return tiny.first_target_loss(batch, outputs)

    def run(folder: str, **more) -> list[np.ndarray]:
        model = tiny.make_model(0.3)
        train_model(model, tiny.make_token_batches(), **tiny.arguments(tmp_path / folder) | {"loss": loss} | more)
        return weights(model)

    plan = tiny.make_token_batches().plan(0)
    assert len(set(plan.lengths["token_ids"])) > 2 and len(set(np.diff(plan.offsets))) > 2
    whole = run("whole")
    assert len(traced) <= 2  # once for the gradients, perhaps once more inside the step
    stop = tiny.Quiet(lambda count: os.kill(os.getpid(), signal.SIGTERM) if count == 4 else None)
    with pytest.raises(Interrupted):
        run("cut", progress=stop)
    assert equal(run("cut"), whole)


def test_quick_steps_are_made_several_a_call_up_to_the_next_check(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(trainer, "STEPS_BETWEEN_CHECKS", 3)
    counts: list[int] = []
    monkeypatch.setattr(TrainingLoop, "__init__", recording(TrainingLoop.__init__, counts))

    def run(folder: str, seconds: float) -> list[np.ndarray]:
        monkeypatch.setattr(trainer, "SECONDS_OF_A_CALL", seconds)
        counts.clear()
        model = tiny.make_model(0.3)
        train_model(model, tiny.make_batches(), **tiny.arguments(tmp_path / folder, epochs=2))
        return weights(model)

    steps = tiny.make_batches().plan(0).steps
    slow = run("slow", 0)
    assert steps == 8 and counts == [1] * 16
    quick = run("quick", 1e6)
    assert counts == [1, 1, 1, 3, 2, 3, 3, 2]  # the first ones tell how long a step takes
    assert equal(quick, slow)


def recording(init: Callable, counts: list[int]) -> Callable:
    """`TrainingLoop.__init__` of loops that note the number of steps of each call."""

    def recorded(self: TrainingLoop, *arguments: object, **options: object) -> None:
        init(self, *arguments, **options)
        steps = self.steps
        self.steps = lambda batches, number: (counts.append(int(number)), steps(batches, number))[1]

    return recorded


def test_logs_do_not_name_the_machine(tmp_path: Path) -> None:
    trained(tmp_path)
    names = [file.name for file in tmp_path.rglob("*tfevents*")]
    if not names:
        pytest.skip("TensorBoard is not installed")
    assert all(re.fullmatch(r"events\.out\.tfevents\.\d+\.\d+\.\d+\.v2", name) for name in names)
