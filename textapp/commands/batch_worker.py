"""Answers files in parts: what every runner of `textapp predict --runner` calls, and the child process of one.

    python -m textapp.commands.batch_worker

The first line of stdin is a job, each further one a stripe of a file, as JSON objects of their fields. A reply on
stdout, `true` or `false`, says whether the stripe was answered. At the end of stdin the process ends at once: that is
also how it learns that the process which started it was killed.
"""

from __future__ import annotations

import json
import logging
import os
import queue
import sys
import threading
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import chain, count, islice
from pathlib import Path
from typing import Any, TextIO

from textapp.catalog import recipe_of_manifest
from textapp.commands.examples import layout_of
from textapp.commands.predict import Row, answer_line, answered
from textapp.errors import TextappError
from textapp.loading import load

END, FAILED = "end.json", "failed.json"
BLOCKS = 4  # of a part: blocks of records that are answered at once


@dataclass(frozen=True)
class Job:
    """What to answer with. It holds plain values, so that it can be sent to other processes and machines.

    Attributes:
        path: a run folder or a bundle.
        part_rows: number of rows of each part of a file but the last.
        threads, runtime, options: of `textapp.load`.
        decoding: options of `DecodingOptions` by name.
        columns, encoding: of the files.
    """

    path: str
    part_rows: int
    threads: int
    runtime: str
    options: Mapping[str, Any]
    decoding: Mapping[str, Any]
    columns: str | None
    encoding: str | None


@dataclass(frozen=True)
class Stripe:
    """Every `count`-th part of a file, beginning with part `index`.

    Attributes:
        file: the file to answer.
        folder: where its parts are written.
    """

    file: str
    folder: str
    index: int = 0
    count: int = 1


def answers_name(number: int) -> str:
    """The name of a part's answers; the file is there when the whole part is."""
    return f"{number:06}.jsonl"


def faults_name(number: int) -> str:
    """The name of the rows of a part that have no answer; there is none if all have."""
    return f"{number:06}.faults.jsonl"


class Answerer:
    """Answers stripes with a model that is loaded once.

    Args:
        job: the model, and how it answers.

    Raises:
        ArtifactError, UsageError: as for `textapp.load`.
    """

    def __init__(self, job: Job) -> None:
        self.job = job
        self._predictor = load(job.path, threads=job.threads, runtime=job.runtime, **job.options)
        self._recipe = recipe_of_manifest(self._predictor.manifest)
        self._layout = layout_of(self._predictor.manifest, job.columns, job.encoding)

    def answer(self, stripe: Stripe) -> bool:
        """Writes the parts of a stripe that are not there yet, each under its name only when it is complete.

        The rows of a part are in their order. The first stripe of a file also writes `END`, the number of rows of the
        file and the warnings about it.

        Returns:
            Whether the file could be read to its end; if not, `FAILED` in the stripe's folder says why.
        """
        folder = Path(stripe.folder)
        try:
            with _warnings() as warnings:
                rows = self._answer(stripe, folder)
        except TextappError as error:
            with _complete(folder / FAILED) as file:
                json.dump(str(error), file)
            return False
        if stripe.index == 0:
            with _complete(folder / END) as file:
                json.dump({"rows": rows, "warnings": warnings}, file)
        return True

    def _answer(self, stripe: Stripe, folder: Path) -> int:
        """Answers a stripe; returns the number of rows of the file."""
        scanned = self._recipe.scan(stripe.file, self._layout, Path())
        rows = 0
        for number in count():
            part = islice(scanned, self.job.part_rows)
            first = next(part, None)
            if first is None:
                return rows
            part = chain([first], part)
            mine = number % stripe.count == stripe.index and not (folder / answers_name(number)).exists()
            rows += self._write_part(stripe.file, part, folder, number) if mine else sum(1 for _ in part)
        return rows

    def _write_part(self, path: str, part: Iterator[tuple[int, Row]], folder: Path, number: int) -> int:
        """Answers a part; returns the number of its rows."""
        lines: deque[int] = deque()  # of the rows that were read, and not answered yet

        def rows() -> Iterator[Row]:
            for line, row in part:
                lines.append(line)
                yield row

        done = 0
        with ExitStack() as stack:
            answers = stack.enter_context(_complete(folder / answers_name(number)))
            faults: TextIO | None = None  # gets its name first: where there are answers, the part is complete
            for answer in answered(self._predictor, rows(), 1, self.job.decoding):
                line = lines.popleft()
                done += 1
                if not isinstance(answer, dict):
                    answers.write(answer_line(answer, True, answers) + "\n")
                    continue
                if faults is None:
                    faults = stack.enter_context(_complete(folder / faults_name(number)))
                reason = answer["error"].removeprefix(f"{path}:{line}: ")
                fault = {"file": path, "line": line, "input": answer["input"], "error": reason}
                faults.write(json.dumps(fault, ensure_ascii=False) + "\n")
        return done


@contextmanager
def _complete(path: Path) -> Iterator[TextIO]:
    """A file that gets its name when it is on the disk as a whole; an older one of that name goes."""
    partial = path.with_name(f".{path.name}-{os.urandom(8).hex()}")
    try:
        with partial.open("x", encoding="utf-8", errors="backslashreplace") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


class _Kept(logging.Handler):
    """Keeps the warnings of one thread, as several may answer at the same time."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.messages: list[str] = []
        self._thread = threading.get_ident()

    def emit(self, record: logging.LogRecord) -> None:
        if record.thread == self._thread:
            self.messages.append(record.getMessage())


@contextmanager
def _warnings() -> Iterator[list[str]]:
    """The warnings of the block."""
    log, kept = logging.getLogger("textapp"), _Kept()
    log.addHandler(kept)
    try:
        yield kept.messages
    finally:
        log.removeHandler(kept)


def main() -> None:
    """Answers the stripes that stdin names."""
    # Only replies go to the real stdout; output of libraries goes to stderr.
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    asked: queue.SimpleQueue[str] = queue.SimpleQueue()

    def read() -> None:
        for line in sys.stdin:
            asked.put(line)
        os._exit(0)  # also in the middle of a part: nobody waits for it

    threading.Thread(target=read, daemon=True).start()
    answerer = Answerer(Job(**json.loads(asked.get())))
    while True:
        replies.write(json.dumps(answerer.answer(Stripe(**json.loads(asked.get())))) + "\n")
        replies.flush()


if __name__ == "__main__":
    main()
