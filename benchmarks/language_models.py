"""A published language model on one core: textapp int8 against llama.cpp and OpenVINO GenAI, Q8_0 and Q4_0.

    python benchmarks/language_models.py RUN                  all tables, about eight minutes on a quiet machine
    python benchmarks/language_models.py RUN --only prepare   builds what they need, times nothing
    python benchmarks/language_models.py RUN --only 32+64 512+128 512+1 start chat
    python benchmarks/language_models.py RUN --only tokens --bundle FLOAT32     whether llama.cpp in F32 writes the same

RUN is a run of a GGUF file as it is (`training: {epochs: 0}`), with a bundle that has the three pairs of lengths of
docs/language_models.md. The peers have the same weights, quantized again. README.md in this folder says more.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from drive import System, Timing, compare, machine_limits, markdown, reading_speed, run_builder, verdict

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

SCRIPTS = {
    "textapp": "writer_textapp.py",
    "llama.cpp": "writer_llamacpp.py",
    "OpenVINO GenAI": "writer_openvino.py",
}
KINDS = ("Q8_0", "Q4_0")  # of GGUF, in which the peers are timed
SYSTEMS = ["textapp", *(f"{name} {kind}" for name in SCRIPTS if name != "textapp" for kind in KINDS)]
# (tokens of a prompt, new tokens): prompts, and timed queries of each system in rounds of one.
ROWS = {(32, 64): (4, 16), (512, 128): (2, 6), (512, 1): (2, 8)}
STARTS = 4  # fresh processes of each system
CHATS = 8
HISTORY = 500  # tokens of the first message
COMPARED, SAME = 10, 40  # prompts, and tokens of each that have to be the same in float32
ATTENTION = "OPENVINO_ATTENTION"  # see peers/writer_openvino.py


def prepare(options: argparse.Namespace) -> dict[str, Any]:
    """Fills the work folder, once for each bundle and GGUF file; returns facts about both."""
    digest = hashlib.sha256(str(options.gguf.resolve()).encode())
    for file in (Path(__file__), HERE / "peers" / "build_gguf.py", options.bundle / "manifest.json"):
        digest.update(file.read_bytes())
    options.work = options.work_dir / f"{options.run.name}-language-model-{digest.hexdigest()[:10]}"
    report = options.work / "report.json"
    if not report.is_file():
        options.work.mkdir(parents=True, exist_ok=True)
        built = build(options, *KINDS)
        write_queries(options.bundle, options.work)
        report.write_text(built.splitlines()[-1], encoding="utf-8")
    return json.loads(report.read_text(encoding="utf-8"))


def build(options: argparse.Namespace, *kinds: str) -> str:
    """Writes the model as GGUF files of some kinds into the work folder; returns what the builder tells."""
    return run_builder([options.peers_python, HERE / "peers" / "build_gguf.py", options.gguf, options.work, *kinds])


def write_queries(bundle: Path, work: Path) -> None:
    """Prompts of a fixed length from the texts that textapp brings along, whose answers do not end before the last
    token, and first messages of a chat.
    """
    from textapp.runners.edge import EdgeRunner

    task = task_of(bundle)
    known = [tuple(pair) for pair in task.generate_lengths]
    missing = [pair for pair in ROWS if pair[1] > 1 and pair not in known]
    if missing:
        raise SystemExit(f"{bundle} has the generate_lengths {known}, expected {missing} too")
    runner = EdgeRunner(bundle / "model.tflite", threads=2)
    for (source, new), (count, _) in ROWS.items():
        folder = work / f"{source}_{new}"
        folder.mkdir(exist_ok=True)
        kept: list[list[int]] = []
        for window in windows(task, source - 1):
            ids = task.joined(window)
            features = {"token_ids": np.array([ids], np.int32), "num_tokens": np.array([len(ids)], np.int32)}
            if new == 1 or runner.run(f"generate_{source}_{new}", features)["num_tokens"][0] == new:
                kept.append(ids)
            if len(kept) == count:
                break
        else:
            raise SystemExit(f"only {len(kept)} of {count} answers to {source} tokens have {new} new ones")
        _write(folder / "queries.json", {"source": source, "new": new, "ids": kept})
        _write(folder / "model.json", {"pad_id": task.tokenizer.pad_id})
        _write(folder / "examples.json", [{"source": task.decode(ids[1:])} for ids in kept])
    chats = [f"{task.decode(window)}\n\nWhat is this about?" for window in windows(task, HISTORY)]
    _write(work / "chats.json", chats[:CHATS])


def windows(task: Any, length: int) -> Iterator[list[int]]:
    """Parts of the texts that textapp brings along, of so many tokens."""
    from textapp.recipes.generation_texts import TEXTS

    stream = [token_id for text in TEXTS for token_id in task.tokenizer.ids(f"{text}\n\n")]
    return (stream[start : start + length] for start in range(0, len(stream) - length, 53))


def task_of(bundle: Path) -> Any:
    from textapp.catalog import task_from_manifest
    from textapp.text.tokenizer import load_tokenizers

    return task_from_manifest(_read(bundle / "manifest.json"), load_tokenizers(bundle))


def written(options: argparse.Namespace, source: int, new: int, num_bytes: int) -> None:
    """Token ids to token ids, every answer of the same length; with one new token, what reads a prompt."""
    count, queries = ROWS[source, new]
    folder = options.work / f"{source}_{new}"
    what = f"{new} new tokens" if new > 1 else "the first new token (the time to read a prompt)"
    print(f"### Ids to ids, {source}-token prompts, {what}, batch 1, 1 thread\n")
    systems = [_system(options, name, folder, "ids") for name in SYSTEMS]
    likeness = Likeness(task_of(options.bundle).decode)
    try:
        timings = compare(systems, likeness.judge, count, options.rounds or queries, block_size=1)
    finally:
        _close(systems)
    limit_ms = 1000 * num_bytes / reading_speed(num_bytes)
    print(markdown([_row(timing, timings[0], source, new, limit_ms) for timing in timings]) + "\n")
    if new > 1:
        print(
            f"A step is the whole answer by {new}. Limit: {num_bytes / 1e6:.1f} MB of int8 weights at the "
            f"{num_bytes / limit_ms / 1e6:.1f} GB/s of one core just then, {limit_ms:.2f} ms.  "
        )
    print(f"{len(timings[0].blocks)} queries of each system, one in turn, {count} prompts.\n")


def _row(timing: Timing, ours: Timing, source: int, new: int, limit_ms: float) -> dict[str, str]:
    median, own = timing.percentile(50), timing is ours
    if new == 1:
        speed = {"tokens read a second": f"{1000 * source / median:.0f}"}
    else:
        share = f"{100 * limit_ms * new / median:.0f}" if own else ""
        speed = {"ms a step": f"{median / new:.2f}", "% of the limit": share}
    return {
        "system": f"{timing.name} ({timing.facts['version']})",
        "p50 ms": f"{median:.0f}",
        **speed,
        "textapp against it (95 %)": "" if own else verdict(timing.blocks, ours.blocks),
        "size MB": f"{timing.facts['size_bytes'] / 1e6:.1f}",
        "memory MB": f"{timing.facts['memory_mb']:.0f}",
        **{name: "" if own else f"{figure:.0f}" for name, figure in timing.quality.items()},
    }


class Likeness:
    """How far answers begin with the characters of the first system's: whether two roundings are of one model.

    Args:
        decode: token ids to text.
    """

    def __init__(self, decode: Callable[[list[int]], str]) -> None:
        self._decode = decode
        self._first: list[str] = []

    def judge(self, answers: list[Any]) -> dict[str, float]:
        """The mean share of characters before the first one that differs, 0 to 100."""
        texts = [(answer if isinstance(answer, str) else self._decode(answer)).lstrip() for answer in answers]
        self._first = self._first or texts
        pairs = zip(texts, self._first, strict=True)
        shares = [len(os.path.commonprefix([text, first])) / max(1, len(first)) for text, first in pairs]
        return {"begins as textapp's %": 100 * float(np.mean(shares))}


def start(options: argparse.Namespace) -> None:
    """From a fresh process to the first answer, string to string, imports included; and its most memory."""
    source, new = next(iter(ROWS))
    print(f"### Fresh process to the first answer, string to string, {source} + {new} tokens, 1 thread\n")
    seconds: dict[str, list[float]] = {name: [] for name in SYSTEMS}
    memory, facts = {}, {}
    for _ in range(options.rounds or STARTS):
        for name in SYSTEMS:
            begin = time.perf_counter()
            system = _system(options, name, options.work / f"{source}_{new}", "text")  # ready after one answer
            seconds[name].append(time.perf_counter() - begin)
            memory[name], facts[name] = system.ask(indices=[0])["memory_mb"], system.facts
            system.close()
    rows = [
        {
            "system": f"{name} ({facts[name]['version']})",
            "first answer s": f"{np.median(found):.2f}",
            "least, most s": f"{min(found):.2f}, {max(found):.2f}",
            "memory MB": f"{memory[name]:.0f}",
            "size MB": f"{facts[name]['size_bytes'] / 1e6:.1f}",
        }
        for name, found in seconds.items()
    ]
    print(markdown(rows) + "\n")


def tokens(options: argparse.Namespace) -> None:
    """Whether a float32 bundle and llama.cpp in F32 go on with the same tokens."""
    task, (source, new) = task_of(options.bundle), next(iter(ROWS))
    folder = options.work / "tokens"
    if not (options.work / "F32.gguf").is_file():
        build(options, "F32")
    folder.mkdir(exist_ok=True)
    prompts = [task.joined(window) for window in itertools.islice(windows(task, source - 1), COMPARED)]
    _write(folder / "queries.json", {"source": source, "new": new, "ids": prompts})
    _write(folder / "model.json", {"pad_id": task.tokenizer.pad_id})
    systems = [_system(options, name, folder, "ids") for name in ("textapp", "llama.cpp F32")]
    try:
        written = [system.ask(indices=list(range(COMPARED)))["answers"] for system in systems]
    finally:
        _close(systems)
    rows = []
    for ids, text in zip(*written, strict=True):
        begins = [task.decode(ids[:count]) for count in range(min(SAME, len(ids)) + 1)]
        equal = max(count for count, begin in enumerate(begins) if text.lstrip().startswith(begin.lstrip()))
        rows.append({"prompt": str(len(rows) + 1), "tokens": str(len(begins) - 1), "equal until": str(equal)})
    print(f"### The first {SAME} tokens, float32 bundle and llama.cpp in F32\n\n{markdown(rows)}\n")


def chat(options: argparse.Namespace) -> None:
    """Time to the first piece of an answer: to a first message of 500 tokens, and to a short one after it."""
    job = {"work": str(options.work), "bundle": str(options.bundle), "threads": 1}
    system = System("textapp", "chat_textapp.py", str(options.peers_python), job)
    try:
        found = np.array(system.ask(indices=list(range(min(CHATS, options.rounds or CHATS))))["answers"])
    finally:
        system.close()
    first, second = np.median(found, axis=0)
    ratios = found[:, 0] / found[:, 1]
    print(f"### Chat, time to the first piece of an answer, {len(found)} conversations, 1 thread\n")
    row = {
        f"first turn, {HISTORY} tokens, ms": f"{first:.0f}",
        "second turn ms": f"{second:.0f}",
        "times as fast": f"{np.median(ratios):.1f}",
        "least, most": f"{min(ratios):.1f}, {max(ratios):.1f}",
    }
    print(markdown([row]) + "\n")


def faster_attention(options: argparse.Namespace) -> str:
    """The faster of the two pipelines of OpenVINO GenAI, by two answers."""
    name, folder = "OpenVINO GenAI Q8_0", options.work / "32_64"
    medians = {}
    for attention in ("PA", "SDPA"):
        options.attention = attention
        system = _system(options, name, folder, "ids")
        medians[attention] = np.median(system.ask(indices=[0, 1])["times_ms"])
        system.close()
    return min(medians, key=lambda each: medians[each])


def _system(options: argparse.Namespace, name: str, folder: Path, mode: str) -> System:
    job = {
        "work": str(folder),
        "bundle": str(options.bundle),
        "mode": mode,
        "limit": None,
        "threads": 1,
        "variant": name.split()[-1],
    }
    script = SCRIPTS[name if name in SCRIPTS else name.rpartition(" ")[0]]
    return System(name, script, str(options.peers_python), job, settings={ATTENTION: options.attention})


def _close(systems: list[System]) -> None:
    for system in systems:
        system.close()


def _write(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value), encoding="utf-8")


def _read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def main() -> None:
    options = _options()
    report = prepare(options)
    if options.only and "tokens" in options.only:
        tokens(options)
    if options.only and {"prepare", "tokens"}.issuperset(options.only):
        return
    options.attention = faster_attention(options)
    tables: dict[str, Callable[[], None]] = {"start": lambda: start(options), "chat": lambda: chat(options)}
    for source, new in ROWS:
        if not options.only or f"{source}+{new}" in options.only:
            written(options, source, new, report["parameters"])
    for name, table in tables.items():
        if not options.only or name in options.only:
            table()
    print("Command: `python " + " ".join(sys.argv) + "`  ")
    print(f"Machine: {machine_limits()}  ")
    print(f"OpenVINO's attention: {options.attention}, the faster of PA and SDPA. Peers: {json.dumps(report)}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="a run folder")
    parser.add_argument("--bundle", type=Path, help="default: RUN/exports/litert")
    parser.add_argument("--gguf", type=Path, help="the model's file; default: model.path of the run")
    names = ["prepare", *(f"{source}+{new}" for source, new in ROWS), "start", "chat", "tokens"]
    parser.add_argument("--only", nargs="+", choices=names, help="some of the tables")
    parser.add_argument("--rounds", type=int, help="queries of each system; default: 4 to 16, by the table")
    parser.add_argument("--peers-python", type=Path, default=HERE.parent / ".venv-peers" / "bin" / "python")
    parser.add_argument("--work-dir", type=Path, default=HERE.parent / "saved_models" / "benchmarks")
    options = parser.parse_args()
    options.attention = "PA"  # until the faster one is known
    options.bundle = options.bundle or options.run / "exports" / "litert"
    if options.gguf is None:
        import yaml

        options.gguf = Path(yaml.safe_load((options.run / "config.yaml").read_text(encoding="utf-8"))["model"]["path"])
    if not options.gguf.is_file():
        parser.error(f"{options.gguf} is no file: name the model's GGUF file with --gguf")
    return options


if __name__ == "__main__":
    main()
