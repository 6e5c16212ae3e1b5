"""Training steps of textapp; writes the initial weights and the batches for the others."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from serve import serve

sys.path.insert(0, str(Path(__file__).parents[2]))


def load(job: dict[str, Any]) -> tuple[Callable[[int], float], dict[str, Any]]:
    from textapp.processes import TENSORFLOW_THREADS

    for name in TENSORFLOW_THREADS:
        os.environ.pop(name, None)  # as `textapp train` runs: on the cores of this process, by its own division
    import keras
    import tensorflow as tf

    from textapp.catalog import load_config
    from textapp.commands.tpu import prepared_of
    from textapp.training.loop import Hooks
    from textapp.training.strategy import make_strategy, parts_of_a_batch
    from textapp.training.trainer import make_loop

    strategy, work = make_strategy("cpu", job["xla"]), Path(job["work"])
    fixed = ["model.dropout=0", "training.warmup_steps=0", "training.schedule=constant", f"training.xla={job['xla']}"]
    prepared, objective = prepared_of(load_config(Path(job["config"]), fixed), Path(job["data_dir"]), work)
    # It was made for a TPU, which has fewer shapes of batches.
    training = prepared.config.training.model_copy(update={"device": "cpu"})
    config = prepared.config.model_copy(update={"training": training})
    prepared = dataclasses.replace(prepared, config=config)
    keras.utils.set_random_seed(config.seed)
    model, source = objective.build(prepared), objective.batches(prepared)
    plan, loss = source.plan(0), objective.loss(prepared)
    loop = make_loop(model, loss, config.training, plan.steps, strategy, Hooks(), parts_of_a_batch(strategy))
    made = source.distributed(plan, strategy)
    if source.many_shapes:
        loop.open_shapes(made.element_spec)
    batches = [batch for batch, _ in zip(made, range(job["batches"]), strict=False)]
    arrays = {
        f"{number}/{name}": values.numpy()
        for number, batch in enumerate(batches)
        for name, values in (("token_ids", batch["features"]["token_ids"]), ("targets", batch["targets"]))
    }
    np.savez(work / "weights.npz", **{weight.path: np.asarray(weight) for weight in model.weights})
    np.savez(work / "batches.npz", **arrays)
    facts = {
        "task": "classification", "architecture": config.model.architecture, "config": config.model.model_dump(),
        "pad_id": prepared.task.tokenizer.pad_id, "training": config.training.model_dump(mode="json"),
    }  # fmt: skip
    (work / "model.json").write_text(json.dumps(facts), encoding="utf-8")
    rows = float(np.mean([batch["targets"].shape[0] for batch in batches]))
    size = sum(int(np.prod(weight.shape)) * 4 for weight in model.weights)
    return (
        lambda index: float(loop.step(batches[index])),
        {"version": f"tensorflow {tf.__version__}", "size_bytes": size, "rows": rows},
    )


if __name__ == "__main__":
    serve(load, json.loads)
