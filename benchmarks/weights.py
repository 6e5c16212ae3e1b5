"""From a run of textapp to what the peers are built from: weights, reference logits and the test set as token ids.

Runs in textapp's own environment: `python benchmarks/weights.py RUN WORK --data FILE`.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from textapp.artifact import open_artifact
from textapp.config import load_config
from textapp.predictor import load
from textapp.records.loading import load_records

NUM_REFERENCE = 200  # real texts that every peer is checked with, and that OpenVINO is calibrated with


def write_examples(bundle: Path, work: Path, data: Path) -> None:
    """examples.json: texts, token ids and label numbers of the test set; model.json: what the model is."""
    artifact = open_artifact(bundle)
    task = load(bundle).task
    if task.pair or task.multiple:
        raise SystemExit(f"{bundle}: the benchmarks take one text and one label an example")
    records = load_records(str(data), artifact.manifest)
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
        "spaces": "zh" not in artifact.manifest["languages"],
    }
    _write(work / "model.json", facts)


def write_weights(run: Path, work: Path) -> None:
    """weights.npz by the names that Keras gives; reference.npz: padded ids of real texts and the model's logits."""
    from textapp.export.bundle import load_float32

    model = load_float32(run / "model.keras")
    np.savez(work / "weights.npz", **{weight.path: np.asarray(weight) for weight in model.weights})
    facts = json.loads((work / "model.json").read_text(encoding="utf-8"))
    rows = json.loads((work / "examples.json").read_text(encoding="utf-8"))["ids"][:NUM_REFERENCE]
    token_ids = np.full((len(rows), max(map(len, rows))), facts["pad_id"], np.int32)
    for number, ids in enumerate(rows):
        token_ids[number, : len(ids)] = ids
    logits = np.asarray(model({"token_ids": token_ids}, training=False))
    np.savez(work / "reference.npz", token_ids=token_ids, logits=logits)
    config = load_config(run / "config.yaml").model.model_dump()
    _write(work / "model.json", {**facts, "config": config})


def write_fasttext(run: Path, work: Path, data_dir: Path) -> None:
    """fasttext.json: the very training and validation texts of the run, with label numbers."""
    from textapp.records.loading import load_splits

    labels = open_artifact(run).manifest["labels"]
    splits = load_splits(load_config(run / "config.yaml"), data_dir)
    number = {label: index for index, label in enumerate(labels)}
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
    parser.add_argument("--fasttext", type=Path, metavar="DATA_DIR", help="write fastText's training texts too")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    write_examples(options.bundle, options.work, options.data)
    if options.fasttext:
        write_fasttext(options.run, options.work, options.fasttext)
    else:
        write_weights(options.run, options.work)
