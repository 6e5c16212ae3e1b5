"""`textapp predict`: answers texts from arguments, standard input or a file, in order."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

from textapp.artifact import check_not_of_an_artifact, inputs_overwritten
from textapp.catalog import recipe_of_manifest
from textapp.commands import tables
from textapp.commands.chat import chat_answers, check_chats
from textapp.commands.examples import check_has_columns, layout_of
from textapp.commands.typed import given_text
from textapp.decoding.options import decoding_options
from textapp.encodings import AUTO, text_encoding
from textapp.errors import DataError, UsageError, plural
from textapp.files import atomic_file, check_output
from textapp.loading import load
from textapp.predictors.predictor import Predictor
from textapp.records.fasttext import without_labels
from textapp.records.files import UTF_8, expand, read_source
from textapp.records.readers import scan_lines, scan_stdin
from textapp.records.rows import RowError
from textapp.tasks.task import Answer, Record, Task
from textapp.terminal import printable

log = logging.getLogger("textapp")

Row = Record | RowError
Fault = dict[str, str]  # input, error


def predict(
    path: Path,
    texts: Sequence[str] = (),
    pair: Sequence[str] = (),
    named: Mapping[str, Sequence[str | Path]] | None = None,
    input_file: Path | None = None,
    output: Path | None = None,
    columns: str | None = None,
    encoding: str | None = None,
    workers: int = 1,
    threads: int = 1,
    runtime: str = "auto",
    as_json: bool = False,
    stream: bool = False,
    options: Mapping[str, Any] | None = None,
    decoding: Mapping[str, Any] | None = None,
    chat: bool = False,
) -> int:
    """Answers texts with a run or a bundle.

    Args:
        path: a run folder or a bundle.
        texts: the texts; none, and no `input_file`: the lines of standard input.
        pair: the second text of each, for a model of pairs.
        named: instead of `texts`, the values of fields by name, such as `question`; a path is a file to read. A single
            value is that of every input.
        input_file: a file of examples, also without labels; an invalid row gives `{input, error}`.
        output: a file for the JSON lines, instead of standard output.
        columns: of `input_file`, such as `text=0`.
        encoding: of `input_file`, standard input or a file of `named`; None: that of the run, UTF-8, and that which
            is found.
        workers: number of runners that answer in parallel.
        threads: CPU threads per answer.
        runtime: the interpreter for a .tflite file.
        as_json: print JSON lines.
        stream: print the text while it is generated.
        options: of `textapp.load` by name, such as `trusted`, or `threshold` of the task; None: the default.
        decoding: options of `DecodingOptions` by name.
        chat: each input, a line also of `input_file`, is a message, or the messages of a conversation in JSON.

    Returns:
        The number of inputs without an answer.

    Raises:
        UsageError: options conflict, or do not apply to this model, or `output` is a file that is read.
        DataError: no input had an answer, or a file of `named` cannot be read.
    """
    values: dict[str, list[Any]] = {field: list(given) for field, given in (named or {}).items() if given}
    decoding = dict(decoding or {})
    decoding_options(decoding)  # reports a wrong option before a model is opened
    if texts and input_file:
        raise UsageError("TEXT and --input: found both, expected one of them: leave one out")
    if values and (texts or pair or input_file):
        raise UsageError(f"{_options(values)}: found also TEXT, --pair or --input, expected one of them: leave it out")
    values = {
        field: [_read(value, encoding, f"--{field}", number) for number, value in enumerate(given, start=1)]
        for field, given in values.items()
    }
    if input_file and str(input_file) == "-":
        raise UsageError("--input -: found '-', expected a file: leave --input out to read standard input")
    if encoding and texts:
        raise UsageError(
            f"--encoding {encoding}: found TEXT arguments, which are read as the terminal gives them; expected --input"
            f" FILE or lines of standard input: leave it out"
        )
    if columns and not input_file:
        raise UsageError(f"--columns {columns}: found no --input FILE, expected one: give both, or neither")
    if pair and len(pair) != len(texts):
        raise UsageError(
            f"--pair: found {plural(len(pair), 'second text')} for {plural(len(texts), 'text')}, expected one for each"
        )
    if stream and (as_json or output or workers > 1):
        raise UsageError("--stream prints a text while it is generated: leave out --json, --output and --workers")
    if chat and (pair or values or columns or stream or workers > 1):
        raise UsageError("--chat answers one line after the other: leave out --pair, --columns, --stream and --workers")
    inputs = expand(input_file) if input_file else []
    if output:
        _check_output(output, path, inputs)
    predictor = load(path, threads=threads, runtime=runtime, **(options or {}))
    if (decoding or stream) and not predictor.streams:
        names = _options([*decoding, *["stream"] * stream])
        raise UsageError(
            f"{names}: only for models that generate text, found {path} for {predictor.task.name}: leave it out"
        )
    if chat:
        check_chats(predictor, decoding)
        lines = _chat_lines(texts, input_file, encoding)
        return _written(chat_answers(predictor, lines, decoding), as_json or output is not None, output)
    named_rows = _named_rows(predictor, path, values) if values else None
    rows = named_rows or _rows(predictor, path, texts, pair, input_file, columns, encoding)
    if stream:
        show = _streamer(predictor, decoding)
        faults = [show(row) for row in rows]
        return _warned(sum(faults), len(faults))
    return _written(answered(predictor, rows, workers, decoding), as_json or output is not None, output)


def _written(answers: Iterable[Answer | Fault], as_json: bool, output: Path | None) -> int:
    """Prints answers, or writes them to a file; returns the number of inputs without one.

    Args:
        answers: in order.
        as_json: as JSON lines.
        output: the file; None: standard output.
    """
    bad = count = 0
    with _opened(output) as file:
        for answer in answers:
            count += 1
            bad += isinstance(answer, dict)
            file.write(answer_line(answer, as_json, file) + "\n")
        file.flush()
    if output:
        log.info("answers: %d in %s", count, output)
    return _warned(bad, count)


def _warned(bad: int, count: int) -> int:
    """Returns the number of inputs without an answer, after a warning about them.

    Raises:
        DataError: no input had an answer.
    """
    errors = "their errors" if bad > 1 else "its error"
    if 0 < bad == count:
        raise DataError(f"no input had an answer ({bad} given): see {errors}")
    if bad:
        tables.warn(f"{plural(bad, 'input')} had no answer: see {errors}")
    return bad


def _rows(
    predictor: Predictor,
    path: Path,
    texts: Sequence[str],
    pair: Sequence[str],
    input_file: Path | None,
    columns: str | None,
    encoding: str | None,
) -> Iterable[Row]:
    """The records to answer, from arguments, a file or standard input."""
    task = predictor.task
    if len(task.fields) > 1 + len(task.optional) and not input_file and not pair:
        needed = [field for field in task.fields if field not in task.optional]
        give = "--pair TEXT with each text" if "text" in needed else _options(needed)
        raise UsageError(f"{path} takes {' and '.join(task.fields)}: give {give}, or --input FILE")
    if pair and len(task.fields) == 1:
        raise UsageError(f"--pair: {path} is a model of {task.name}, which takes one text: leave it out")
    if input_file:
        recipe = recipe_of_manifest(predictor.manifest)
        if columns:
            check_has_columns([input_file], columns, recipe.keys.parallel_files)
        return (row for _, row in recipe.scan(input_file, layout_of(predictor.manifest, columns, encoding), Path()))
    if not texts:
        keys = recipe_of_manifest(predictor.manifest).keys
        return _stdin_rows(task.fields[0], encoding, labelled="label" in keys.columns)
    return _argument_rows(task, texts, pair)


def _named_rows(predictor: Predictor, path: Path, values: Mapping[str, Sequence[str | RowError]]) -> Iterator[Row]:
    """The records made of values of fields; a single value is repeated."""
    task = predictor.task
    missing = [field for field in task.fields if field not in values and field not in task.optional]
    unknown = set(values) - set(task.fields)
    if missing or unknown:
        mend = "give these" if unknown else f"add {_options(missing)}"
        raise UsageError(
            f"{_options(values)}: {path} is a model of {task.name}, which takes {' and '.join(task.fields)}: {mend}"
        )
    count = max(map(len, values.values()))
    for field, given in values.items():
        if len(given) not in (1, count):
            raise UsageError(f"--{field}: found {len(given)} of them, expected 1 or {count}, one for each input")
    columns = [[*given] * (count if len(given) == 1 else 1) for given in values.values()]
    return (_row(task, dict(zip(values, row, strict=True))) for row in zip(*columns, strict=True))


def _options(names: Iterable[str]) -> str:
    return ", ".join(f"--{name.replace('_', '-')}" for name in names)


def _read(value: str | Path, encoding: str | None, name: str, number: int) -> str | RowError:
    """A text of the call, or that of a file, whose encoding is found where none is named."""
    if isinstance(value, Path):
        return "".join(read_source(value, encoding or AUTO).pieces())
    return given_text(value, name, number)


def _argument_rows(task: Task, texts: Sequence[str], pair: Sequence[str]) -> Iterator[Row]:
    firsts = _given(texts, "TEXT")
    rows = zip(firsts, _given(pair, "--pair"), strict=True) if pair else zip(firsts, strict=True)
    yield from (_row(task, dict(zip(task.fields, row, strict=False))) for row in rows)


def _given(texts: Iterable[str], name: str) -> Iterator[str | RowError]:
    return (given_text(text, name, number) for number, text in enumerate(texts, start=1))


def _row(task: Task, values: Mapping[str, str | RowError]) -> Row:
    """The record of some texts, or the first error among them."""
    return next((value for value in values.values() if isinstance(value, RowError)), None) or task.record(**values)


def _stdin_rows(field: str, encoding: str | None, labelled: bool = False) -> Iterator[Row]:
    """The lines of standard input; without the labels of fastText if they may be `labelled`, as those of a `.txt`."""
    if sys.stdin is None:
        raise UsageError("found no TEXT and a closed stdin: give TEXT, --input FILE, or lines on stdin")
    name = text_encoding(encoding or "utf-8", "--encoding")
    if name == AUTO:
        raise UsageError("--encoding auto: looks at a file before it is read: give --input FILE, or name the encoding")
    rows = scan_stdin(field, name)
    if labelled:
        rows = without_labels(Path("stdin"), rows)
    return (row if isinstance(row, RowError) else {field: row.values[field]} for row in rows)


def _chat_lines(texts: Sequence[str], input_file: Path | None, encoding: str | None) -> Iterator[str | RowError]:
    """The texts, the lines of a file, or those of standard input."""
    if texts:
        yield from _given(texts, "TEXT")
        return
    rows: Iterable[Any] = _stdin_rows("input", encoding) if input_file is None else (
        row if isinstance(row, RowError) else row.values for row in scan_lines(input_file, "input", encoding or UTF_8)
    )  # fmt: skip
    for row in rows:
        yield row if isinstance(row, RowError) else row["input"]


def answered(
    predictor: Predictor, rows: Iterable[Row], workers: int, decoding: Mapping[str, Any]
) -> Iterator[Answer | Fault]:
    """The answers to rows, in order; for a row without one `{input, error}`.

    Args:
        predictor: which answers.
        rows: of files, or of arguments.
        workers: runners that answer in parallel.
        decoding: options of `DecodingOptions` by name.
    """
    iterator = iter(rows)
    while block := list(islice(iterator, predictor.block)):
        faults = [_fault(predictor, row) for row in block]
        good = [row for row, fault in zip(block, faults, strict=True) if fault is None]
        answers = zip(good, predictor.attempts(good, workers, **decoding), strict=True)
        for fault in faults:
            yield _answer_or_fault(predictor, *next(answers)) if fault is None else fault


def _fault(predictor: Predictor, row: Row) -> Fault | None:
    """The error of a row that cannot be read, or that the task does not accept; else None."""
    if isinstance(row, RowError):
        return {"input": row.input, "error": str(row)}
    try:
        predictor.task.check(row)
    except DataError as error:
        return _fault_of(predictor, row, error)
    return None


def _answer_or_fault(predictor: Predictor, row: Record, answer: Answer | DataError) -> Answer | Fault:
    return _fault_of(predictor, row, answer) if isinstance(answer, DataError) else answer


def _fault_of(predictor: Predictor, row: Record, error: DataError) -> Fault:
    where = f"{row['where']}: " if row.get("where") else ""
    name = {"id": row["id"]} if row.get("id") is not None else {}
    return {**name, "input": row[predictor.task.fields[0]], "error": f"{where}{error}"}


def _streamer(predictor: Predictor, decoding: Mapping[str, Any]) -> Callable[[Row], bool]:
    """A function that prints the answer to a row piece by piece; it returns whether the row had an error."""

    def show(row: Row) -> bool:
        fault = _fault(predictor, row)
        try:
            for piece in () if fault else predictor.stream(row, **decoding):
                sys.stdout.write(printable(piece, sys.stdout))
                sys.stdout.flush()
        except DataError as error:  # the answer does not have the form that was asked for
            fault = _fault_of(predictor, row, error)
            sys.stdout.write("\n")
        sys.stdout.write(printable(f"error: {fault['error']}" if fault else "", sys.stdout) + "\n")
        return fault is not None

    return show


def answer_line(answer: Answer | Fault, as_json: bool, file: TextIO) -> str:
    """An answer as JSON or as text, as the file can take it.

    Args:
        answer: to one row.
        as_json: as JSON.
        file: that it will be written to.
    """
    fault = isinstance(answer, dict)
    if as_json:
        return tables.json_text(answer if fault else asdict(answer), file)
    return printable(f"error: {answer['error']}" if fault else answer.line(), file)


def _opened(output: Path | None) -> AbstractContextManager[TextIO]:
    """Standard output, or a file that appears under its name only when it is complete."""
    if output is None:
        return nullcontext(sys.stdout)
    return atomic_file(output)


def _check_output(output: Path, artifact: Path, inputs: Iterable[Path]) -> None:
    """Checks, before a model is opened, that the answers do not overwrite what is read.

    Raises:
        UsageError: they would overwrite the input or a file of the model, or the file cannot be written.
    """
    check_output(output)
    if (read := inputs_overwritten(output, inputs)) is not None:
        raise UsageError(f"--output {output}: is the same file as --input {read}: use another name")
    if _is_stdin(output):
        raise UsageError(f"--output {output}: is the file that standard input is read from: use another name")
    check_not_of_an_artifact(output, artifact)


def _is_stdin(output: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(sys.stdin.fileno()), output.stat()) and output.is_file()
    except (OSError, ValueError, AttributeError):  # no such file, or standard input is closed or no file
        return False
