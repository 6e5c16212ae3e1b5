"""What the tables of classifiers and readers share: their peers, the folder that these are built in, the options."""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from drive import System, compare, machine_limits, run_builder, table

HERE = Path(__file__).parent
Judge = Callable[[list[Any]], dict[str, float]]
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


def timed(
    options: argparse.Namespace, peers: Mapping[str, str], mode: str, length: int | None, judge: Judge, num_texts: int
) -> None:
    """Prints the table of textapp and its peers.

    Args:
        options: of the command line.
        peers: name -> script.
        mode, length: see `peers/serve.py: Job`.
        judge: answers to the whole test set -> figures by name.
        num_texts: of the test set.
    """
    systems = [
        start(options, name, script, mode, length)
        for name, script in {"textapp": "textapp_litert.py", **peers}.items()
        if name == "textapp" or not options.only or name.split()[0] in options.only
    ]
    try:
        print(table(compare(systems, judge, num_texts, options.queries)) + "\n")
    finally:
        for system in systems:
            system.close()


def start(
    options: argparse.Namespace, name: str, script: str, mode: str, length: int | None, whole: bool = False
) -> System:
    """Starts textapp or a peer; `whole`: for throughput."""
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


def nothing(options: argparse.Namespace) -> None:
    """Builds the peers without timing, so the machine may be busy."""


def main(description: str, tables: Mapping[str, Callable[[argparse.Namespace], None]]) -> None:
    """Reads the command line, builds what is missing and prints a table."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=tables)
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
    tables[options.what](options)
    print("Command: `python " + " ".join(sys.argv) + "`  ")
    print(f"Machine: {machine_limits()}  ")
    print(f"Peers: {json.dumps(report)}")
