"""Prints the losses of trainings as JSON, for devices that a process chooses once.

argv: the device, the logical CPUs of this process, and the trainings, a JSON list of arguments for `train`.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf
import tiny

from textapp.training import trainer
from textapp.training.strategy import is_chief, make_strategy

STEPS = 30


def train(
    strategy: tf.distribute.Strategy, options: Sequence[str] = (), steps: int = STEPS, folder: str | None = None
) -> dict[str, Any]:
    """The losses of the first steps of a training, and what it wrote.

    The model has embeddings (gradients that are rows), a clipped norm and no dropout.

    Args:
        strategy: of the training.
        options: `xla`, `tokens` (batches by tokens), `static` (those of fixed shapes), `linear` (half the learning
            rate, scaled by the replicas), `calls` (no limit to the time of a call; the mean losses of epochs).
        steps: how many.
        folder: one that stays.
    """
    losses: list[float] = []

    class Record(tiny.Quiet):
        def update(self, done: int, loss: float) -> None:
            losses.append(loss)

    with tempfile.TemporaryDirectory() as scratch:
        folder = folder or scratch
        rate = {"learning_rate": 0.025, "learning_rate_scaling": "linear"} if "linear" in options else {}
        arguments = tiny.arguments(Path(folder), epochs=4, xla="xla" in options, **rate)
        arguments |= {"strategy": strategy, "progress": Record()}
        with strategy.scope():
            model = tiny.make_model()
        tokens = "tokens" in options
        batches = tiny.make_token_batches("static" in options) if tokens else tiny.make_batches()
        arguments["loss"] = tiny.first_target_loss if tokens else tiny.loss
        trainer.train_model(model, batches, **arguments, steps_limit=steps)
        written = sorted(path.name for path in Path(folder).iterdir())
    return {
        "losses": losses, "replicas": strategy.num_replicas_in_sync, "chief": is_chief(strategy), "written": written
    }  # fmt: skip


def main(device: str, processors: int, trainings: Sequence[dict[str, Any]]) -> None:
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * processors)
    strategy = make_strategy(device)
    found = []
    for training in trainings:
        calls = "calls" in training.get("options", ())
        trainer.STEPS_BETWEEN_CHECKS, trainer.SECONDS_OF_A_CALL = (50, 1e9) if calls else (1, 0)
        found.append(train(strategy, **training))
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), json.loads(sys.argv[3]))
