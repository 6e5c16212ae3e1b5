"""Prints the losses of some updates of 8 examples, and the weights after them, as JSON: of two kinds of model.

argv: the device, the logical CPUs of this process, and the batches of an update. The models have embeddings, whose
gradients are rows, and a clipped norm; an update does not use every row. The batches of an update differ in their
total weight: of a writer that is the number of its tokens.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import numpy as np
import tensorflow as tf
import tiny

from textapp.arrays import IGNORED
from textapp.objectives import language
from textapp.training.loop import TrainingLoop
from textapp.training.optimizers import make_optimizer
from textapp.training.strategy import make_strategy

UPDATES, EXAMPLES = 12, 8
KINDS = ("classifier", "writer")


def updates(strategy: tf.distribute.Strategy, batches: int, kind: str) -> dict[str, Any]:
    """The losses of the updates, and the weights after them.

    Args:
        strategy: of the training.
        batches: of an update.
        kind: `classifier` or `writer`.
    """
    with strategy.scope():
        model = tiny.make_model() if kind == "classifier" else tiny.make_writer()
        config = tiny.make_config(gradient_accumulation_steps=batches, clip_norm=0.5, optimizer="adamw")
        optimizer = make_optimizer(config, UPDATES, model.trainable_variables)
    loss = tiny.loss if kind == "classifier" else language.make_loss(0.1)
    loop = TrainingLoop(model, optimizer, loss, strategy, gradient_accumulation_steps=batches)
    losses = []
    for update in range(UPDATES):
        told = [
            (float(rows["weights"].sum()), float(loop.step(distributed(strategy, rows))))
            for rows in parts(classifier_rows(update) if kind == "classifier" else writer_rows(update), batches)
        ]
        losses.append(float(np.average([loss for _, loss in told], weights=[weight for weight, _ in told])))
    return {"losses": losses, "weights": [each.numpy().tolist() for each in model.trainable_variables]}


def main(device: str, processors: int, batches: int) -> None:
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * processors)
    strategy = make_strategy(device)
    print(json.dumps({kind: updates(strategy, batches, kind) for kind in KINDS}))


def classifier_rows(update: int) -> dict[str, np.ndarray]:
    dice = np.random.default_rng(update)
    ids = dice.integers(2, 30, (EXAMPLES, 6)).astype(np.int32)
    return {"token_ids": ids, "targets": ids[:, 0] % 2, "weights": dice.uniform(0.1, 3, EXAMPLES).astype(np.float32)}


def writer_rows(update: int) -> dict[str, np.ndarray]:
    """Rows of 1 to 6 tokens, the short ones first."""
    dice = np.random.default_rng(update)
    ids = dice.integers(2, 30, (EXAMPLES, 7)).astype(np.int32)
    counts = np.sort(dice.integers(1, 7, EXAMPLES))
    targets = np.where(np.arange(6) < counts[:, None], ids[:, 1:], IGNORED).astype(np.int32)
    return {"token_ids": ids[:, :-1], "targets": targets, "weights": counts.astype(np.float32)}


def parts(rows: dict[str, np.ndarray], number: int) -> list[dict[str, np.ndarray]]:
    split = {name: np.split(values, number) for name, values in rows.items()}
    return [{name: values[part] for name, values in split.items()} for part in range(number)]


def distributed(strategy: tf.distribute.Strategy, rows: dict[str, np.ndarray]) -> object:
    """A global batch as each replica's share of it."""
    shares = parts(rows, strategy.num_replicas_in_sync)

    def batch(context: tf.distribute.distribute_lib.ValueContext) -> dict:
        share = {name: tf.constant(values) for name, values in shares[context.replica_id_in_sync_group].items()}
        return {
            "features": {"token_ids": share["token_ids"]}, "targets": share["targets"], "weights": share["weights"],
            "total_weight": tf.constant(rows["weights"].sum()),
        }  # fmt: skip

    return strategy.experimental_distribute_values_from_function(batch)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
