"""Tiny classifiers of every architecture, their data, and a training with hooks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from textapp.catalog import parse_config, recipe_of
from textapp.compression.cluster import clustering_hooks
from textapp.compression.kernels import kernels_of
from textapp.compression.prune import pruning_hooks
from textapp.compression.recipe import Step, parse_recipe
from textapp.prepared import Prepared
from textapp.recipes.training_run import fit
from textapp.records.splits import Splits
from textapp.training.trainer import History

MODELS: dict[str, dict[str, Any]] = {
    "mlp": {"embedding_dim": 8, "ngrams": 1, "hidden_dims": [12], "subwords": None},
    "cnn": {"embedding_dim": 8, "filters": 6, "kernel_sizes": [1, 3]},
    "lstm": {"embedding_dim": 8, "units": [6], "bidirectional": True, "dense_units": 5},
    "transformer": {"hidden_dim": 8, "num_layers": 1, "num_heads": 2, "intermediate_dim": 16},
}
BATCHES = 8  # of an epoch


def prepared(folder: Path, architecture: str, **training: Any) -> Prepared:
    """64 texts of a letter that is the label and others that are not."""
    config = parse_config({
        "task": "classification", "run": "r", "data": {"train": "a"},
        "model": {"architecture": architecture, "dropout": 0, **MODELS[architecture]},
        "tokenizer": {"kind": "characters"}, "lengths": [4],
        "training": {"epochs": 4, "batch_size": 8, "precision": "float32", "device": "cpu", "patience": 0,
                     "learning_rate": 0.01, **training},
    })  # fmt: skip
    records = [{"text": label + other, "label": label} for label in "abcd" for other in "efghijklmnopqrst"]
    return recipe_of("classification").prepare(config, Splits(records, records[::5], [], {}), folder)


def step_of(**settings: Any) -> Any:
    return parse_recipe({"steps": [settings]}).steps[0]


def start(data: Prepared) -> keras.Model:
    """A model with weights to begin with; those of a seed."""
    keras.utils.set_random_seed(3)
    return recipe_of("classification").objective().build_inference(data)


def compressed(
    folder: Path, data: Prepared, step: Step, weights: list[np.ndarray], keep_zeros: bool = False
) -> tuple[keras.Model, History]:
    """The model after the training of a step."""

    def make_hooks(model: keras.Model) -> Any:
        kernels = kernels_of(model, step.embeddings, step.layers)
        if step.method == "prune":
            return pruning_hooks(step, kernels, BATCHES * data.config.training.epochs)
        return clustering_hooks(step, model, kernels, keep_zeros)

    objective = recipe_of("classification").objective()
    return fit(data, objective, folder, tf.distribute.get_strategy(), make_hooks, weights)


def views(model: keras.Model, step: Step) -> dict[str, np.ndarray]:
    """Each kernel as `[inputs, outputs]`."""
    kernels = kernels_of(model, step.embeddings, step.layers)
    return {kernel.name: kernel.view(kernel.variable.value).numpy() for kernel in kernels}
