"""`textapp benchmark`: compares speed and quality of runs and bundles, measured on the same files.

Each one runs in its own process (measure.py). They answer blocks of queries in turn, so that changes of the machine's
speed affect all of them.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from textapp import errors
from textapp.arrays import spread
from textapp.artifact import (
    MODEL_FILES,
    SAVED_MODEL,
    TARGET_TOKENIZER,
    TOKENIZER,
    Artifact,
    exports_of,
    open_artifact,
)
from textapp.catalog import task_class
from textapp.commands import tables
from textapp.commands.examples import Record, evaluation_records
from textapp.commands.measure import TRUSTED
from textapp.folders import scratch_folder
from textapp.metrics.machine import machine
from textapp.metrics.size import size_bytes
from textapp.processes import THREAD_SETTINGS, child_environment
from textapp.report.kept import keep
from textapp.runners.pool import check_count

WARM_UP = 20  # untimed queries before the timed ones
MAX_QUERIES = 200
BLOCK = 20  # queries that one model answers before the next one continues
STARTS = 3  # processes that are started; the start-up time is their median
SLOW_START = 2000  # ms; above, one start is enough
PERCENTILES = (50, 90, 99)
MEASURED = (*MODEL_FILES, SAVED_MODEL, TOKENIZER, TARGET_TOKENIZER)


def benchmark(
    paths: Sequence[Path],
    data: Sequence[Path] = (),
    columns: str | None = None,
    encoding: str | None = None,
    data_dir: Path | None = None,
    threads: int = 1,
    runtime: str = "auto",
    as_json: bool = False,
    trusted: bool = False,
    single: bool = True,
) -> list[dict[str, Any]]:
    """Measures runs and bundles and prints one table.

    Args:
        paths: run folders and bundles.
        data: a file of examples instead of those of each run; for translation also two, sources and targets.
        columns: `text=0,label=1`, if the columns of `data` are not those of the run.
        encoding: of `data`, if it is not that of the run.
        data_dir: base folder of relative data paths.
        threads: CPU threads per answer.
        runtime: the interpreter for .tflite files; `auto`: the one that a bundle was exported for.
        as_json: print JSON.
        trusted: whether a SavedModel may be opened, see `textapp.load`.
        single: whether a single run stands for the bundles in its exports/, too.

    Returns:
        A dict for each path, in order: `path, variant, data, threads, size_bytes` (model, tokenizer), `start_ms` (from
        the start of a process to its first answer), `latency_ms: {p50, p90, p99}` (one text at a time, string to
        answer, up to 200 after 20 to warm up), `peak_memory_mb` (after these), for a model that generates text
        `tokens_per_second` and `time_to_first_token_ms` (to the first piece of text), and quality on all of the data
        with `intervals`. Without `data` the figures are kept in the runs, see `report/kept.py`.

    Raises:
        OptionError: `threads` is out of range.
        ArtifactError: a path is no run or bundle, its process ended, or it has no examples and `data` is empty.
    """
    check_count("threads", threads)
    artifacts = open_all(paths) if single else [open_artifact(path) for path in paths]
    records = [evaluation_records(artifact, data, columns, data_dir, encoding) for artifact in artifacts]
    with tables.progress("measuring", total=3 * len(artifacts)) as advance, ExitStack() as stack:
        children, rows = [], []
        for artifact, (examples, origin) in zip(artifacts, records, strict=True):
            child, start_ms = start(artifact, threads, runtime, examples[0], stack, trusted)
            children.append(child)
            rows.append({
                "path": str(artifact.path), "variant": tables.variant(artifact.manifest), "data": origin,
                "threads": threads, "size_bytes": model_size(artifact.path), "start_ms": start_ms,
            })  # fmt: skip
            advance()
        queries = [
            spread(child.queries(examples), MAX_QUERIES) for child, (examples, _) in zip(children, records, strict=True)
        ]
        timings = interleaved(children, queries)
        for row, child, ms, asked, (examples, _) in zip(rows, children, timings, queries, records, strict=True):
            row["latency_ms"] = {f"p{p}": round(float(np.percentile(ms, p)), 4) for p in PERCENTILES}
            row |= child.ask({"do": "memory"})
            if child.generated:
                row["tokens_per_second"] = round(1000 * sum(child.generated[-len(ms) :]) / sum(ms), 1)
                row |= child.ask({"do": "first_token", "records": asked})
            advance()
            row |= child.quality(examples)
            advance()
    measures = {name: words for each in artifacts for name, words in task_class(each.manifest).measures.items()}
    if not data:
        _keep(artifacts, rows)
    tables.emit(rows, as_json, lambda console: _show(console, rows, measures))
    return rows


def _keep(artifacts: Sequence[Artifact], rows: Sequence[Mapping[str, Any]]) -> None:
    """Keeps the figures on the runs' own data in the runs, for `textapp report`."""
    about = {"measured": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "machine": machine()}
    try:
        keep([(artifact, {**row, **about}) for artifact, row in zip(artifacts, rows, strict=True)])
    except OSError as error:
        tables.note(f"the figures are not kept: {error}")


def open_all(paths: Sequence[Path]) -> list[Artifact]:
    """Opens the runs and bundles to measure, each folder once."""
    artifacts = [open_artifact(path) for path in dict.fromkeys(map(Path, paths))]
    if len(artifacts) == 1 and artifacts[0].kind == "run":
        artifacts += answering(map(open_artifact, exports_of(artifacts[0].path)))
    return artifacts


def answering(bundles: Iterable[Artifact]) -> list[Artifact]:
    """The bundles that textapp answers from; the others are told."""
    found = []
    for bundle in bundles:
        if bundle.answers:
            found.append(bundle)
        else:
            size = tables.size(model_size(bundle.path))
            tables.note(f"not measured: {bundle.path}: {size} for LiteRT-LM, whose own runtime answers from it")
    return found


def model_size(folder: Path) -> int:
    """Bytes of the model and its tokenizer, without the other files of a run folder."""
    return sum(size_bytes(folder / name) for name in MEASURED if (folder / name).exists())


def start(
    artifact: Artifact, threads: int, runtime: str, record: Record, stack: ExitStack, trusted: bool = False
) -> tuple[Child, float]:
    """Starts the process of a model, and measures the time to its first answer.

    Args:
        artifact: the run or bundle.
        threads: CPU threads per answer.
        runtime: the interpreter for a .tflite file.
        record: the first record to answer.
        stack: closes the process at its end.
        trusted: whether a SavedModel may be opened.

    Returns:
        The process, and the median milliseconds from start to first answer.
    """
    times: list[float] = []
    while True:
        began = time.perf_counter()
        child = Child(artifact, threads, runtime, trusted)
        last = False
        try:
            child.ask({"do": "answer", "record": record})
            times.append(1000 * (time.perf_counter() - began))
            last = len(times) == STARTS or times[-1] > SLOW_START
        finally:
            if not last:
                child.close()
        if last:
            return stack.enter_context(child), round(float(np.median(times)), 1)


def interleaved(children: Sequence[Child], queries: Sequence[Sequence[Record]]) -> list[list[float]]:
    """Milliseconds of each query for each child. They run in turn, block by block, each round in another order."""
    for child, records in zip(children, queries, strict=True):
        child.times((list(records) * WARM_UP)[:WARM_UP])
    timings: list[list[float]] = [[] for _ in children]
    for number, begin in enumerate(range(0, max(map(len, queries)), BLOCK)):
        for offset in range(len(children)):
            index = (number + offset) % len(children)
            block = queries[index][begin : begin + BLOCK]
            if block:
                timings[index] += children[index].times(block)
    return timings


class Child:
    """The process of one model; see measure.py for its requests.

    Args:
        artifact: the run or bundle.
        threads: CPU threads per answer, for every library.
        runtime: the interpreter for a .tflite file.
        trusted: whether a SavedModel may be opened.

    Attributes:
        generated: new tokens of each timed answer; empty if the model generates no text.
    """

    def __init__(self, artifact: Artifact, threads: int, runtime: str, trusted: bool = False) -> None:
        self.path = artifact.path
        self.generated: list[int] = []
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115  # closed by close()
        environment = child_environment(PYTHONUTF8="1", **dict.fromkeys(THREAD_SETTINGS, str(threads)))
        command = [sys.executable, "-m", "textapp.commands.measure", str(artifact.path), str(threads), runtime]
        command += [TRUSTED] * trusted
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(
            command, stdin=pipe, stdout=pipe, stderr=self._stderr, env=environment, encoding="utf-8"
        )

    def __enter__(self) -> Child:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()
        self._stderr.close()

    def ask(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Sends one request and waits for its reply.

        Raises:
            TextappError: the error that the child raised, of the same class.
            ArtifactError: the child ended without a reply.
        """
        line = ""
        try:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            pass  # the process ended; reported below, with its stderr
        if not line:
            raise errors.ArtifactError(f"{self.path}: its process ended: {self._stderr_tail()}")
        reply = json.loads(line)
        if "error" in reply:
            raise getattr(errors, reply["kind"])(reply["error"])
        return reply

    def times(self, records: Sequence[Record]) -> list[float]:
        """Answers records one by one and returns the milliseconds of each."""
        reply = self.ask({"do": "time", "records": list(records)})
        self.generated += reply.get("tokens", ())
        return reply["ms"]

    def queries(self, records: Sequence[Record]) -> list[Record]:
        """The queries for these records: themselves, or the beginnings of their texts as prompts."""
        return self._ask_with_file("queries", records)["records"]

    def quality(self, records: Sequence[Record]) -> dict[str, Any]:
        """The quality on all records."""
        return self._ask_with_file("quality", records)

    def _ask_with_file(self, what: str, records: Sequence[Record]) -> dict[str, Any]:
        """Sends records in a file, as they may be many."""
        with scratch_folder("benchmark") as folder:
            file = folder / "records.json"
            file.write_text(json.dumps(list(records)), encoding="utf-8")
            return self.ask({"do": what, "file": str(file)})

    def _stderr_tail(self) -> str:
        code = self._process.wait()
        self._stderr.seek(0)
        lines = self._stderr.read().decode("utf-8", errors="replace").strip().splitlines()
        return " ".join([f"exit code {code};", *lines[-3:]])


def _show(console: Any, rows: Sequence[Mapping[str, Any]], measures: Mapping[str, str]) -> None:
    folders = len({row["variant"] for row in rows}) < len(rows)  # equal variants are distinguished by their folders
    named = [{**row, "variant": f"{row['variant']}  {row['path']}"} if folders else row for row in rows]
    console.print(tables.variants_table(named, measures))
    for origin in dict.fromkeys(row["data"] for row in rows):
        tables.line(console, f"quality on {origin}; latency of one text, string to answer")
