"""Prints the weights after three updates of 8 examples as JSON.

argv: the device, the logical CPUs of this process, the batches of an update. The model has embeddings, whose gradients
are rows, and a clipped norm. Every update uses the whole table: rows that it does not use rest without accumulation,
and with it move on by their moments.
"""

from __future__ import annotations

import json
import sys

import numpy as np
import tensorflow as tf
import tiny

from textapp.training.loop import TrainingLoop
from textapp.training.optimizers import make_optimizer
from textapp.training.strategy import make_strategy

UPDATES, EXAMPLES = 3, 8


def main(device: str, processors: int, batches: int) -> None:
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * processors)
    strategy = make_strategy(device)
    with strategy.scope():
        model = tiny.make_model()
        config = tiny.make_config(gradient_accumulation_steps=batches, clip_norm=0.5, optimizer="adamw")
        optimizer = make_optimizer(config, UPDATES, model.trainable_variables)
    loop = TrainingLoop(model, optimizer, tiny.loss, strategy, gradient_accumulation_steps=batches)
    dice = np.random.default_rng(0)
    rows = [np.resize(dice.permutation(30), (EXAMPLES, 6)).astype(np.int32) for _ in range(UPDATES)]
    for global_batch in np.split(np.concatenate(rows), UPDATES * batches):
        loop.step(distributed(strategy, global_batch))
    print(json.dumps([variable.numpy().tolist() for variable in model.trainable_variables]))


def distributed(strategy: tf.distribute.Strategy, rows: np.ndarray) -> object:
    """A global batch `[rows, length]` as each replica's share of it."""
    shares = np.split(rows, strategy.num_replicas_in_sync)

    def batch(context: tf.distribute.distribute_lib.ValueContext) -> dict:
        share = tf.constant(shares[context.replica_id_in_sync_group])
        return {
            "features": {"token_ids": share}, "targets": share[:, 0] % 2,
            "weights": tf.ones(len(share)), "total_weight": tf.constant(float(len(rows))),
        }  # fmt: skip

    return strategy.experimental_distribute_values_from_function(batch)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
