"""`textapp predict`: answers from arguments, standard input or a file; one line an input, in their order."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

from textapp.artifact import PARTIAL
from textapp.commands import tables
from textapp.commands.evaluate import layout_of
from textapp.decoding.options import decoding_options
from textapp.errors import DataError, UsageError
from textapp.generative import GenerativePredictor
from textapp.predictor import Predictor, load
from textapp.records.loading import read_records
from textapp.records.readers import RowError, scan_stream

log = logging.getLogger("textapp")

Row = dict[str, Any] | RowError
BLOCK = 2048  # rows answered together: bounds the memory, and gives the sorting by length enough to work with
WRITTEN_BLOCK = 256  # the same where an answer takes far longer


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
    overflow: str | None = None,
    stream: bool = False,
    decoding: Mapping[str, Any] | None = None,
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
        overflow: `truncate` a text that is too long to be translated or continued, or report an `error`.
        stream: print what is written as it comes.
        decoding: options of `DecodingOptions` by name, those that were given.

    Returns:
        How many inputs had no answer.
    """
    options = dict(decoding or {})
    decoding_options(options)  # a wrong call is told before a model is opened
    if texts and input_file:
        raise UsageError("TEXT and --input were both given: one of them")
    if columns and not input_file:
        raise UsageError(
            f"--columns {columns}: found no --input FILE, whose columns these would be: give both, or neither"
        )
    if pair and len(pair) != len(texts):
        raise UsageError(f"{len(texts)} texts and {len(pair)} --pair texts: give each text its second one")
    if stream and (as_json or output or workers > 1):
        raise UsageError("--stream prints one text as it comes: leave out --json, --output and --workers")
    predictor = load(path, threads=threads, threshold=threshold, runtime=runtime, overflow=overflow)
    rows = _rows(predictor, path, texts, pair, input_file, columns)
    if isinstance(predictor, GenerativePredictor):
        answers = _written_answers(predictor, rows, workers, options)
    elif options or stream:
        names = ", ".join(f"--{name.replace('_', '-')}" for name in [*options, *["stream"] * stream])
        raise UsageError(f"{names}: for translation and generation; {path} answers {predictor.task.name}: leave it out")
    else:
        answers = _answers(predictor, rows, workers)
    if stream:
        return _warned(sum(map(_streamer(predictor, options), rows)))
    as_json = as_json or output is not None
    ascii_only = output is None and not tables.stdout_is_utf8()
    bad = count = 0
    with _written(output) as file:
        for row in answers:
            count += 1
            bad += "error" in row
            file.write(_line(row, as_json, ascii_only) + "\n")
        file.flush()
    if output:
        log.info("answers: %d in %s", count, output)
    return _warned(bad)


def _warned(bad: int) -> int:
    if bad:
        tables.warn(f"{bad} input{'s' * (bad > 1)} had no answer: see {'their' if bad > 1 else 'its'} error")
    return bad


def _rows(
    predictor: Predictor | GenerativePredictor,
    path: Path,
    texts: Sequence[str],
    pair: Sequence[str],
    input_file: Path | None,
    columns: str | None,
) -> Iterable[Row]:
    """The records to be answered, from wherever they come."""
    pairs = isinstance(predictor, Predictor) and predictor.task.pair
    if pairs and not input_file and not pair:
        raise UsageError(f"{path} answers pairs: give --pair TEXT with each text, or --input FILE")
    if pair and isinstance(predictor, GenerativePredictor):
        raise UsageError(f"--pair: {path} is a model of {predictor.task.name}, which takes one text: leave it out")
    if pair and isinstance(predictor, Predictor) and not pairs:
        raise UsageError(f"--pair: {path} answers single texts: leave it out")
    if input_file:
        return (row for _, row in read_records(input_file, layout_of(predictor.manifest, columns)))
    if not texts:
        return _stdin_rows(predictor.task.input_field if isinstance(predictor, GenerativePredictor) else "text")
    if isinstance(predictor, GenerativePredictor):
        return map(predictor.task.record, texts)
    both = zip(texts, pair or [""] * len(texts), strict=True)
    return [{"text": text, "text_pair": second} for text, second in both]


def _stdin_rows(field: str) -> Iterator[Row]:
    if hasattr(sys.stdin, "reconfigure"):  # whatever the terminal's encoding, a broken byte is an error of its line
        sys.stdin.reconfigure(encoding="utf-8", errors="surrogateescape")
    return (row if isinstance(row, RowError) else row.values for row in scan_stream(sys.stdin, "stdin", field))


def _answers(predictor: Predictor, rows: Iterable[Row], workers: int) -> Iterator[dict[str, Any]]:
    iterator = iter(rows)
    while block := list(islice(iterator, BLOCK)):
        good = [row for row in block if not isinstance(row, RowError)]
        answers = iter(predictor.batch(good, workers))
        for row in block:
            yield {"input": row.input, "error": str(row)} if isinstance(row, RowError) else asdict(next(answers))


def _written_answers(
    predictor: GenerativePredictor, rows: Iterable[Row], workers: int, options: Mapping[str, Any]
) -> Iterator[dict[str, Any]]:
    iterator = iter(rows)
    while block := list(islice(iterator, WRITTEN_BLOCK)):
        faults = [_fault(predictor, row) for row in block]
        good = [row for row, fault in zip(block, faults, strict=True) if fault is None]
        answers = iter(predictor.batch(good, workers, **options))
        for fault in faults:
            yield asdict(next(answers)) if fault is None else fault


def _fault(predictor: GenerativePredictor, row: Row) -> dict[str, str] | None:
    """What is wrong with a row: it could not be read, or its text is too long and must not be truncated."""
    if isinstance(row, RowError):
        return {"input": row.input, "error": str(row)}
    if predictor.task.overflow == "error":
        try:
            predictor.task.features(row)
        except DataError as error:
            return {"input": row[predictor.task.input_field], "error": str(error)}
    return None


def _streamer(predictor: GenerativePredictor, options: Mapping[str, Any]) -> Callable[[Row], bool]:
    """What prints the answer to a row piece by piece; it returns whether there was none."""

    def show(row: Row) -> bool:
        fault = _fault(predictor, row)
        for piece in [_line(fault, as_json=False)] if fault else predictor.stream(row, **options):
            sys.stdout.write(piece)
            sys.stdout.flush()
        sys.stdout.write("\n")
        return fault is not None

    return show


def _line(row: dict[str, Any], as_json: bool, ascii_only: bool = False) -> str:
    """A row for a program or for a reader; with escapes where only ASCII can be printed."""
    if as_json:
        return json.dumps(tables.plain(row), ensure_ascii=ascii_only)
    line = _readable(row)
    return line.encode("ascii", "backslashreplace").decode() if ascii_only else line


def _readable(row: dict[str, Any]) -> str:
    if "error" in row:
        return f"error: {row['error']}"
    if "outputs" in row:
        return "\n".join(f"{each['score']:.3f}\t{each['output']}" for each in row["outputs"])
    if "output" in row:
        return row["output"]
    label = ", ".join(row["label"]) if isinstance(row["label"], list) else row["label"]
    text = " | ".join(row["input"]) if isinstance(row["input"], list) else row["input"]
    return f"{label or '-'}\t{row['probability']:.3f}\t{tables.shortened(text, 100)}"


def _written(output: Path | None) -> Any:
    """Standard output, or a file that appears under its name only when it is complete."""
    if output is None:
        return nullcontext(sys.stdout)
    # A device or a pipe, /dev/null, is written to; renaming a file to its name would replace it.
    return output.open("w", encoding="utf-8") if output.exists() and not output.is_file() else _Whole(output)


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
