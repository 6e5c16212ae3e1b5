"""Trains the config argv[1] by the command, with its data beside it, saving at every third step.

Prints a line when epochs begin, and goes slowly: somebody else kills it.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from textapp.commands.train import train
from textapp.training import trainer
from textapp.training.progress import LineProgress


class Slow(LineProgress):
    def begin(self, epoch: int, epochs: int, steps: int, done: int) -> None:
        super().begin(epoch, epochs, steps, done)
        print("begun", flush=True)

    def update(self, done: int, loss: float) -> None:
        time.sleep(0.1)


if __name__ == "__main__":
    trainer.STEPS_BETWEEN_CHECKS = 3
    trainer.SECONDS_BETWEEN_SAVES = 0.0
    trainer.make_progress = Slow
    train(Path(sys.argv[1]), data_dir=Path(sys.argv[1]).parent)
