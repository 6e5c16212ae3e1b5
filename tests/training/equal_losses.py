"""Prints the first 30 losses of one training as JSON: argv[1] is the device, argv[2] the logical CPUs of this process.

argv[3], if given, is `xla`. The model has embeddings (gradients that are rows), a clipped norm and no dropout.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import tensorflow as tf
import tiny

from textapp.training import trainer
from textapp.training.strategy import is_chief, make_strategy

STEPS = 30


def main(device: str, processors: int, xla: bool) -> None:
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * processors)
    strategy = make_strategy(device)
    losses: list[float] = []
    trainer.STEPS_BETWEEN_CHECKS = 1

    class Record(tiny.Quiet):
        def update(self, done: int, loss: float) -> None:
            losses.append(loss)

    with tempfile.TemporaryDirectory() as folder:
        arguments = tiny.arguments(Path(folder), epochs=4, xla=xla) | {"strategy": strategy, "progress": Record()}
        with strategy.scope():
            model = tiny.make_model()
        trainer.train_model(model, tiny.make_examples(), **arguments, steps_limit=STEPS)
        written = sorted(path.name for path in Path(folder).iterdir())
    print(json.dumps({
        "losses": losses, "replicas": strategy.num_replicas_in_sync, "chief": is_chief(strategy), "written": written
    }))  # fmt: skip


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), "xla" in sys.argv[3:])
