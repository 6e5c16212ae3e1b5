"""A whole training: epochs, validation, early stopping, checkpoints, resuming after an interruption."""

from __future__ import annotations

import logging
import math
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from textapp.batches.pipeline import BatchSource
from textapp.config import Training
from textapp.errors import ArtifactError, ConfigError, TextappError, UsageError, plural
from textapp.metrics.names import FALLING
from textapp.training.checkpoints import LAST, Checkpoints
from textapp.training.loop import Batch, Hooks, TrainingLoop
from textapp.training.optimizers import make_optimizer, scaled_learning_rate
from textapp.training.progress import Progress, figures, make_progress
from textapp.training.strategy import is_chief, make_largest, num_workers, of_all_replicas, parts_of_a_batch

logger = logging.getLogger(__name__)

STEPS_BETWEEN_CHECKS = 50
SECONDS_OF_A_CALL = 0.1  # of TensorFlow, for several steps; a signal is seen after it
SECONDS_BETWEEN_SAVES = 300.0
SECONDS_BETWEEN_QUESTIONS = 2.0  # of several workers, whether one of them got a signal
EXIT_CODES = {signal.SIGINT: 130, signal.SIGTERM: 75}


class Interrupted(TextappError):
    """A signal stopped the training, and a checkpoint was saved.

    Attributes:
        exit_code: 130 for Ctrl-C, 75 for SIGTERM.
    """

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


@dataclass
class History:
    """The figures of all epochs.

    Attributes:
        monitor: the validation figure that selects the best epoch: accuracy, f1_macro, bleu, chrf, perplexity or loss.
        epochs: a row for each epoch: epoch (from 1), loss, seconds, examples_per_second, `validation_` + each figure,
            and `incomplete` where a compression method was not done, see `Hooks.complete`.
        average: of averaged weights, if they were computed: epochs (their number), chosen (whether they became the
            model's), and `validation_` + each figure.
    """

    monitor: str
    epochs: list[dict[str, float]] = field(default_factory=list)
    average: dict[str, float] | None = None

    @property
    def best(self) -> dict[str, float] | None:
        """The row of the best epoch; None without validation.

        Among equal epochs it is that of the lowest loss, then the earliest. With rare or several labels the accuracy
        is often constant during the first epochs, while the loss already falls.
        """
        figure = f"validation_{self.monitor}"
        rows = [row for row in self.epochs if math.isfinite(row.get(figure, math.nan)) and "incomplete" not in row]
        return min(rows, key=self.rank) if rows else None

    def rank(self, row: Mapping[str, float]) -> tuple[float, float]:
        """A sort key of rows; the best row has the lowest."""
        sign = 1 if self.monitor in FALLING else -1
        return sign * row[f"validation_{self.monitor}"], row.get("validation_loss", 0.0)

    def epochs_without_gain(self) -> int:
        """Epochs since the best one; 0 without validation."""
        return self.epochs[-1]["epoch"] - self.best["epoch"] if self.best else 0


@dataclass
class _Position:
    """The position of a training: `step` of `steps` of an epoch (from 0) are done, with losses of `loss_sum` in all."""

    epoch: int = 0
    step: int = 0
    steps: int = 0
    total_steps: int = 0
    loss_sum: float = 0.0
    seconds: float = 0.0


def train_model(
    model: keras.Model,
    source: BatchSource,
    *,
    config: Training,
    loss: Callable[[Batch, Any], tf.Tensor],
    strategy: tf.distribute.Strategy,
    folder: Path,
    validate: Callable[[], Mapping[str, float]] | None = None,
    samples: Callable[[], Sequence[str]] | None = None,
    progress: Progress | None = None,
    steps_limit: int | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    hooks: Hooks | None = None,
) -> History:
    """Trains `model` in place; it gets the weights of the best epoch, or without validation those of the last.

    An interrupted training resumes from `folder/checkpoints` and ends with the same weights.

    Args:
        model: takes features and returns outputs; built under `strategy.scope()` and the dtype policy of the precision.
        source: the batches of each epoch, in an order that it decides; the model decides initial weights and dropout.
        config: resolved: every field that depends on the data is filled.
        loss: `(batch, outputs) -> [rows]`; see `TrainingLoop`.
        strategy: of the model's variables.
        folder: for `checkpoints/` and `logs/` (TensorBoard).
        validate: called after each epoch; returns the figures that `config.monitor` may name: loss, accuracy ...
        samples: called after each epoch; returns lines to show, such as sample outputs.
        progress: None: a bar on a terminal, else lines, on stderr.
        steps_limit: stop after so many steps in all, even within an epoch.
        callbacks: called for epochs, not for steps.
        hooks: of a compression method.

    Returns:
        the history, including the epochs before a resume.

    Raises:
        Interrupted: Ctrl-C or SIGTERM; a checkpoint was saved.
        UsageError: workers do not see the same checkpoint.
        TextappError: the loss is NaN or infinite, or another worker is gone.
        ArtifactError: a checkpoint to resume from is damaged, missing, or of another model.
        ConfigError: the batch size of the source is not a multiple of the number of replicas.
    """
    _check(source, strategy)
    hooks = hooks or Hooks()
    rate = scaled_learning_rate(config, strategy.num_replicas_in_sync)
    if rate != config.learning_rate:
        told = (rate, config.learning_rate_scaling, strategy.num_replicas_in_sync)
        logger.info("learning rate: %g (%s in %d replicas)", *told)
        config = config.model_copy(update={"learning_rate": rate})
    steps = source.plan(0).steps
    loop = make_loop(model, loss, config, steps, strategy, hooks, parts_of_a_batch(strategy))
    variables = [*loop.variables, *hooks.variables]
    checkpoints = Checkpoints(folder / "checkpoints", model, loop.optimizer, variables, writes=is_chief(strategy))
    run = _Run(loop, checkpoints, source, config)
    run.limit = steps * config.epochs if steps_limit is None else min(steps_limit, steps * config.epochs)
    run.validate, run.samples, run.progress = validate, samples, progress or make_progress()
    run.complete = hooks.complete or (lambda: True)
    callbacks = [*callbacks, *_tensorboard(folder / "logs", strategy)]
    with _signals_held() as received, _optimizer_attached(model, loop.optimizer):
        return run(received, keras.callbacks.CallbackList(callbacks, model=model))


def make_loop(
    model: keras.Model,
    loss: Callable[[Batch, Any], tf.Tensor],
    config: Training,
    steps: int,
    strategy: tf.distribute.Strategy,
    hooks: Hooks,
    parts: int = 1,
) -> TrainingLoop:
    """Makes the loop of a training, with its optimizer.

    Args:
        model, loss, config, strategy: as for `train_model`.
        steps: of an epoch.
        hooks: of a compression method, or `Hooks()`.
        parts: see `TrainingLoop`; 1 where XLA or a method that transforms weights needs the batch whole.
    """
    float16 = any(layer.compute_dtype == "float16" for layer in model._flatten_layers())
    with strategy.scope():
        updates = max(1, config.epochs * -(-steps // config.gradient_accumulation_steps))
        trained = model.trainable_variables if hooks.trained is None else hooks.trained
        optimizer = make_optimizer(config, updates, trained, loss_scaling=float16)
    return TrainingLoop(
        model, optimizer, loss, strategy,
        transform_weights=hooks.transform_weights, after_update=hooks.after_update, forward=hooks.forward,
        trained=trained, gradient_accumulation_steps=config.gradient_accumulation_steps, jit_compile=config.xla,
        parts=1 if config.xla or hooks.transform_weights is not None else parts,
    )  # fmt: skip


def _check(source: BatchSource, strategy: tf.distribute.Strategy) -> None:
    replicas = strategy.num_replicas_in_sync
    if source.batch_size is not None and source.batch_size % replicas:
        below = max(replicas, source.batch_size // replicas * replicas)
        raise ConfigError(
            f"training.batch_size: found {source.batch_size}, expected a multiple of the {replicas} replicas "
            f"(batch_size counts the examples of all of them): try {below} or {below + replicas}"
        )
    if tf.config.list_logical_devices("GPU"):
        # By default sums on a GPU depend on the order of its threads.
        tf.config.experimental.enable_op_determinism()


class _Run:
    """The state of one call of `train_model`."""

    limit: int
    validate: Callable[[], Mapping[str, float]] | None
    samples: Callable[[], Sequence[str]] | None
    progress: Progress
    complete: Callable[[], bool]

    def __init__(self, loop: TrainingLoop, checkpoints: Checkpoints, source: BatchSource, config: Training) -> None:
        self.loop, self.checkpoints, self.source, self.config = loop, checkpoints, source, config
        self.history, self.position = History(config.monitor), _Position()
        self.opened = False
        self.pace = math.inf  # seconds of a step
        self.last_save = time.monotonic()

    def __call__(self, received: list[int], callbacks: keras.callbacks.CallbackList) -> History:
        self._resume()
        self.stops = _Stops(self.loop.strategy, received, self.position.total_steps)
        callbacks.on_train_begin()
        try:
            while not self._finished():
                callbacks.on_epoch_begin(self.position.epoch)
                self._epoch()
                row = self._close_epoch()
                callbacks.on_epoch_end(row["epoch"] - 1, {k: v for k, v in row.items() if k != "epoch"})
                self.progress.end(row)
                if self.samples is not None:
                    self.progress.show(self.samples())
                self._stop_if_asked()
        finally:
            self.progress.close()
        callbacks.on_train_end()
        self.checkpoints.drop_previous()
        if self.history.best is not None and not self._averaged():
            self.checkpoints.restore_best()
        return self.history

    def _averaged(self) -> bool:
        """Averages the weights of the last epochs; returns whether they are better than those of the best epoch."""
        best, number = self.history.best, self.config.average_checkpoints
        if not number or self.validate is None or len(self.history.epochs) < 2:
            return False
        epochs = self.checkpoints.average_epochs(int(self.history.epochs[-1]["epoch"]), number)
        if epochs < 2:
            return False
        row = {f"validation_{name}": float(value) for name, value in self.validate().items()}
        better = self.history.rank(row) < self.history.rank(best)
        self.history.average = {"epochs": epochs, "chosen": better, **row}
        self.progress.show(
            [f"average of {epochs} epochs  {figures(row)}{'' if better else '  (not better: not used)'}"]
        )
        return better

    def _resume(self) -> None:
        saved = self.checkpoints.restore()
        if saved is not None:
            try:
                self.position, self.history.epochs = _Position(**saved["position"]), saved["history"]
                best = self.history.best
            except (KeyError, TypeError, AttributeError) as error:
                raise ArtifactError(
                    f"{self.checkpoints.folder / LAST}: its position is of another form ({error}), so another version "
                    "of textapp wrote it: run the command with --overwrite to train anew"
                ) from error
            if best is not None:
                self.checkpoints.check_best()  # now, and not after the rest of the training
            if self.config.average_checkpoints:
                self.checkpoints.check_epochs(self.position.epoch, self.config.average_checkpoints)
        steps = of_all_replicas(self.loop.strategy, self.position.total_steps)
        if len(set(steps)) > 1:
            raise UsageError(
                f"{self.checkpoints.folder}: the workers resume at different steps ({', '.join(map(str, steps))}): "
                "each has to see the checkpoints of worker 0, so the run's folder must be on a disk that all share"
            )

    def _finished(self) -> bool:
        patience = self.config.patience
        stops = bool(patience) and self.history.epochs_without_gain() >= patience
        return stops or self.position.epoch >= self.config.epochs or self.position.total_steps >= self.limit

    def _epoch(self) -> None:
        """Runs the remaining steps of an epoch."""
        position = self.position
        plan = self.source.plan(position.epoch)
        if position.step and position.steps != plan.steps:
            raise ArtifactError(
                f"{self.checkpoints.folder / LAST}: saved within an epoch of {position.steps or 'untold'} steps, "
                f"expected {plan.steps}, so other data or another version of textapp had other batches: "
                "run the command with --overwrite to train anew"
            )
        position.steps = plan.steps
        last = min(plan.steps, position.step + self.limit - position.total_steps)
        self.progress.begin(position.epoch + 1, self.config.epochs, last, position.step)
        batches = self.source.distributed(plan, self.loop.strategy, position.step)
        losses, started, step = [], time.monotonic(), position.step
        while step < last:
            losses.append(self._call(batches, step, last))
            step += len(losses[-1])
            number = position.total_steps + step - position.step  # of steps in the whole training
            if step == last:
                self.loop.update_from_rest()
            saves = time.monotonic() - self.last_save > SECONDS_BETWEEN_SAVES
            asks = step == last or self.stops.due(number)
            # Reading a loss waits for the device, so losses are read in blocks.
            if step % STEPS_BETWEEN_CHECKS and not asks and not saves:
                continue
            self._advance(losses, time.monotonic() - started)
            losses, started = [], time.monotonic()
            if saves:
                self._save()
            if asks or self.stops.due(number):
                self._stop_if_asked()

    def _call(self, batches: Iterator, step: int, last: int) -> tf.Tensor:
        """Runs the next step after `step`, or as many as take about `SECONDS_OF_A_CALL`; returns their losses."""
        if self.source.many_shapes and self.loop.strategy.num_replicas_in_sync == 1:
            count = max(1, int(SECONDS_OF_A_CALL / self.pace))
            until = min(last - step, STEPS_BETWEEN_CHECKS - step % STEPS_BETWEEN_CHECKS)
            return self.loop.steps(batches, tf.constant(min(count, until)))
        if self.source.many_shapes and not self.opened:
            self.loop.open_shapes(batches.element_spec)
            self.opened = True
        return self.loop.step(next(batches))[None]

    def _advance(self, losses: list[tf.Tensor], seconds: float) -> None:
        values = tf.concat(losses, 0).numpy().tolist()
        self.pace = seconds / len(values)
        for number, value in enumerate(values, start=self.position.step + 1):
            if not math.isfinite(value):
                raise TextappError(
                    f"training: the loss is {value} at step {number} of epoch {self.position.epoch + 1}; expected a "
                    f"number. Lower training.learning_rate (now {self.config.learning_rate:g}), or set "
                    "training.precision to float32. The last checkpoint, from before this step, is kept"
                )
        position = self.position
        position.step += len(values)
        position.total_steps += len(values)
        position.loss_sum += math.fsum(values)
        position.seconds += seconds
        self.progress.update(position.step, math.fsum(values) / len(values))

    def _close_epoch(self) -> dict[str, float]:
        position = self.position
        plan = self.source.plan(position.epoch)
        row = {
            "epoch": position.epoch + 1,
            "loss": position.loss_sum / position.step,
            "seconds": position.seconds,
            "examples_per_second": plan.examples * position.step / plan.steps / max(position.seconds, 1e-9),
        }
        complete = self.complete()
        if not complete:
            row["incomplete"] = 1
        measured = self.validate() if self.validate is not None else {}
        self.history.epochs.append(row | {f"validation_{name}": float(value) for name, value in measured.items()})
        if self.history.best is self.history.epochs[-1]:
            self.checkpoints.save_best()
        if self.config.average_checkpoints and complete:
            self.checkpoints.save_epoch(position.epoch + 1, self.config.average_checkpoints)
        self.position = _Position(epoch=position.epoch + 1, total_steps=position.total_steps)
        self._save()
        return self.history.epochs[-1]

    def _save(self) -> None:
        self.checkpoints.save({"position": vars(self.position), "history": self.history.epochs})
        self.last_save = time.monotonic()

    def _stop_if_asked(self) -> None:
        number = self.stops.signal(self.position.total_steps)
        if number:
            self._save()
            name, epoch, step = signal.Signals(number).name, self.position.epoch, self.position.step
            when = f"in epoch {epoch + 1} after {plural(step, 'step')} of it" if step else f"after epoch {epoch}"
            raise Interrupted(
                f"training: stopped by {name} {when}; saved in {self.checkpoints.folder}. Run the same command again "
                "to resume",
                EXIT_CODES[signal.Signals(number)],
            )


class _Stops:
    """Tells whether a signal stops the training.

    Several workers have to stop after the same step, as each step waits for all of them. A signal may reach one of
    them alone, or two in different steps. So they ask each other every few seconds, after a step that they agreed on.

    Args:
        strategy: of the training.
        received: the signals that this process got.
        steps: that were done before, in all.
    """

    def __init__(self, strategy: tf.distribute.Strategy, received: list[int], steps: int) -> None:
        self._received = received
        self._largest = make_largest(strategy) if num_workers(strategy) > 1 else None
        self._asked, self._asked_at, self._next = steps, time.monotonic(), steps + 1

    def due(self, step: int) -> bool:
        """Whether to ask for the signal after a step, counted from the start of the training."""
        return bool(self._received) if self._largest is None else step >= self._next

    def signal(self, step: int) -> int:
        """The number of the signal that stops the training after a step, or 0; all workers have to ask."""
        received = self._received[0] if self._received else 0
        if self._largest is None:
            return received
        seconds = (time.monotonic() - self._asked_at) / max(1, step - self._asked)
        wait = min(STEPS_BETWEEN_CHECKS, max(1, int(SECONDS_BETWEEN_QUESTIONS / max(seconds, 1e-9))))
        number, shortest = self._largest([received, -wait])
        self._asked, self._asked_at, self._next = step, time.monotonic(), step - shortest
        return number


@contextmanager
def _signals_held():
    """Records the first SIGINT or SIGTERM in a list instead of stopping the process; a second one stops it."""
    received: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield received
        return

    def hold(number: int, frame: Any) -> None:
        received.append(number)
        signal.signal(number, before[number])

    before = {number: signal.signal(number, hold) for number in EXIT_CODES}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _tensorboard(folder: Path, strategy: tf.distribute.Strategy) -> list[keras.callbacks.Callback]:
    """The TensorBoard callback on the chief, if the package is installed; it writes the figures of each epoch."""
    try:
        import tensorboard  # noqa: F401
    except ModuleNotFoundError:
        return []
    if not is_chief(strategy):
        return []
    board = keras.callbacks.TensorBoard(str(folder), write_graph=False, update_freq="epoch", profile_batch=0)
    return [board, keras.callbacks.LambdaCallback(on_train_end=lambda logs: _remove_host_names(folder))]


def _remove_host_names(folder: Path) -> None:
    """Renames `events.out.tfevents.<time>.<host>.<process>...`: a run does not tell where it was made."""
    for file in folder.rglob("events.out.tfevents.*"):
        named = re.fullmatch(r"(events\.out\.tfevents\.\d+)\..+\.(\d+\.\d+\.v2)", file.name)
        if named:
            file.rename(file.with_name(f"{named[1]}.{named[2]}"))


@contextmanager
def _optimizer_attached(model: keras.Model, optimizer: keras.optimizers.Optimizer):
    """Sets `model.optimizer` for Keras callbacks, and removes it so that it is not saved with the model."""
    model.optimizer = optimizer
    try:
        yield
    finally:
        model.optimizer = None
