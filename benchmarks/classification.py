"""Classification against OpenVINO int8, ONNX Runtime int8, torch int8, Keras's LSTM and fastText.

    python benchmarks/classification.py prepare    RUN --data TEST   builds the peers of the next three, times nothing
    python benchmarks/classification.py model      RUN --data TEST   ids to label, padded to --length
    python benchmarks/classification.py texts      RUN --data TEST   string to label, dynamic shapes; peers padded too
    python benchmarks/classification.py throughput RUN --data TEST   whole test set, two workers
    python benchmarks/classification.py fasttext   RUN --data TEST   an mlp run against fastText, string to label
    python benchmarks/classification.py lstm       RUN --data TEST   an lstm run against Keras's LSTM, both LiteRT

Each table is a Markdown section for docs/results.md. README.md in this folder describes the set-up.
"""

from __future__ import annotations

import argparse
import json

import numpy as np
from drive import throughput_table
from engines import ENGINES, Judge, main, nothing, start, timed


def model_only(options: argparse.Namespace) -> None:
    """Times token ids to label, at one padded length."""
    print(f"### Model only, {options.length} tokens, {options.threads} thread(s)\n")
    _timed(options, ENGINES, mode="ids", length=options.length)


def texts(options: argparse.Namespace) -> None:
    """Times string to label: peers with dynamic shapes, then padded; textapp uses its buckets both times."""
    for length in (None, options.length):
        shapes = f"peers padded to {length}" if length else "peers with dynamic shapes, no mask"
        print(f"### String to label, {shapes}, {options.threads} thread(s)\n")
        _timed(options, ENGINES, mode="text", length=length)


def fasttext(options: argparse.Namespace) -> None:
    """Times string to label against fastText, trained on the same texts with the best of a few settings."""
    print("### String to label against fastText, 1 thread\n")
    peers = dict.fromkeys(("fastText", "fastText compressed"), "fasttext_bag.py")
    _timed(options, peers, mode="text", length=None)


def lstm(options: argparse.Namespace) -> None:
    """Times our Lstm layer against those that Keras and tf_keras export, on the same runtime."""
    fused = (options.work / "lstm_fused").is_dir()
    peers = ["Keras LSTM masked", *["tf_keras LSTM fused"] * fused]
    for mode, what in (("ids", "the test texts, padded"), ("full", "the test texts, each repeated until it is full")):
        print(f"### LSTM, ids to label, {options.length} tokens: {what}, {options.threads} thread(s)\n")
        _timed(options, dict.fromkeys(peers, "textapp_litert.py"), mode=mode, length=options.length)


def throughput(options: argparse.Namespace) -> None:
    """Times the whole test set, strings to labels, on `--threads` workers; every peer at its best batch size."""
    scripts = {
        "textapp": "textapp_litert.py",
        **{name: ENGINES[name] for name in ("OpenVINO int8", "ONNX Runtime int8")},
    }
    judge, num_texts = _judge(options)
    systems = [start(options, name, script, "text", None, whole=True) for name, script in scripts.items()]
    print(f"### Throughput, string to label, {num_texts} texts, {options.threads} workers\n")
    try:
        print(throughput_table(systems, judge, num_texts) + "\n")
    finally:
        for system in systems:
            system.close()


def _timed(options: argparse.Namespace, peers: dict[str, str], mode: str, length: int | None) -> None:
    if (options.work / "plain.onnx").is_file() and length and not (options.work / "masked.onnx").is_file():
        print("(no padded graph of this model: a bidirectional LSTM is compared with dynamic shapes only)\n")
        return
    timed(options, peers, mode, length, *_judge(options))


def _judge(options: argparse.Namespace) -> tuple[Judge, int]:
    """A function from labels of the whole test set to its figures, and the size of the set."""
    labels = np.array(json.loads((options.work / "examples.json").read_text(encoding="utf-8"))["labels"])
    return lambda found: {"accuracy": 100 * float(np.mean(np.array(found) == labels))}, len(labels)


TABLES = {
    "prepare": nothing,
    "model": model_only,
    "texts": texts,
    "throughput": throughput,
    "fasttext": fasttext,
    "lstm": lstm,
}


if __name__ == "__main__":
    main(__doc__, TABLES)
