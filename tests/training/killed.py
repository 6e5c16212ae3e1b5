"""Trains the tiny model in the folder argv[1] and kills itself without warning after argv[2] updates (0: never)."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import numpy as np
import tiny

from textapp.training import trainer


def main(folder: Path, kill_at: int) -> None:
    trainer.STEPS_BETWEEN_CHECKS = 3
    trainer.SECONDS_BETWEEN_SAVES = 0.0
    arguments = tiny.arguments(folder)
    arguments["progress"] = tiny.Quiet(lambda count: os.kill(os.getpid(), signal.SIGKILL) if count == kill_at else None)
    model = tiny.make_model(dropout=0.3)
    trainer.train_model(model, tiny.make_batches(), **arguments)
    np.savez(folder / "weights.npz", *[variable.numpy() for variable in model.variables])


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
