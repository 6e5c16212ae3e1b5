"""A training with the hooks of a compression method, from texts to the finished weights."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from textapp.catalog import parse_config, recipe_of
from textapp.recipes.training_run import fit
from textapp.records.splits import Splits
from textapp.training.loop import Hooks


def test_hooks_are_made_for_the_model_and_shape_the_finished_weights(tmp_path: Path) -> None:
    """Half of a kernel is pruned, and doubled in the forward pass."""
    config = parse_config({
        "task": "classification", "run": "r", "data": {"train": "a"},
        "model": {"architecture": "cnn", "embedding_dim": 4, "filters": 4, "kernel_sizes": [1], "dropout": 0},
        "tokenizer": {"kind": "characters"}, "lengths": [4],
        "training": {"epochs": 3, "batch_size": 8, "precision": "float32", "device": "cpu"},
    })  # fmt: skip
    records = [{"text": text, "label": text} for text in "abcd" * 8]
    recipe = recipe_of("classification")
    prepared = recipe.prepare(config, Splits(records, records[:4], [], {}), tmp_path)
    seen: dict[str, keras.Variable] = {}

    def make_hooks(model: keras.Model) -> Hooks:
        kernel = model.layers[-1].kernel
        mask = np.ones(kernel.shape, np.float32)
        mask[::2] = 0
        updates = keras.Variable(100, dtype="int32", trainable=False, name="updates")
        seen.update(updates=updates)

        def prune() -> None:
            kernel.assign(kernel * mask)
            updates.assign_add(1)

        return Hooks(lambda: [(kernel, 2 * kernel)], prune, [updates])

    model, history = fit(prepared, recipe.objective(), tmp_path, tf.distribute.get_strategy(), make_hooks)
    kernel = model.layers[-1].kernel.numpy()
    assert kernel.shape == (4, 4) and not kernel[::2].any() and kernel[1::2].all()
    assert int(seen["updates"].numpy()) == 112 and len(history.epochs) == 3  # 32 texts in batches of 8
    with np.load(tmp_path / "checkpoints" / "last.npz") as saved:
        assert any(saved[name].shape == () and saved[name] == 112 for name in saved.files)
