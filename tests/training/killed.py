"""Trains the tiny model in the folder argv[1] and kills itself without warning after argv[2] updates (0: never).

With argv[3] it goes slowly for so many epochs, and prints a line when they begin: somebody else kills it.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import numpy as np
import tiny

from textapp.training import trainer


def main(folder: Path, kill_at: int, epochs: int) -> None:
    trainer.STEPS_BETWEEN_CHECKS = 3
    trainer.SECONDS_BETWEEN_SAVES = 0.0

    def at_update(count: int) -> None:
        if epochs:
            time.sleep(0.05)
        if count == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    class Told(tiny.Quiet):
        def begin(self, *arguments: int) -> None:
            print("begun", flush=True)

    arguments = tiny.arguments(folder, **({"epochs": epochs, "average_checkpoints": 3} if epochs else {}))
    arguments["progress"] = Told(at_update)
    model = tiny.make_model(dropout=0.3)

    def validate() -> dict[str, float]:
        return {"accuracy": float(np.abs(model.layers[-1].kernel.numpy()).sum())}

    trainer.train_model(model, tiny.make_batches(), **arguments, validate=validate if epochs else None)
    np.savez(folder / "weights.npz", *[variable.numpy() for variable in model.variables])


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 0)
