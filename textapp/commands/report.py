"""`textapp report`: one page about runs, their bundles and what was made from them, from the figures that they keep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from subprocess import CalledProcessError
from typing import Any

from textapp.artifact import REPORT, Artifact, check_not_of_an_artifact, exports_of, is_report, open_artifact
from textapp.commands import tables
from textapp.commands.benchmark import Child, answering, benchmark
from textapp.commands.examples import evaluation_records
from textapp.errors import ArtifactError, TextappError, UsageError, plural
from textapp.files import atomic_file, check_output
from textapp.metrics.machine import core_speed
from textapp.processes import THREAD_SETTINGS
from textapp.report.facts import Facts, gather
from textapp.report.findings import findings
from textapp.report.kept import keep, kept
from textapp.report.page import page
from textapp.runners.operator_times import operator_times
from textapp.runners.weights import work

TFLITE = "model.tflite"
STEP = "decode"  # the signature of one step of decoding
ASKED = 200  # records that are asked for the signature that they take


def report(
    runs: Sequence[Path],
    output: Path | None = None,
    measure: bool = False,
    data_dir: Path | None = None,
    threads: int = 1,
    runtime: str = "auto",
    trusted: bool = False,
    as_json: bool = False,
) -> Path:
    """Writes the page of runs: what was trained on what, and quality, speed, size and memory of each variant.

    Args:
        runs: run folders of one task; the bundles in their exports/ belong to them. One that cannot be opened is left
            out, which is said on the page, too.
        output: the file; None: `report.html` in the first run.
        measure: run all variants first, in turns, as `textapp benchmark` does; without it the page tells what earlier
            measurements kept.
        data_dir, threads, runtime, trusted: of the measurement, as for `benchmark`.
        as_json: print JSON.

    Returns:
        The file.

    Raises:
        ArtifactError: none of the runs can be opened.
        UsageError: the runs are of different tasks, or the page would replace a file that is no report.
    """
    opened, left_out = _opened(runs)
    file = output or opened[0].path / REPORT
    _check_file(file, opened, asked=output is not None)
    if measure:
        gather(opened)  # runs of different tasks are refused before minutes of measuring
        _measure(opened, data_dir, threads, runtime, trusted)
    facts = gather(opened, left_out)
    with atomic_file(file) as opened_file:
        opened_file.write(page(facts))
    result = {
        "path": str(file), "runs": [str(run.path) for run in opened], "left_out": left_out,
        "findings": [{"subject": each.subject, "sentence": each.sentence()} for each in findings(facts)],
        "variants": [{"run": each.run, "variant": each.name, **each.sizes} for each in facts.variants],
    }  # fmt: skip
    tables.emit(result, as_json, lambda console: _show(console, facts, file))
    return file


def _opened(runs: Sequence[Path]) -> tuple[list[Artifact], list[str]]:
    """The runs that can be opened, and why others cannot."""
    opened, left_out = [], []
    for path in dict.fromkeys(map(Path, runs)):
        try:
            artifact = open_artifact(path)
            if artifact.kind != "run":
                raise ArtifactError(f"{path}: found a bundle, expected a run folder: name the run that it came from")
            opened.append(artifact)
        except ArtifactError as error:
            left_out.append(str(error))
    if not opened:
        raise ArtifactError("; ".join(left_out))
    for reason in left_out:
        tables.warn(f"left out: {reason}")
    return opened, left_out


def _check_file(file: Path, runs: Sequence[Artifact], asked: bool) -> None:
    """Checks, before the work, that the page replaces nothing but a page.

    Raises:
        UsageError: it would, or the file cannot be written.
    """
    check_output(file)
    check_not_of_an_artifact(file, *(run.path for run in runs), replaces={REPORT})
    if not asked and file.exists() and not file.is_file():
        raise UsageError(f"{file}: found a folder, a pipe or a device, expected a file: use --output, or move it")
    if file.is_file() and file.stat().st_size and not is_report(file):
        raise UsageError(f"{file}: found a file that is no report of textapp: use another --output, or move it")


# --- measuring -----------------------------------------------------------------------------------------------------


def _measure(runs: Sequence[Artifact], data_dir: Path | None, threads: int, runtime: str, trusted: bool) -> None:
    """Measures all variants in turns, then the profile and the limit of each .tflite file; all is kept in the runs."""
    bundles = [bundle for run in runs for bundle in exports_of(run.path)]
    variants, usable = list(runs), []
    for bundle in bundles:
        try:
            usable.append(open_artifact(bundle))
        except ArtifactError as error:
            tables.warn(f"not measured: {error}")
    usable = answering(usable)
    variants += [each for each in usable if trusted or not (each.path / "saved_model").is_dir()]
    for each in usable:
        if each not in variants:
            tables.note(f"not measured: {each.path}: a SavedModel is a program: --trusted opens it")
    with tables.stdout_for_json(True):
        benchmark(
            [each.path for each in variants], data_dir=data_dir, threads=threads, runtime=runtime, trusted=trusted,
            single=False,
        )  # fmt: skip
    files = [each for each in variants if (each.path / TFLITE).is_file()]
    with tables.progress("profiling", total=len(files)) as advance:
        for each in files:
            keep([(each, {**kept(each), **_inside(each, data_dir, threads, runtime)})])
            advance()


def _inside(bundle: Artifact, data_dir: Path | None, threads: int, runtime: str) -> dict[str, Any]:
    """`profile` and `limit` of a .tflite file."""
    records, _ = evaluation_records(bundle, data_dir=data_dir)
    with ExitStack() as stack:
        child = stack.enter_context(Child(bundle, threads, runtime))
        request = child.ask({"do": "request", "records": records[:ASKED]})
    file, row = bundle.path / TFLITE, kept(bundle)
    found: dict[str, Any] = {}
    try:
        operators = operator_times(file, request, threads)
        found["profile"] = {"signature": request["signature"], "operators": operators}
    except TextappError as error:
        found["profile"] = {"reason": str(error)}
    limit = _limit(file, request["signature"], row, threads)
    return {**found, **({"limit": limit} if limit else {})}


def _limit(file: Path, signature: str, row: Mapping[str, Any], threads: int) -> dict[str, Any] | None:
    """The time that reading the weights, or the products alone, take on this machine; of a decoder per token."""
    step = "tokens_per_second" in row
    counts = work(file, STEP if step else signature)
    taken = 1000 / row["tokens_per_second"] if step and row["tokens_per_second"] else row["latency_ms"]["p50"]
    if counts is None or not counts.multiply_adds:
        return None
    try:
        speed = core_speed(counts.weight_bytes, dict.fromkeys(THREAD_SETTINGS, str(threads)))
    except (CalledProcessError, ValueError) as error:
        tables.note(f"not measured: the speed of this machine: {error}")
        return None
    reading = 1000 * counts.weight_bytes / speed["bytes_per_second"]
    products = 1000 * counts.multiply_adds / speed["multiply_adds_per_second"]
    return {
        "weight_bytes": counts.weight_bytes, "multiply_adds": counts.multiply_adds,
        "reading_ms": round(reading, 5), "products_ms": round(products, 5), "taken_ms": round(taken, 5),
        "share": round(max(reading, products) / taken, 4),
    }  # fmt: skip


def _show(console: Any, facts: Facts, file: Path) -> None:
    for each in findings(facts):
        tables.line(console, each.subject)
        tables.line(console, f"  {each.sentence()}")
    tables.line(console, f"{plural(len(facts.variants), 'variant')}; saved in {file}")
