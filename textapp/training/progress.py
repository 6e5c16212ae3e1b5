"""The progress display of long work, on stderr: for a training a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from textapp.terminal import printable

SECONDS_BETWEEN_LINES = 30
SECONDS_BETWEEN_RATES = 10

log = logging.getLogger("textapp")


class Progress(Protocol):
    """The calls that `train_model` makes to report its progress."""

    def begin(self, epoch: int, epochs: int, steps: int, done: int) -> None:
        """An epoch begins, or resumes.

        Args:
            epoch: its number, from 1.
            epochs: of the whole training.
            steps: of the epoch.
            done: steps of the epoch that were done before.
        """

    def update(self, done: int, loss: float) -> None:
        """`done` steps of the epoch are done; `loss` is the mean since the last update."""

    def end(self, row: Mapping[str, Any]) -> None:
        """The epoch ended; `row` is its row of the history."""

    def show(self, lines: Sequence[str]) -> None:
        """Lines to show between two epochs, such as sample outputs of the model."""

    def close(self) -> None:
        """The training ended or failed."""


class LineProgress:
    """Plain lines: one an epoch, and one every half minute during an epoch."""

    def begin(self, epoch: int, epochs: int, steps: int, done: int) -> None:
        self._name, self._steps, self._last = f"epoch {epoch}/{epochs}", steps, time.monotonic()

    def update(self, done: int, loss: float) -> None:
        if time.monotonic() - self._last >= SECONDS_BETWEEN_LINES:
            self._last = time.monotonic()
            self._say(f"{self._name}  step {done}/{self._steps}  loss {loss:.4f}")

    def end(self, row: Mapping[str, Any]) -> None:
        self._say(f"{self._name}  {summary(row)}")

    def show(self, lines: Sequence[str]) -> None:
        for line in lines:
            self._say(line)

    def close(self) -> None:
        pass

    def _say(self, line: str) -> None:
        print(printable(line, sys.stderr), file=sys.stderr, flush=True)


class RateLines:
    """Lines of the log on long work that is no training, one every ten seconds.

    Args:
        what: is done.
        total: number of items, if it is known.
        items: what they are.
    """

    def __init__(self, what: str, total: int | None = None, items: str = "examples") -> None:
        self._what, self._total, self._items = what, total, items
        self._started = self._last = time.monotonic()

    def __call__(self, done: int) -> None:
        now = time.monotonic()
        if now - self._last < SECONDS_BETWEEN_RATES and done != self._total:
            return
        self._last, rate = now, done / max(1e-3, now - self._started)
        of_all = f" of {self._total:,}" if self._total else ""
        left = f", {(self._total - done) / max(1e-3, rate):.0f} s left" if self._total and done < self._total else ""
        log.info("%s: %s%s %s, %s/s%s", self._what, f"{done:,}", of_all, self._items, f"{rate:,.0f}", left)


class BarProgress(LineProgress):
    """A bar for each epoch, replaced by a line at its end."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar

        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        loss = TextColumn("loss {task.fields[loss]:.4f}")
        self._bar = Bar(*columns, loss, console=Console(stderr=True), transient=True)
        self._task = None

    def begin(self, epoch: int, epochs: int, steps: int, done: int) -> None:
        super().begin(epoch, epochs, steps, done)
        self._bar.start()
        self._task = self._bar.add_task(self._name, total=steps, completed=done, loss=float("nan"))

    def update(self, done: int, loss: float) -> None:
        self._bar.update(self._task, completed=done, loss=loss)

    def end(self, row: Mapping[str, Any]) -> None:
        self.close()
        super().end(row)

    def close(self) -> None:
        if self._task is not None:
            self._bar.remove_task(self._task)
            self._task = None
        self._bar.stop()


def summary(row: Mapping[str, Any]) -> str:
    """The figures of an epoch. Example: `loss 0.4012  validation_accuracy 84.20  12.3 s  5,400 examples/s`."""
    speed = f"{row['seconds']:.1f} s  {row['examples_per_second']:,.0f} examples/s"
    return "  ".join(part for part in (f"loss {row['loss']:.4f}", figures(row), speed) if part)


def figures(row: Mapping[str, Any]) -> str:
    """The validation figures of an epoch. Example: `validation_loss 1.2034  validation_bleu 24.10`."""
    return "  ".join(
        f"{key} {value:.4f}" if key.endswith("loss") else f"{key} {value:.2f}"
        for key, value in row.items()
        if key.startswith("validation_")
    )


def make_progress() -> Progress:
    """A bar where stderr is a terminal, lines where it is a file or a pipe."""
    return BarProgress() if sys.stderr.isatty() else LineProgress()
