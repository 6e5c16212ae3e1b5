"""Translation and generation against CTranslate2 int8 and torch.

    python benchmarks/generation.py prepare    RUN   builds the peers of all tables, times nothing
    python benchmarks/generation.py step       RUN   a translator, ids to ids, answers of one length: ms a token
    python benchmarks/generation.py text       RUN   a translator, string to string on its test set, with BLEU
    python benchmarks/generation.py throughput RUN   a translator, 1000 strings to strings, two workers
    python benchmarks/generation.py lm         RUN   a language model, ids to ids, answers of one length: ms a token

In place of RUN: `--shape 4+4x256 --vocabulary 8000` (6x384: a language model) for `step` and `lm` with random weights.
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
from drive import BLOCK, System, Timing, compare, machine_limits, reading_speed, run_builder, table, throughput_table

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

CTRANSLATE2 = "CTranslate2 int8"
SCRIPTS = {
    "textapp": "writer_textapp.py",
    CTRANSLATE2: "writer_ctranslate2.py",
    "torch int8": "writer_torch.py",
    "torch bfloat16": "writer_torch.py",
    "torch float32": "writer_torch.py",
}
# The default of CTranslate2, and alternatives from its documentation; the fastest of them is compared.
SETTINGS = {
    "as it comes": {},
    "AVX-512": {"CT2_FORCE_CPU_ISA": "AVX512"},
    "MKL": {"CT2_USE_MKL": "1"},
    "MKL, AVX-512": {"CT2_USE_MKL": "1", "CT2_FORCE_CPU_ISA": "AVX512"},
    "MKL, AVX-512, packed": {
        "CT2_USE_MKL": "1",
        "CT2_FORCE_CPU_ISA": "AVX512",
        "CT2_USE_EXPERIMENTAL_PACKED_GEMM": "1",
    },
}
TRIALS = 5  # blocks for each of these settings
FAR_BEHIND = 2.0  # times the best median, above which a setting is dropped
BUILDERS = [
    HERE / name
    for name in (
        "generator_weights.py",
        "peers/build_generator.py",
        "peers/generator_ctranslate2.py",
        "peers/generator_torch.py",
    )
]


def prepare(options: argparse.Namespace) -> dict[str, Any]:
    """Fills the work folder, once for each model, bundle and query length; returns the output of the builder."""
    subject = [options.source, options.new, options.shape, options.vocabulary, options.data_dir]
    digest = hashlib.sha256(json.dumps(subject, default=str).encode())
    packages = ("layers", "models", "export")  # random models depend on these only
    read = [*BUILDERS, *(file for name in packages for file in sorted((HERE.parent / "textapp" / name).glob("*.py")))]
    if options.run:
        read += [options.run / "manifest.json", options.bundle / "manifest.json"]
    for file in read:
        digest.update(file.read_bytes())
    name = options.run.name if options.run else f"random-{options.shape}-{options.vocabulary}"
    options.work = options.work_dir / f"{name}-writing-{digest.hexdigest()[:10]}"
    report = options.work / "report.json"
    if not report.is_file():
        what = ["--run", options.run, "--bundle", options.bundle] if options.run else ["--shape", options.shape]
        what += ["--vocabulary", options.vocabulary] * (options.run is None)
        what += ["--data-dir", options.data_dir] * (options.data_dir is not None)
        lengths = ["--source", options.source, "--new", options.new]
        run_builder([sys.executable, HERE / "generator_weights.py", options.work, *what, *lengths])
        built = run_builder([options.peers_python, HERE / "peers" / "build_generator.py", options.work])
        report.write_text(built.splitlines()[-1], encoding="utf-8")
    options.facts = _read(options.work / "model.json")
    return _read(report)


def _read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def nothing(options: argparse.Namespace) -> None:
    """Builds the peers without timing, so the machine may be busy."""


def step(options: argparse.Namespace) -> None:
    """Times token ids to token ids; every answer has `--new` tokens."""
    read = f"{options.source}-token {'sources' if options.facts['encoder'] else 'prompts'}"
    print(f"### Ids to ids, {read}, {options.new} new tokens, batch 1, {options.threads} thread(s)\n")
    if not options.facts["trained"]:
        print(f"Shape {options.shape}, vocabulary {options.vocabulary}, random weights: no quality.\n")
    expected = _read(options.work / "queries.json")["expected"]

    def judge(found: list[list[int]]) -> dict[str, float]:
        if {len(ids) for ids in found} != {options.new}:
            raise SystemExit(f"an answer is not {options.new} tokens long")
        same = [one == other for one, other in zip(found, expected, strict=True)]
        return {"answers as in float32 %": 100 * float(np.mean(same))} if options.facts["trained"] else {}

    num_bytes = weight_bytes(options.facts, options.work)
    limit_ms = 1000 * num_bytes / reading_speed(num_bytes)

    def more(timing: Timing) -> dict[str, str]:
        step_ms = timing.percentile(50) / options.new
        limit = f"{100 * limit_ms / step_ms:.0f}" if timing.name.split()[-1] in ("textapp", "int8") else ""
        return {"ms a step": f"{step_ms:.3f}", "tokens/s": f"{1000 / step_ms:.0f}", "% of the limit": limit}

    _timed(options, "ids", judge, len(expected), more)
    print(
        f"A step is the whole answer by {options.new}, what reads the {read[:-1]} included. The limit: int8 weights "
        f"that a step reads, {num_bytes / 1e6:.1f} MB, at the {num_bytes / limit_ms / 1e6:.0f} GB/s at which one core "
        f"read as many bytes again and again just before: {limit_ms:.3f} ms.  "
    )


def weight_bytes(facts: dict[str, Any], work: Path) -> int:
    """Bytes that a decoding step must read: int8 kernels of the decoder and the logits, the rest as float32.

    Of the embeddings only one row is read, and the kernels for keys and values of the memory once per answer.
    """
    total = 0
    with np.load(work / "weights.npz") as weights:
        for name in weights.files:
            read_once = "/cross_attention/key" in name or "/cross_attention/value" in name
            if name.startswith(("decoder/block", "decoder/norm", "logits")) and not read_once:
                total += weights[name].size * (1 if name.endswith("kernel") else 4)
    return total


def text(options: argparse.Namespace) -> None:
    """Times string to string on the whole test set; the model ends each answer."""
    records = _records(options)
    print(f"### String to string, {len(records)} test texts, batch 1, {options.threads} thread(s)\n")
    _timed(options, "text", _bleu(options, records), len(records))


def _records(options: argparse.Namespace) -> list[dict[str, Any]]:
    return _read(options.work / "examples.json")[: options.limit]


def _bleu(options: argparse.Namespace, records: list[dict[str, Any]]) -> Callable[[list[str]], dict[str, float]]:
    from textapp.catalog import task_from_manifest
    from textapp.tasks.generative import TextAnswer
    from textapp.text.tokenizer import load_tokenizers

    manifest = _read(options.bundle / "manifest.json")
    task = task_from_manifest(manifest, load_tokenizers(options.bundle))

    def judge(found: list[str]) -> dict[str, float]:
        pairs = zip(records, found, strict=True)
        scores = task.score(records, [TextAnswer(record["source"], output, None) for record, output in pairs])
        return {"BLEU": scores["bleu"], "chrF": scores["chrf"]}

    return judge


def _timed(options: argparse.Namespace, mode: str, judge: Any, num_texts: int, more: Any = lambda timing: {}) -> None:
    settings = _fastest_settings(options, mode, num_texts)
    systems = [
        _system(options, name, mode, SETTINGS[settings] if name == CTRANSLATE2 else {})
        for name in SCRIPTS
        if name == "textapp" or not options.only or name.split()[0] in options.only
    ]
    try:
        print(table(compare(systems, judge, num_texts, options.queries), more) + "\n")
    finally:
        _close(systems)
    print(f"CTranslate2's settings: {settings}, the fastest of {', '.join(SETTINGS)}.  ")


def _fastest_settings(options: argparse.Namespace, mode: str, num_texts: int) -> str:
    """The fastest settings of CTranslate2, by the median of a few blocks in turn."""
    systems = {settings: _system(options, CTRANSLATE2, mode, SETTINGS[settings]) for settings in SETTINGS}
    times: dict[str, list[float]] = {settings: [] for settings in SETTINGS}
    try:
        for block in range(TRIALS + 1):
            indices = [index % num_texts for index in range(block * BLOCK, (block + 1) * BLOCK)]
            tried = {settings: systems[settings].ask(indices=indices)["times_ms"] for settings in times}
            if not block:  # warms up, and drops much slower settings, such as MKL for a language model
                best = min(np.median(found) for found in tried.values())
                times = {settings: [] for settings, found in tried.items() if np.median(found) < FAR_BEHIND * best}
                continue
            for settings in times:
                times[settings] += tried[settings]
    finally:
        _close(list(systems.values()))
    return min(times, key=lambda settings: np.median(times[settings]))


def _system(options: argparse.Namespace, name: str, mode: str, settings: dict[str, str], whole: bool = False) -> System:
    job = {
        "work": str(options.work),
        "bundle": str(options.work / "fixed" if mode == "ids" else options.bundle),
        "mode": mode,
        "limit": options.limit,
        "threads": options.threads,
        "variant": name.split()[-1],
    }
    return System(name, SCRIPTS[name], str(options.peers_python), job, whole, settings)


def _close(systems: list[System]) -> None:
    for system in systems:
        system.close()


def throughput(options: argparse.Namespace) -> None:
    """Times many strings to strings on `--threads` workers; CTranslate2 at its best batch size."""
    options.limit = min(options.limit or 1000, 1000)
    records = _records(options)
    settings = _fastest_settings(options, "text", len(records))
    names = {"textapp": {}, CTRANSLATE2: SETTINGS[settings]}
    systems = [_system(options, name, "text", given, whole=True) for name, given in names.items()]
    print(f"### Throughput, string to string, {len(records)} texts, {options.threads} workers\n")
    try:
        print(throughput_table(systems, _bleu(options, records), len(records)) + "\n")
    finally:
        _close(systems)
    print(f"CTranslate2's settings: {settings}; inter_threads {options.threads}, intra_threads 1.  ")


TABLES = {"prepare": nothing, "step": step, "text": text, "throughput": throughput, "lm": step}


def main() -> None:
    options = _options()
    report = prepare(options)
    expected = {"lm": False, "step": True, "text": True, "throughput": True}.get(options.what)
    if expected is not None and (options.facts["encoder"] is not None) != expected:
        raise SystemExit(f"{options.what} is for a {'translator' if expected else 'language model'}: take another run")
    TABLES[options.what](options)
    print("Command: `python " + " ".join(sys.argv) + "`  ")
    print(f"Machine: {machine_limits()}  ")
    print(f"Peers: {json.dumps(report)}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=TABLES)
    parser.add_argument("run", type=Path, nargs="?", help="a run folder")
    parser.add_argument("--shape", help="in place of a run, with random weights: 4+4x256, or 6x384")
    parser.add_argument("--vocabulary", type=int, help="of a --shape")
    parser.add_argument("--bundle", type=Path, help="default: RUN/exports/litert")
    parser.add_argument("--data-dir", type=Path, help="where the run's data paths start; default: as it was trained")
    parser.add_argument("--source", type=int, default=32, help="tokens of a source or a prompt, for step and lm")
    parser.add_argument("--new", type=int, default=64, help="tokens of an answer, for step and lm")
    parser.add_argument("--threads", type=int, help="default: 2 for throughput, else 1")
    parser.add_argument("--queries", type=int, default=400, help="timed queries of each system, 200 at least")
    parser.add_argument("--limit", type=int, help="texts of the test set, for text and throughput; default: all, 1000")
    parser.add_argument("--only", nargs="*", help="peers by their first word, such as CTranslate2")
    parser.add_argument("--peers-python", type=Path, default=HERE.parent / ".venv-peers" / "bin" / "python")
    parser.add_argument("--work-dir", type=Path, default=HERE.parent / "saved_models" / "benchmarks")
    options = parser.parse_args()
    if (options.run is None) == (options.shape is None):
        parser.error("name a run or a --shape, one of them")
    if options.shape and (options.vocabulary is None or options.what in ("text", "throughput")):
        parser.error("a --shape needs its --vocabulary, and serves step and lm only")
    if options.queries < 200:
        parser.error(f"--queries {options.queries}: fewer than 200 say nothing about a p99")
    options.threads = options.threads or (2 if options.what == "throughput" else 1)
    if options.run:
        options.bundle = options.bundle or options.run / "exports" / "litert"
    return options


if __name__ == "__main__":
    main()
