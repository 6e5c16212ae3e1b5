"""`textapp evaluate`: measures quality and latency on test, else on validation."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from textapp.arrays import plain
from textapp.artifact import EVALUATION, check_not_of_an_artifact, inputs_overwritten, open_artifact
from textapp.commands import tables
from textapp.commands.examples import evaluation_records
from textapp.commands.measure import scores
from textapp.errors import ArtifactError, DataError, UsageError, plural, visible
from textapp.files import atomic_file, check_output, write_text
from textapp.loading import load_artifact
from textapp.metrics.speed import latency, ranks, timed
from textapp.predictors.predictor import Predictor
from textapp.records.files import expand
from textapp.tasks.task import Listing, Record, one_line
from textapp.untrusted import read_json

MAX_QUERIES = 200  # prompts that a task makes from records without prompts
SHOWN = 10  # answers printed


def evaluate(
    path: Path,
    data: Sequence[Path] = (),
    columns: str | None = None,
    encoding: str | None = None,
    data_dir: Path | None = None,
    threads: int = 1,
    runtime: str = "auto",
    output: Path | None = None,
    as_json: bool = False,
    options: Mapping[str, Any] | None = None,
    trusted: bool = False,
) -> dict[str, Any]:
    """Measures a run or a bundle, prints the figures, and saves them with a plot and a list of answers.

    Args:
        path: a run folder or a bundle.
        data: a file of examples instead of those of the run; two if they are parallel.
        columns: `text=0,label=1`, if the columns of `data` are not those of the run.
        encoding: of `data`, if it is not that of the run.
        data_dir: base folder of relative data paths.
        threads: CPU threads per answer.
        runtime: the interpreter for a .tflite file.
        output: folder for the files; None: `<run>/evaluation`; for a bundle nothing is saved.
        as_json: print JSON.
        options: of the task, such as `threshold`.
        trusted: whether a SavedModel may be opened, see `textapp.load`.

    Returns:
        The figures: quality, 0 to 100, and `latency_ms` of single records from string to answer.

    Raises:
        UsageError: a file that is read, or that is not of an evaluation, would be overwritten.
    """
    artifact = open_artifact(path)
    folder = output or (path / "evaluation" if artifact.kind == "run" else None)
    if folder is not None:
        _check_folder(folder, data, asked=output is not None)
    records, origin = evaluation_records(artifact, data, columns, data_dir, encoding)
    predictor = load_artifact(artifact, threads, runtime, trusted=trusted, **(options or {}))
    figures, listing = measure(predictor, records)
    figures = {"data": origin, **figures}
    if folder is not None:
        _save(folder, figures, listing)
        if "confusion" in figures:
            from textapp.report.plots import confusion_plot

            confusion_plot(figures["confusion"], predictor.task.labels, folder / "confusion.png")

    def shown(console: Any) -> None:
        _show(console, figures, listing)
        if folder is not None:
            tables.line(console, f"saved in {folder}")

    tables.emit(figures, as_json, shown)
    return figures


def measure(predictor: Predictor, records: Sequence[Record]) -> tuple[dict[str, Any], Listing]:
    """Measures the quality on all records and the speed of single answers, and lists answers to read.

    Args:
        predictor: of a run or a bundle.
        records: with labels or references.

    Raises:
        DataError: no record has a text.
    """
    queries = predictor.task.queries(records, MAX_QUERIES)
    if not queries:
        raise DataError(f"found no text in {plural(len(records), 'example')}: expected texts to measure on")
    answers, block = [], predictor.block // 4  # a quarter, so that the progress bar moves more often
    with tables.progress("evaluating", total=-(-len(queries) // block)) as advance:
        for start in range(0, len(queries), block):
            answers += predictor.batch(queries[start : start + block])
            advance()
    figures = {**scores(predictor, records, queries, answers), **speed(predictor, queries)}
    return figures, predictor.task.listing(queries, answers)


def speed(predictor: Predictor, queries: Sequence[Record]) -> dict[str, Any]:
    """Measures the latency of single answers, from string to answer.

    Args:
        predictor: of a run or a bundle.
        queries: records to answer.

    Returns:
        `latency_ms`, the median and the 90th and 99th percentile; for a model that generates text also
        `tokens_per_second` (all new tokens, including end ids, by the total time) and `time_to_first_token_ms`.
    """

    def answer(query: Record) -> int:
        """Answers as a call does; returns the number of generated tokens."""
        record = predictor.task.record(query)
        outputs = predictor.outputs(record, predictor.defaults)
        predictor.answer(record, outputs, predictor.defaults)
        return sum(int(each.get("num_tokens", 0)) for each in outputs)

    taken, tokens = timed(answer, queries)
    figures: dict[str, Any] = {"latency_ms": ranks(taken)}
    if predictor.streams:
        figures["tokens_per_second"] = round(1e9 * sum(tokens) / sum(taken), 2)
        try:
            first = latency(lambda query: next(predictor.stream(query), ""), queries)
        except ArtifactError as error:  # a file without the signatures of single steps
            tables.note(f"not measured: {error}")
        else:
            figures["time_to_first_token_ms"] = first
    return figures


def _check_folder(folder: Path, data: Sequence[Path], asked: bool) -> None:
    """Checks, before the work, that no file is overwritten but those of an earlier evaluation.

    Raises:
        UsageError: one would be, or the folder cannot be written.
    """
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"--output {folder}: is a file, expected the name of a folder")
    inputs = [file for each in data for file in expand(each)]
    for name in EVALUATION:
        file = folder / name
        check_output(file)
        if file.exists() and not file.is_file():
            raise UsageError(f"{file}: found a pipe or a device, expected a file: move it away, or use --output DIR")
        check_not_of_an_artifact(file, replaces={f"evaluation/{each}" for each in EVALUATION})
        if (read := inputs_overwritten(file, inputs)) is not None:
            raise UsageError(f"--data {read}: would be overwritten in {folder}: use another --output, or copy it")
        if (asked or folder.is_symlink()) and file.exists() and not _is_evaluation(folder):
            raise UsageError(f"{folder}: {name} in it is not of textapp evaluate: use another folder, by --output DIR")


def _is_evaluation(folder: Path) -> bool:
    """Whether the figures in a folder are of this command."""
    try:
        figures = read_json(folder / "metrics.json")
    except (OSError, ArtifactError):
        return False
    return isinstance(figures, dict) and {"data", "latency_ms"} <= figures.keys()


def _save(folder: Path, figures: Mapping[str, Any], listing: Listing) -> None:
    """Writes metrics.json, and the list of answers as mistakes.tsv or outputs.tsv."""
    write_text(folder / "metrics.json", json.dumps(plain(figures), ensure_ascii=False, indent=2) + "\n")
    with atomic_file(folder / f"{listing.name}.tsv", newline="") as file:
        writer = csv.DictWriter(file, listing.columns, delimiter="\t")
        writer.writeheader()
        writer.writerows(listing.rows)


def _show(console: Any, figures: Mapping[str, Any], listing: Listing) -> None:
    """Prints the figures, then the first answers of the list."""
    single = {name: value for name, value in figures.items() if isinstance(value, (int, float, str))}
    single["several_references"] = figures.get("several_references")
    times = {name.replace("_ms", " ms"): figures.get(name) for name in ("latency_ms", "time_to_first_token_ms")}
    intervals = {f"{name}, 95 %": f"{low:.2f} to {high:.2f}" for name, (low, high) in figures["intervals"].items()}
    console.print(tables.facts(None, {**single, **intervals, **times}))
    if "per_class" in figures:
        columns = ("precision", "recall", "f1", "examples")
        rows = [
            [visible(label), *(scores[column] for column in columns)] for label, scores in figures["per_class"].items()
        ]
        console.print(tables.table("by class", ["label", *columns], rows))
    for title, groups in figures.get("groups", {}).items():
        names = list(next(iter(groups.values())))
        rows = [[group, *(scores[name] for name in names)] for group, scores in groups.items()]
        console.print(tables.table(f"by {title}", [title, *names], rows))
    if listing.rows:
        cells = [[_cell(row.get(column, "")) for column in listing.columns] for row in listing.rows[:SHOWN]]
        console.print(tables.table(listing.title, listing.columns, cells, left=3))


def _cell(value: Any) -> Any:
    return one_line(value) if isinstance(value, str) else value
