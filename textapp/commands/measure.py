"""The child process of `textapp benchmark`: one model, which answers requests.

    python -m textapp.commands.measure PATH THREADS RUNTIME [trusted]

Requests on stdin and replies on stdout are JSON objects, one per line:

    {"do": "answer", "record": {...}}       {}                    the first one also opens the model
    {"do": "time", "records": [...]}        {"ms": [...]}         milliseconds, string to answer, one by one; if the
                                            model generates text with "tokens", the number of new tokens of each
    {"do": "memory"}                        {"peak_memory_mb": 61.2}
    {"do": "quality", "file": "r.json"}     {"accuracy": 91.2, ...}
    {"do": "queries", "file": "r.json"}     {"records": [...]}    the records, or prompts made from them
    {"do": "request", "records": [...]}     {"signature": "classify_16", "inputs": {...}}    of those that the records
                                            take, the most frequent, and the first record with it
    {"do": "first_token", "records": [...]} {"time_to_first_token_ms": {"p50": 2.1, ...}}, or {} if it cannot stream

An error gives `{"error": message, "kind": class}`. Before the first answer only modules that a prediction needs are
imported, so that start-up time and memory are those of a user's own process.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textapp.errors import ArtifactError, TextappError
from textapp.loading import load

if TYPE_CHECKING:
    from textapp.predictors.predictor import Predictor

Record = Mapping[str, Any]
TRUSTED = "trusted"
MAX_QUERIES = 200  # prompts, if the data have none


def reply(predictor: Predictor, request: Mapping[str, Any]) -> dict[str, Any]:
    """Handles one request."""
    if request["do"] == "answer":
        _answer(predictor, predictor.task.queries([request["record"]], 1)[0])
        return {}
    if request["do"] == "time":
        ms, tokens = zip(*(_answer(predictor, record) for record in request["records"]), strict=True)
        return {"ms": ms, "tokens": tokens} if predictor.streams else {"ms": ms}
    if request["do"] == "memory":
        from textapp.metrics.size import peak_memory_mb

        return {"peak_memory_mb": peak_memory_mb()}
    if request["do"] == "first_token":
        return _first_token(predictor, request["records"])
    if request["do"] == "request":
        return _request(predictor, request["records"])
    records = json.loads(Path(request["file"]).read_text(encoding="utf-8"))
    if request["do"] == "queries":
        return {"records": predictor.task.queries(records, MAX_QUERIES)}
    return _quality(predictor, records)


def _request(predictor: Predictor, records: Sequence[Record]) -> dict[str, Any]:
    """The signature that most of the records take, and the inputs of the first one that takes it."""
    from textapp.predictors.requests import stacked

    task = predictor.task
    requests = [each for query in task.queries(records, MAX_QUERIES) for each in task.requests(task.record(query))]
    signature, _ = Counter(each.signature for each in requests).most_common(1)[0]
    first = next(each for each in requests if each.signature == signature)
    inputs = stacked((first.features,), first.length, task.tokenizer.pad_id)
    return {"signature": signature, "inputs": {name: values.tolist() for name, values in inputs.items()}}


def _answer(predictor: Predictor, record: Record) -> tuple[float, int]:
    """Answers one record; returns the milliseconds and the number of generated tokens."""
    started = time.perf_counter_ns()
    record = predictor.task.record(record)
    outputs = predictor.outputs(record, predictor.defaults)
    predictor.answer(record, outputs, predictor.defaults)
    taken = time.perf_counter_ns() - started
    return taken / 1e6, sum(int(each.get("num_tokens", 0)) for each in outputs)


def _first_token(predictor: Predictor, records: Sequence[Record]) -> dict[str, Any]:
    """The latency from a string to the first piece of text."""
    from textapp.metrics.speed import latency

    try:
        return {"time_to_first_token_ms": latency(lambda record: next(predictor.stream(record), ""), records)}
    except ArtifactError:  # a file without the signatures of single steps
        return {}


def scores(
    predictor: Predictor, records: Sequence[Record], queries: Sequence[Record], answers: Sequence[Any]
) -> dict[str, Any]:
    """The figures of quality, and `intervals`: name of a figure -> `[low, high]`, see `metrics/bootstrap.py`.

    Args:
        predictor: of a run or a bundle.
        records: with labels or references.
        queries: what was asked, made from these records.
        answers: to the queries.
    """
    task, more = predictor.task, predictor.figures(records)
    intervals = {**task.intervals(queries, answers), **more.pop("intervals", {})}
    return {**task.score(queries, answers), **more, "intervals": intervals}


def _quality(predictor: Predictor, records: Sequence[Record]) -> dict[str, Any]:
    """The figures of quality on all records with their intervals, without tables."""
    from textapp.arrays import plain

    queries, answers = predictor.task.queries(records, MAX_QUERIES), []
    for start in range(0, len(queries), predictor.block):
        answers += predictor.batch(queries[start : start + predictor.block])
    found = plain(scores(predictor, records, queries, answers))
    return {name: value for name, value in found.items() if isinstance(value, (int, float)) or name == "intervals"}


def main(path: str, threads: str, runtime: str, trusted: str = "") -> None:
    """Handles requests until stdin ends.

    Args:
        path: a run folder or a bundle.
        threads: CPU threads per answer.
        runtime: the interpreter for a .tflite file.
        trusted: `trusted` if a SavedModel may be opened.
    """
    # Only replies go to the real stdout; output of libraries goes to stderr.
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    predictor = None
    for line in sys.stdin:
        try:
            predictor = predictor or load(path, threads=int(threads), runtime=runtime, trusted=trusted == TRUSTED)
            answer = reply(predictor, json.loads(line))
        except TextappError as error:
            answer = {"error": str(error), "kind": type(error).__name__}
        replies.write(json.dumps(answer) + "\n")
        replies.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
