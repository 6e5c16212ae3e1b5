"""Prints the first 30 losses of one training as JSON: argv[1] is the device, argv[2] the logical CPUs of this process.

Then, if given: `xla`, `tokens` (batches by tokens), `linear` (half the learning rate, scaled by the replicas), a
number of steps instead of 30, a folder that stays. The model has embeddings (gradients that are rows), a clipped norm
and no dropout.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import tensorflow as tf
import tiny

from textapp.training import trainer
from textapp.training.strategy import is_chief, make_strategy

STEPS = 30


def main(
    device: str, processors: int, options: Sequence[str] = (), steps: int = STEPS, folder: str | None = None
) -> None:
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * processors)
    strategy = make_strategy(device)
    losses: list[float] = []
    trainer.STEPS_BETWEEN_CHECKS = 1

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
        batches = tiny.make_token_batches() if tokens else tiny.make_batches()
        arguments["loss"] = tiny.first_target_loss if tokens else tiny.loss
        trainer.train_model(model, batches, **arguments, steps_limit=steps)
        written = sorted(path.name for path in Path(folder).iterdir())
    print(json.dumps({
        "losses": losses, "replicas": strategy.num_replicas_in_sync, "chief": is_chief(strategy), "written": written
    }))  # fmt: skip


if __name__ == "__main__":
    options = sys.argv[3:]
    number = next((int(option) for option in options if option.isdigit()), STEPS)
    place = next((option for option in options if "/" in option), None)
    main(sys.argv[1], int(sys.argv[2]), options, number, place)
