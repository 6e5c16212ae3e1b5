"""`textapp evaluate`: quality on test, else on validation, with the latency of the same file beside it."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from textapp.arrays import plain
from textapp.artifact import open_artifact, write_text
from textapp.commands import tables
from textapp.commands.examples import evaluation_records
from textapp.errors import ArtifactError, DataError
from textapp.loading import load_artifact
from textapp.metrics.speed import latency, ranks, timed
from textapp.predictors.predictor import Predictor
from textapp.tasks.task import Listing, Record, one_line

MAX_QUERIES = 200  # that a task makes out of records without any
SHOWN = 10  # answers on the terminal


def evaluate(
    path: Path,
    data: Sequence[Path] = (),
    columns: str | None = None,
    data_dir: Path | None = None,
    threads: int = 1,
    runtime: str = "auto",
    output: Path | None = None,
    as_json: bool = False,
    options: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Measures a run or a bundle, prints the figures, and keeps them with the plot and the answers to look at.

    Args:
        path: a run folder or a bundle.
        data: a file of examples instead of the run's own; of parallel files two.
        columns: `text=0,label=1`, where the columns of `data` are not those of the run.
        data_dir: where the run's relative data paths start.
        threads: threads inside one answer.
        runtime: the interpreter for a .tflite file.
        output: where the files go; None: `<run>/evaluation`, and nowhere for a bundle, which holds what it ships.
        as_json: print JSON.
        options: of the task, such as `threshold`.

    Returns:
        The figures, quality from 0 to 100, `latency_ms` of single records from string to answer.
    """
    artifact = open_artifact(path)
    records, origin = evaluation_records(artifact, data, columns, data_dir)
    predictor = load_artifact(artifact, threads, runtime, **(options or {}))
    figures, listing = measure(predictor, records)
    figures = {"data": origin, **figures}
    folder = output or (path / "evaluation" if artifact.kind == "run" else None)
    if folder is not None:
        _keep(folder, figures, listing)
        if "confusion" in figures:
            from textapp.report.plots import confusion_plot

            confusion_plot(figures["confusion"], predictor.task.labels, folder / "confusion.png")

    def shown(console: Any) -> None:
        _show(console, figures, listing)
        if folder is not None:
            console.print(f"kept in {folder}", highlight=False)

    tables.emit(figures, as_json, shown)
    return figures


def measure(predictor: Predictor, records: Sequence[Record]) -> tuple[dict[str, Any], Listing]:
    """Quality over all records, the speed of up to 200 answers one by one, and the answers to look at.

    Args:
        predictor: of a run or a bundle.
        records: with what is right.

    Raises:
        DataError: there is nothing to ask.
    """
    queries = predictor.task.queries(records, MAX_QUERIES)
    if not queries:
        raise DataError(f"none of {len(records)} examples has a text: expected texts to measure on")
    answers, block = [], predictor.block // 4  # a quarter: the bar moves more often
    with tables.progress("evaluating", total=-(-len(queries) // block)) as advance:
        for start in range(0, len(queries), block):
            answers += predictor.batch(queries[start : start + block])
            advance()
    figures = {**predictor.task.score(queries, answers), **predictor.figures(records), **speed(predictor, queries)}
    return figures, predictor.task.listing(queries, answers)


def speed(predictor: Predictor, queries: Sequence[Record]) -> dict[str, Any]:
    """How long single answers take, from string to answer.

    Args:
        predictor: of a run or a bundle.
        queries: what to ask.

    Returns:
        `latency_ms`, the median and the 90th and 99th percentile; of a model that generates text also
        `tokens_per_second`, all that the answers have, their ends too, over all the time that they took, and
        `time_to_first_token_ms`.
    """

    def answer(query: Record) -> int:
        """Answers as a call does; gives the number of tokens that were generated."""
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


def _keep(folder: Path, figures: Mapping[str, Any], listing: Listing) -> None:
    """metrics.json, and the answers to look at as mistakes.tsv or outputs.tsv."""
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / "metrics.json", json.dumps(plain(figures), ensure_ascii=False, indent=2) + "\n")
    with (folder / f"{listing.name}.tsv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, listing.columns, delimiter="\t")
        writer.writeheader()
        writer.writerows(listing.rows)


def _show(console: Any, figures: Mapping[str, Any], listing: Listing) -> None:
    """Prints the figures for a reader, then the answers to look at."""
    single = {name: value for name, value in figures.items() if isinstance(value, (int, float, str))}
    single["several_references"] = figures.get("several_references")
    times = {name.replace("_ms", " ms"): figures.get(name) for name in ("latency_ms", "time_to_first_token_ms")}
    console.print(tables.facts(None, {**single, **times}))
    if "per_class" in figures:
        columns = ("precision", "recall", "f1", "examples")
        rows = [[label, *(scores[column] for column in columns)] for label, scores in figures["per_class"].items()]
        console.print(tables.table("by class", ["label", *columns], rows))
    if listing.rows:
        cells = [[_cell(row.get(column, "")) for column in listing.columns] for row in listing.rows[:SHOWN]]
        console.print(tables.table(listing.title, listing.columns, cells, left=3))


def _cell(value: Any) -> Any:
    return one_line(value) if isinstance(value, str) else value
