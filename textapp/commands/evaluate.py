"""`textapp evaluate`: quality on test, else on validation, with the latency of the same file beside it."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from textapp.artifact import Artifact, open_artifact, write_text
from textapp.commands import evaluate_writing, tables
from textapp.config import columns_of, data_directory, load_config
from textapp.errors import ArtifactError, UsageError
from textapp.generative import GenerativePredictor
from textapp.metrics.quality import worst_mistakes
from textapp.metrics.speed import latency
from textapp.predictor import Predictor, load
from textapp.records.loading import Layout, load_records, load_splits
from textapp.records.sources import describe

Record = dict[str, Any]
BLOCK = 512  # texts between two moves of the progress bar
MISTAKES = 20
MISTAKE_COLUMNS = ("text", "label", "predicted", "probability")


def evaluate(
    path: Path,
    data: Sequence[Path] = (),
    columns: str | None = None,
    data_dir: Path | None = None,
    threshold: float | None = None,
    threads: int = 1,
    runtime: str = "auto",
    output: Path | None = None,
    as_json: bool = False,
) -> dict[str, Any]:
    """Measures a run or a bundle, prints the figures, and keeps them with the plot and the mistakes.

    Args:
        path: a run folder or a bundle.
        data: a file of examples instead of the run's own; for translation also two, of sources and of targets.
        columns: `text=0,label=1`, where the columns of `data` are not those of the run.
        data_dir: where the run's relative data paths start.
        threshold: answer `unknown` below it.
        threads: threads inside one answer.
        runtime: the interpreter for a .tflite file.
        output: where the files go; None: `<run>/evaluation`, and nowhere for a bundle, which holds what it ships.
        as_json: print JSON.

    Returns:
        The figures, quality from 0 to 100, `latency_ms` of single texts from string to answer.
    """
    artifact = open_artifact(path)
    records, origin = evaluation_records(artifact, data, columns, data_dir)
    predictor = load(path, threads=threads, threshold=threshold, runtime=runtime)
    writes = isinstance(predictor, GenerativePredictor)
    figures, rows = (evaluate_writing.measure if writes else measure)(predictor, records)
    figures = {"data": origin, **figures}
    folder = output or (path / "evaluation" if artifact.kind == "run" else None)
    if folder is not None:
        _keep(folder, figures, "outputs" if writes else "mistakes", rows)
        if "confusion" in figures:
            from textapp.report.plots import confusion_plot

            confusion_plot(figures["confusion"], predictor.task.labels, folder / "confusion.png")

    def shown(console: Any) -> None:
        (evaluate_writing.show if writes else show)(console, figures, rows)
        if folder is not None:
            console.print(f"kept in {folder}", highlight=False)

    tables.emit(figures, as_json, shown)
    return figures


def evaluation_records(
    artifact: Artifact, data: Sequence[Path] = (), columns: str | None = None, data_dir: Path | None = None
) -> tuple[list[Record], str]:
    """The examples with their answers to measure on, and in words which they are.

    Raises:
        ArtifactError: a bundle far from its run, and no `data`.
        DataError: no examples, or labels that the model does not know.
        UsageError: more files than the task takes, or columns of no file.
    """
    if columns and not data:
        raise UsageError(
            f"--columns {columns}: found no --data FILE, whose columns these would be: give both, or neither"
        )
    if not data:
        return _own_records(artifact, data_dir)
    source = _source(data, artifact.manifest["task"], columns)
    layout = layout_of(artifact.manifest, columns)
    known_labels = artifact.manifest["labels"] if artifact.manifest["task"] == "classification" else None
    return load_records(source, layout, known_labels=known_labels), describe(source)


def _source(files: Sequence[Path], task: str, columns: str | None) -> str | dict[str, str]:
    """The files of `--data`: one, or the two sides of a translation."""
    if len(files) == 1:
        return str(files[0])
    if task != "translation" or len(files) > 2:
        takes = (
            "one file, or two of a translation, its sources and its targets" if task == "translation" else "one file"
        )
        raise UsageError(f"--data: found {len(files)} files, but {task} takes {takes}: name fewer, or join them")
    if columns:
        raise UsageError(f"--columns {columns}: parallel files have no columns: leave it out, or name one table")
    return {"source": str(files[0]), "target": str(files[1])}


def _own_records(artifact: Artifact, data_dir: Path | None) -> tuple[list[Record], str]:
    run = artifact.path if artifact.kind == "run" else artifact.parent
    if run is None:
        raise ArtifactError(
            f"{artifact.path}: its run is not around it, so it has no examples: name some with --data FILE"
        )
    config = load_config(run / "config.yaml")
    splits = load_splits(config, data_directory(data_dir, artifact.manifest.get("data_dir")))
    name = "test" if splits.test else "validation"
    return getattr(splits, name), f"{name} ({splits.origin[name]})"


def layout_of(manifest: Mapping[str, Any], columns: str | None = None) -> Layout:
    """How files of examples for this model look: as those of its run, unless `columns` says otherwise.

    Example: `columns="text=0,label=stars"`.
    """
    fields: dict[str, int | list[str]] = dict(manifest["columns"])
    known = columns_of(manifest["task"])
    for part in filter(None, (columns or "").split(",")):
        field, equals, column = (word.strip() for word in part.partition("="))
        if not equals or not column or field not in known:
            raise UsageError(
                f"--columns {columns}: expected FIELD=COLUMN with the fields {', '.join(known)}, found '{part}'"
            )
        fields[field] = int(column) if column.isdigit() else [column]
    other = {"columns": fields, "header": "auto", "pattern": None} if columns else {}
    return Layout.of({**manifest, **other})


def measure(predictor: Predictor, records: Sequence[Record]) -> tuple[dict[str, Any], list[Record]]:
    """Quality over all records, latency over up to 200 of them one by one, and the worst mistakes."""
    answers = []
    with tables.progress("evaluating", total=-(-len(records) // BLOCK)) as advance:
        for start in range(0, len(records), BLOCK):
            answers += predictor.batch(records[start : start + BLOCK])
            advance()
    figures = predictor.task.score(records, answers)
    queries = [(record["text"], record.get("text_pair")) for record in records]
    figures["latency_ms"] = latency(lambda query: predictor(*query), queries)
    return figures, worst_mistakes(records, answers, MISTAKES)


def _keep(folder: Path, figures: Mapping[str, Any], name: str, rows: Sequence[Record]) -> None:
    """metrics.json, and the rows as mistakes.tsv or outputs.tsv."""
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / "metrics.json", json.dumps(tables.plain(figures), ensure_ascii=False, indent=2) + "\n")
    with (folder / f"{name}.tsv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]) if rows else MISTAKE_COLUMNS, delimiter="\t")
        writer.writeheader()
        writer.writerows(rows)


def show(console: Any, figures: Mapping[str, Any], mistakes: Sequence[Record]) -> None:
    """Prints the figures for a reader."""
    single = {name: value for name, value in figures.items() if isinstance(value, (int, float, str))}
    speed = figures["latency_ms"]
    console.print(tables.facts(None, {**single, "latency ms": {name: speed[name] for name in ("p50", "p90", "p99")}}))
    columns = ("precision", "recall", "f1", "examples")
    rows = [[label, *(scores[column] for column in columns)] for label, scores in figures["per_class"].items()]
    console.print(tables.table("by class", ["label", *columns], rows))
    if mistakes:
        rows = [
            [tables.shortened(row["text"]), row["label"], row["predicted"], row["probability"]] for row in mistakes[:10]
        ]
        console.print(tables.table("the worst mistakes", MISTAKE_COLUMNS, rows, left=3))
