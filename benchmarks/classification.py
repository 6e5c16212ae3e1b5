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
import hashlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from drive import System, compare, machine_limits, run_builder, table, throughput_table

HERE = Path(__file__).parent
ENGINES = {
    "OpenVINO int8": "openvino_int8.py",
    "ONNX Runtime int8": "onnxruntime_int8.py",
    "ONNX Runtime fp32": "onnxruntime_int8.py",  # its int8 convolutions are slower than its float32 ones
    "torch int8": "torch_int8.py",
}
BUILDERS = [HERE / name for name in ("weights.py", "keras_lstm.py", "peers/build.py", "peers/twins.py")]


def prepare(options: argparse.Namespace) -> dict[str, Any]:
    """Fills the work folder, once for each model, bundle and test file; returns the output of the builder."""
    options.bundle = options.bundle or options.run / "exports" / "litert"
    lengths = json.loads((options.bundle / "manifest.json").read_text(encoding="utf-8"))["lengths"]
    options.length = options.length or lengths[-1]
    if options.length not in lengths:
        raise SystemExit(f"--length {options.length}: {options.bundle} has the lengths {lengths}; take one of them")
    digest = hashlib.sha256(str(options.data.resolve()).encode())
    for file in (*BUILDERS, options.run / "manifest.json", options.bundle / "manifest.json"):
        digest.update(file.read_bytes())
    digest.update(str(options.length).encode() if options.what == "lstm" else b"")
    kind = options.what if options.what in ("fasttext", "lstm") else "engines"
    options.work = options.work_dir / f"{options.run.name}-{kind}-{digest.hexdigest()[:10]}"
    report = options.work / "report.json"
    if not report.is_file():
        folders = [options.run, options.bundle, options.work]
        flags = ["--fasttext"] * (kind == "fasttext") + (["--data-dir", options.data_dir] if options.data_dir else [])
        run_builder([sys.executable, HERE / "weights.py", *folders, "--data", options.data, *flags])
        if kind == "lstm":
            built = run_builder([sys.executable, HERE / "keras_lstm.py", *folders, options.length])
        else:
            built = run_builder([options.peers_python, HERE / "peers" / "build.py", options.work, kind])
        report.write_text(built.splitlines()[-1], encoding="utf-8")
    return json.loads(report.read_text(encoding="utf-8"))


def nothing(options: argparse.Namespace) -> None:
    """Builds the peers without timing, so the machine may be busy."""


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


def _timed(options: argparse.Namespace, peers: dict[str, str], mode: str, length: int | None) -> None:
    if (options.work / "plain.onnx").is_file() and length and not (options.work / "masked.onnx").is_file():
        print("(no padded graph of this model: a bidirectional LSTM is compared with dynamic shapes only)\n")
        return
    systems = [
        _system(options, name, script, mode, length)
        for name, script in {"textapp": "textapp_litert.py", **peers}.items()
        if name == "textapp" or not options.only or name.split()[0] in options.only
    ]
    try:
        print(table(compare(systems, *_judge(options), options.queries)) + "\n")
    finally:
        for system in systems:
            system.close()


def _system(
    options: argparse.Namespace, name: str, script: str, mode: str, length: int | None, whole: bool = False
) -> System:
    variant = name.split()[-1]
    bundle = options.work / f"lstm_{variant}" if " LSTM " in name else options.bundle
    job = {
        "work": str(options.work),
        "bundle": str(bundle),
        "mode": mode,
        "length": length,
        "threads": options.threads,
        "variant": variant,
    }
    return System(name, script, str(options.peers_python), job, whole)


def throughput(options: argparse.Namespace) -> None:
    """Times the whole test set, strings to labels, on `--threads` workers; every peer at its best batch size."""
    scripts = {
        "textapp": "textapp_litert.py",
        **{name: ENGINES[name] for name in ("OpenVINO int8", "ONNX Runtime int8")},
    }
    judge, num_texts = _judge(options)
    systems = [_system(options, name, script, "text", None, whole=True) for name, script in scripts.items()]
    print(f"### Throughput, string to label, {num_texts} texts, {options.threads} workers\n")
    try:
        print(throughput_table(systems, judge, num_texts) + "\n")
    finally:
        for system in systems:
            system.close()


def _judge(options: argparse.Namespace) -> tuple[Callable[[list[int]], dict[str, float]], int]:
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=TABLES)
    parser.add_argument("run", type=Path, help="a run folder")
    parser.add_argument("--bundle", type=Path, help="default: RUN/exports/litert")
    parser.add_argument("--data", type=Path, required=True, help="the test file")
    parser.add_argument("--data-dir", type=Path, help="where the run's data paths start; default: as it was trained")
    parser.add_argument("--length", type=int, help="tokens of the padded tables; default: the longest of the bundle")
    parser.add_argument("--threads", type=int, help="default: 2 for throughput, else 1")
    parser.add_argument("--queries", type=int, default=600, help="timed queries of each system, 200 at least")
    parser.add_argument("--only", nargs="*", help="peers by their first word, such as OpenVINO")
    parser.add_argument("--peers-python", type=Path, default=HERE.parent / ".venv-peers" / "bin" / "python")
    parser.add_argument("--work-dir", type=Path, default=HERE.parent / "saved_models" / "benchmarks")
    options = parser.parse_args()
    options.threads = options.threads or (2 if options.what == "throughput" else 1)
    if options.queries < 200:
        parser.error(f"--queries {options.queries}: fewer than 200 say nothing about a p99")
    report = prepare(options)
    TABLES[options.what](options)
    print("Command: `python " + " ".join(sys.argv) + "`  ")
    print(f"Machine: {machine_limits()}  ")
    print(f"Peers: {json.dumps(report)}")


if __name__ == "__main__":
    main()
