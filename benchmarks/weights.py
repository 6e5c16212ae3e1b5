"""Exports a run of textapp for the peers: weights, reference logits and the test set as token ids.

Runs in textapp's own environment: `python benchmarks/weights.py RUN BUNDLE WORK --data FILE`.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from textapp.artifact import open_artifact
from textapp.catalog import load_config
from textapp.commands.examples import evaluation_records, own_splits
from textapp.languages import normalized
from textapp.loading import load_artifact
from textapp.records.splits import Splits

NUM_REFERENCE = 200  # validation texts to check every peer and to calibrate OpenVINO


def write_examples(bundle: Path, work: Path, data: Path) -> Any:
    """Writes examples.json (texts, token ids and labels of the test set) and model.json (the configuration).

    Returns:
        The task of the bundle.
    """
    artifact = open_artifact(bundle)
    task = load_artifact(artifact).task
    if task.pair or task.multiple:
        raise SystemExit(f"{bundle}: the benchmarks take one text and one label an example")
    records, _ = evaluation_records(artifact, [data])
    examples = {
        "texts": [record["text"] for record in records],
        "ids": [task.features(record)["token_ids"] for record in records],
        "labels": [task.target(record) for record in records],
    }
    _write(work / "examples.json", examples)
    facts = {
        "architecture": artifact.manifest["architecture"],
        "labels": task.labels,
        "pad_id": task.tokenizer.pad_id,
        "spaces": "zh" not in map(normalized, artifact.manifest["languages"]),
    }
    _write(work / "model.json", facts)
    return task


def write_weights(run: Path, work: Path, task: Any, splits: Splits) -> None:
    """Writes weights.npz, by Keras names, and reference.npz: padded ids of validation texts with their logits."""
    from textapp.arrays import spread
    from textapp.models.saving import load_float32

    model = load_float32(run / "model.keras")
    np.savez(work / "weights.npz", **{weight.path: np.asarray(weight) for weight in model.weights})
    facts = json.loads((work / "model.json").read_text(encoding="utf-8"))
    rows = [task.features(record)["token_ids"] for record in spread(splits.validation, NUM_REFERENCE)]
    token_ids = np.full((len(rows), max(map(len, rows))), facts["pad_id"], np.int32)
    for number, ids in enumerate(rows):
        token_ids[number, : len(ids)] = ids
    logits = np.asarray(model({"token_ids": token_ids}, training=False))
    np.savez(work / "reference.npz", token_ids=token_ids, logits=logits)
    config = load_config(run / "config.yaml").model.model_dump()
    _write(work / "model.json", {**facts, "config": config})


def write_fasttext(run: Path, work: Path, splits: Splits) -> None:
    """Writes fasttext.json: the training and validation texts of the run, with label numbers."""
    number = {label: index for index, label in enumerate(open_artifact(run).manifest["labels"])}
    pairs = {
        name: [(record["text"], number[record["label"]]) for record in getattr(splits, name)]
        for name in ("train", "validation")
    }
    _write(work / "fasttext.json", pairs)


def _write(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--data", type=Path, required=True, help="the test file")
    parser.add_argument("--data-dir", type=Path, help="where the run's data paths start; default: as it was trained")
    parser.add_argument("--fasttext", action="store_true", help="write fastText's training texts, and no weights")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    run_splits = own_splits(open_artifact(options.run), options.data_dir)
    bundle_task = write_examples(options.bundle, options.work, options.data)
    if options.fasttext:
        write_fasttext(options.run, options.work, run_splits)
    else:
        write_weights(options.run, options.work, bundle_task, run_splits)
