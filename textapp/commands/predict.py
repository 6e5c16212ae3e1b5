"""`textapp predict`: answers from arguments, standard input or a file; one line an input, in their order."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

from textapp.artifact import PARTIAL
from textapp.commands import tables
from textapp.commands.evaluate import layout_of
from textapp.errors import UsageError
from textapp.predictor import Predictor, load
from textapp.records.loading import read_records
from textapp.records.readers import RowError

Row = dict[str, Any] | RowError
BLOCK = 2048  # rows answered together: bounds the memory, and gives the sorting by length enough to work with


def predict(
    path: Path,
    texts: Sequence[str] = (),
    pair: Sequence[str] = (),
    input_file: Path | None = None,
    output: Path | None = None,
    columns: str | None = None,
    threshold: float | None = None,
    workers: int = 1,
    threads: int = 1,
    runtime: str = "auto",
    as_json: bool = False,
) -> int:
    """Answers texts with a run or a bundle.

    Args:
        path: a run folder or a bundle.
        texts: the texts; none, and no `input_file`: the lines of standard input.
        pair: the second text of each, for a model of pairs.
        input_file: a file of examples, labels not needed; a bad row gives `{input, error}` and the rest goes on.
        output: a file for the JSON lines, instead of standard output.
        columns: where the text stands in `input_file`, `text=0`.
        threshold: answer `unknown` below it.
        workers: runners that answer at the same time.
        threads: threads inside one answer.
        runtime: the interpreter for a .tflite file.
        as_json: print JSON lines.

    Returns:
        How many inputs had no answer.
    """
    if texts and input_file:
        raise UsageError("TEXT and --input were both given: one of them")
    if pair and len(pair) != len(texts):
        raise UsageError(f"{len(texts)} texts and {len(pair)} --pair texts: give each text its second one")
    predictor = load(path, threads=threads, threshold=threshold, runtime=runtime)
    if predictor.task.pair and not input_file and not pair:
        raise UsageError(f"{path} answers pairs: give --pair TEXT with each text, or --input FILE")
    if input_file:
        rows: Iterable[Row] = (row for _, row in read_records(input_file, layout_of(predictor.manifest, columns)))
    elif texts:
        pairs = zip(texts, pair or [""] * len(texts), strict=True)
        rows = [{"text": text, "text_pair": second} for text, second in pairs]
    else:
        rows = ({"text": line.rstrip("\r\n")} for line in sys.stdin)
    as_json = as_json or output is not None
    bad = 0
    with _written(output) as file:
        for row in _answers(predictor, rows, workers):
            bad += "error" in row
            file.write(_line(row, as_json) + "\n")
        file.flush()
    if bad:
        tables.warn(f"{bad} inputs had no answer: see their 'error'")
    return bad


def _answers(predictor: Predictor, rows: Iterable[Row], workers: int) -> Iterator[dict[str, Any]]:
    iterator = iter(rows)
    while block := list(islice(iterator, BLOCK)):
        good = [row for row in block if not isinstance(row, RowError)]
        answers = iter(predictor.batch(good, workers))
        for row in block:
            yield {"input": row.input, "error": str(row)} if isinstance(row, RowError) else asdict(next(answers))


def _line(row: dict[str, Any], as_json: bool) -> str:
    if as_json:
        return json.dumps(tables.plain(row), ensure_ascii=False)
    if "error" in row:
        return f"error: {row['error']}"
    label = ", ".join(row["label"]) if isinstance(row["label"], list) else row["label"]
    text = " | ".join(row["input"]) if isinstance(row["input"], list) else row["input"]
    return f"{label or '-'}\t{row['probability']:.3f}\t{tables.shortened(text, 100)}"


def _written(output: Path | None) -> Any:
    """Standard output, or a file that appears under its name only when it is complete."""
    return nullcontext(sys.stdout) if output is None else _Whole(output)


class _Whole:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.partial = path.with_name(path.name + PARTIAL)

    def __enter__(self) -> TextIO:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.file = self.partial.open("w", encoding="utf-8")
        return self.file

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        self.file.close()
        if kind is None:
            self.partial.replace(self.path)
        else:
            self.partial.unlink(missing_ok=True)
