"""`textapp ask`: answers questions from a file or from a folder of documents, one after the other."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from textapp.artifact import Artifact
from textapp.commands import tables
from textapp.commands.typed import given_text, piped_lines, typed_lines
from textapp.encodings import text_encoding
from textapp.errors import DataError, OptionError, UsageError, plural
from textapp.loading import load
from textapp.predictors.predictor import Predictor
from textapp.records.rows import RowError
from textapp.retrieval.answering import FIELDS, FoundAnswer, Source, answer_from
from textapp.retrieval.documents import COLUMNS, read_documents, shown
from textapp.retrieval.index import Index, Passage
from textapp.retrieval.update import Settings, index_name, open_index
from textapp.tasks.task import one_line
from textapp.terminal import printable

PROMPT = "question> "
_HELP = "an empty line or Ctrl-D leaves"
PASSAGES = 10
_SHOWN = 5  # files that are not read, and are named
_EXCERPT = 160  # characters

log = logging.getLogger("textapp")

Passages = Callable[[str], Sequence[Passage]]  # those to read for a question


def ask(
    path: Path,
    context: Path | None = None,
    documents: Path | None = None,
    questions: Sequence[str] = (),
    passages: int | None = None,
    num_answers: int = 1,
    no_answer_threshold: float | None = None,
    index: Path | None = None,
    encoding: str = "auto",
    columns: str | None = None,
    workers: int = 1,
    threads: int = 1,
    runtime: str = "auto",
    trusted: bool = False,
    as_json: bool = False,
) -> int:
    """Answers questions, of the call, or else of a terminal or the lines of standard input.

    Args:
        path: a run folder or a bundle of a model that answers a question from a context.
        context: the file to look in.
        documents: a folder to look in, or a file; its best passages are read.
        questions: the questions; none: a prompt if standard input is a terminal, else its lines.
        passages: how many passages of `documents` are read for a question; None: 10.
        num_answers: number of answers to show.
        no_answer_threshold: minimum score, 0 to 1, below which a question has no answer; None: that of the model.
        index: folder of the index of `documents`; None: `<run>/index/`, or a folder of the user's cache.
        encoding: of the files, or `auto`.
        columns: `text=COLUMN` for tables.
        workers: number of runners that read passages in parallel.
        threads: CPU threads of each.
        runtime: the interpreter for a .tflite file.
        trusted: open a SavedModel, which is a program.
        as_json: print a JSON line for each question.

    Returns:
        The number of questions that are in error, such as empty ones.

    Raises:
        UsageError: options conflict, or the model takes no question with a context.
        DataError: there is nothing to read, or all questions that were given are in error.
    """
    settings = _checked(context, documents, questions, passages, index, encoding, columns)
    options: dict[str, Any] = {} if no_answer_threshold is None else {"no_answer_threshold": no_answer_threshold}
    options |= {"threads": threads, "runtime": runtime, "workers": workers, "trusted": trusted}
    predictor = _loaded(path, options, num_answers)
    _check_fields(predictor, path)
    look_up = (
        _in_file(context, settings)
        if context is not None
        else _in_folder(documents or Path(), passages or PASSAGES, settings, predictor, index)
    )
    bad = count = 0
    for question in _given(questions) if questions else _asked():
        count += 1
        bad += not _show(predictor, question, look_up, workers, num_answers, as_json)
    if 0 < bad == count and (questions or not sys.stdin.isatty()):
        raise DataError(f"no question had an answer ({bad} given): see above")
    if bad:
        tables.warn(f"{plural(bad, 'question')} had no answer because of an error: see above")
    return bad


def _loaded(path: Path, options: Mapping[str, Any], num_answers: int) -> Predictor:
    """The predictor; a model that writes has one answer for each passage, and takes no number of answers."""
    if num_answers > 1:
        with contextlib.suppress(OptionError):  # one of another option is raised again
            return load(path, num_answers=num_answers, **options)
    return load(path, **options)


def _checked(
    context: Path | None,
    documents: Path | None,
    questions: Sequence[str],
    passages: int | None,
    index: Path | None,
    encoding: str,
    columns: str | None,
) -> Settings:
    """How the files are read; reports wrong options before a model is opened."""
    if (context is None) == (documents is None):
        found = "both" if context else "neither"
        raise UsageError(f"--context and --documents: found {found}, expected one of them: give a file, or a folder")
    if context is not None and (passages is not None or index is not None):
        name = "--passages" if passages is not None else "--index"
        raise UsageError(f"{name}: only for --documents, as a --context FILE is read as a whole: leave it out")
    if any(not question.strip() for question in questions):
        raise UsageError("--question: found an empty one, expected a question")
    if context is not None and not context.exists():
        raise DataError(f"{context}: no such file; expected a file to look in")
    if context is not None and context.is_dir():
        raise UsageError(f"--context {context}: found a folder, expected a file: give it with --documents")
    if documents is not None and not documents.exists():
        raise DataError(f"{documents}: no such folder; expected a folder of documents")
    return Settings(text_encoding(encoding, "--encoding"), _column(columns) if columns else COLUMNS)


def _column(columns: str) -> tuple[str | int, ...]:
    field, equals, column = (word.strip() for word in columns.partition("="))
    if field != "text" or not equals or not column or "," in column:
        raise UsageError(f"--columns {columns}: expected text=COLUMN, such as text=body")
    return (int(column) if column.isdigit() else column,)


def _check_fields(predictor: Predictor, path: Path) -> None:
    task = predictor.task
    if not set(FIELDS) <= set(task.fields):
        raise UsageError(
            f"{path} is a model of {task.name}, which takes {' and '.join(task.fields)};"
            f" expected one that takes a {' and a '.join(FIELDS)}: train one, or use textapp predict"
        )


# --- where to look -------------------------------------------------------------------------------------------------


def _in_file(path: Path, settings: Settings) -> Passages:
    """All documents of a file, each as a passage."""
    found, faults = [], []
    for document in read_documents(path, settings.encoding, settings.columns):
        if isinstance(document, RowError):
            faults.append(str(document))
        elif document.text.strip():
            found.append(Passage(shown(path.name), document.line, 0, len(document.text), document.text))
    _warn_of(faults)
    if not found:
        raise DataError(f"{path}: has no text to look in")
    return lambda question: found


def _in_folder(folder: Path, count: int, settings: Settings, predictor: Predictor, at: Path | None) -> Passages:
    """The best passages of a folder, by an index that is brought up to date first."""
    index = _index(folder, settings, predictor, at)
    _warn_of([f"{folder / name if folder.is_dir() else folder}: {fault}" for name, fault in index.faults.items()])
    return lambda question: index.search(question, count)


def _index(folder: Path, settings: Settings, predictor: Predictor, at: Path | None) -> Index:
    def progress(count: int) -> Any:
        if sys.stderr.isatty():
            return tables.progress(f"reading {folder}", count)
        log.info("%s: %s to read", folder, plural(count, "file"))
        return contextlib.nullcontext(lambda: None)

    if at is not None:
        return open_index(folder, at, settings, progress)
    artifact = Artifact(predictor.path, dict(predictor.manifest))
    run = artifact.path if artifact.kind == "run" else artifact.parent
    if run is not None and os.access(run, os.W_OK):
        return open_index(folder, run / "index" / index_name(folder), settings, progress)
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "textapp" / "index"
    return open_index(folder, cache / index_name(folder), settings, progress)


def _warn_of(faults: Sequence[str]) -> None:
    for fault in faults[:_SHOWN]:
        tables.warn(f"not read: {fault}")
    if len(faults) > _SHOWN:
        tables.warn(f"not read: {len(faults) - _SHOWN:,} more")


# --- questions -----------------------------------------------------------------------------------------------------


def _given(questions: Sequence[str]) -> Iterator[str | RowError]:
    return (given_text(question, "--question", number) for number, question in enumerate(questions, start=1))


def _asked() -> Iterator[str | RowError]:
    """The questions of a terminal, up to an empty one or Ctrl-D; else those of the lines of standard input."""
    if not sys.stdin.isatty():
        yield from piped_lines("question")
        return
    tables.note(_HELP)
    for question in typed_lines(PROMPT):
        if not question:
            return
        yield question


def _show(
    predictor: Predictor,
    question: str | RowError,
    look_up: Passages,
    workers: int,
    num_answers: int,
    as_json: bool,
) -> bool:
    """Answers one question, and prints it; returns whether there was no error."""
    try:
        if isinstance(question, RowError):
            raise question
        if not question.strip():
            raise DataError("the question is empty")
        answer = answer_from(predictor, question, look_up(question), workers, num_answers)
    except DataError as error:
        shown = question.input if isinstance(question, RowError) else question
        if as_json:
            tables.emit_line({"question": shown, "error": str(error)})
        else:
            _print(f"error: {error}")
        return False
    if as_json:
        tables.emit_line(_as_json(answer))
    else:
        _print(_as_text(answer))
    return True


def _as_json(answer: FoundAnswer) -> dict[str, Any]:
    """The answer with its best source; `alternatives` are the others."""
    best, *others = [asdict(source) for source in answer.sources] or [dict.fromkeys(Source.__dataclass_fields__)]
    return {
        "question": answer.question, **best, "answer": answer.answer, "score": answer.score,
        "passages": answer.passages, "alternatives": others,
    }  # fmt: skip


def _as_text(answer: FoundAnswer) -> str:
    if not answer.sources:
        read = f"{plural(answer.passages, 'passage')} read" if answer.passages else "no passage found"
        return f"no answer ({answer.score or 0:.2f}; {read})"
    return "\n".join(_source_as_text(source) for source in answer.sources)


def _source_as_text(source: Source) -> str:
    score = "" if source.score is None else f" ({source.score:.2f})"
    line = "" if source.line is None else f" line {source.line}"
    found = source.start is not None and source.end is not None
    start, end = (source.start, source.end) if found else (source.passage_start, source.passage_end)
    return f"{one_line(source.answer, 200)}{score}\n  {source.file}{line}, characters {start}-{end}: {_excerpt(source)}"


def _excerpt(source: Source) -> str:
    """The passage around the answer, on one line."""
    start = 0 if source.start is None else source.start - source.passage_start
    end = start if source.end is None else source.end - source.passage_start
    around = max(20, (_EXCERPT - (end - start)) // 2)
    first, last = max(0, start - around), min(len(source.passage), end + around)
    if first:  # with a whole word, if one begins soon
        space = source.passage.find(" ", first, start)
        first = space + 1 if 0 <= space < first + 20 else first
    text = " ".join(source.passage[first:last].split())
    return f"{'…' * (first > 0)}{text}{'…' * (last < len(source.passage))}"


def _print(text: str) -> None:
    sys.stdout.write(printable(text, sys.stdout) + "\n")
    sys.stdout.flush()
