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
from textapp.predictors.requests import stacked
from textapp.records.splits import Splits

NUM_REFERENCE = 200  # validation texts to check every peer and to calibrate OpenVINO


def write_examples(bundle: Path, work: Path, data: Path) -> Any:
    """Writes examples.json (texts, token ids and labels of the test set) and model.json (the configuration).

    Returns:
        The task of the bundle.
    """
    artifact = open_artifact(bundle)
    task = load_artifact(artifact).task
    records, _ = evaluation_records(artifact, [data])
    facts = {
        "task": task.name,
        "architecture": artifact.manifest["architecture"],
        "pad_id": task.tokenizer.pad_id,
        "spaces": "zh" not in map(normalized, artifact.manifest["languages"]),
    }
    if task.name == "question_answering":
        windows = [task.requests(record)[0].features for record in records]
        examples = {
            "texts": [{field: record[field] for field in task.fields} for record in records],
            "records": records,
            "rows": windows,
        }
    elif task.pair or task.multiple:
        raise SystemExit(f"{bundle}: the benchmarks take one text and one label an example")
    else:
        examples = {
            "texts": [record["text"] for record in records],
            "rows": [{"token_ids": task.features(record)["token_ids"]} for record in records],
            "labels": [task.target(record) for record in records],
        }
        facts["labels"] = task.labels
    _write(work / "examples.json", examples)
    _write(work / "model.json", facts)
    return task


def write_weights(run: Path, work: Path, task: Any, splits: Splits) -> None:
    """Writes weights.npz, by Keras names, and reference.npz: padded features of validation texts with their logits.

    For question answering also spans.json: the span of each test window that the Keras model finds most likely.
    """
    from textapp.arrays import spread
    from textapp.models.saving import load_float32

    model = load_float32(run / "model.keras")
    np.savez(work / "weights.npz", **{weight.path: np.asarray(weight) for weight in model.weights})
    facts = json.loads((work / "model.json").read_text(encoding="utf-8"))
    chosen = spread(splits.validation, NUM_REFERENCE)
    if task.name == "question_answering":
        examples = json.loads((work / "examples.json").read_text(encoding="utf-8"))
        logits = [np.asarray(model(_stacked([row], facts["pad_id"]), training=False))[0] for row in examples["rows"]]
        _write(work / "spans.json", [row.argmax(0).tolist() for row in logits])
        features = _stacked([task.requests(record)[0].features for record in chosen], facts["pad_id"])
    else:
        features = _stacked([{"token_ids": task.features(record)["token_ids"]} for record in chosen], facts["pad_id"])
    np.savez(work / "reference.npz", **features, logits=np.asarray(model(features, training=False)))
    config = load_config(run / "config.yaml").model.model_dump()
    heads = [layer.settings.num_heads for layer in model._flatten_layers() if hasattr(layer, "settings")]
    if heads:  # a preset's config does not have it
        config["num_heads"] = heads[0]
    _write(work / "model.json", {**facts, "config": config})


def _stacked(rows: list[dict[str, list[int]]], pad_id: int) -> dict[str, np.ndarray]:
    return stacked(rows, max(len(row["token_ids"]) for row in rows), pad_id)


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
