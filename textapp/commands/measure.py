"""The child process of `textapp benchmark`: one model, alone in its process, that answers when it is asked to.

    python -m textapp.commands.measure PATH THREADS RUNTIME

Requests come on stdin and replies go to stdout, one JSON object a line:

    {"do": "answer", "record": {...}}       {}                    the first one also opens the model
    {"do": "time", "records": [...]}        {"ms": [...]}         milliseconds, string to answer, one by one; with
                                            "tokens", the new ones of each, where the model writes text
    {"do": "memory"}                        {"peak_memory_mb": 61.2}
    {"do": "quality", "file": "r.json"}     {"accuracy": 91.2, ...}

and, where the model writes text:

    {"do": "queries", "file": "r.json"}     {"records": [...]}    what it is to translate or to continue
    {"do": "first_token", "records": [...]} {"time_to_first_token_ms": {"p50": 2.1, ...}}, or {} where it cannot stream

A fault gives `{"error": message, "kind": class}`. Only what a prediction needs is imported before the first answer, so
that start-up time and memory are those of a user's own process.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from textapp.decoding.options import PLAIN
from textapp.errors import ArtifactError, TextappError
from textapp.generative import GenerativePredictor
from textapp.predictor import Predictor, load

Record = Mapping[str, Any]
MOST_QUERIES = 200  # prompts, where the data have none of their own
BLOCK = 512  # texts answered together when only quality counts


def reply(predictor: Predictor | GenerativePredictor, request: Mapping[str, Any]) -> dict[str, Any]:
    """Carries out one request."""
    if request["do"] == "answer":
        _answer(predictor, _query(predictor, request["record"]))
        return {}
    if request["do"] == "time":
        ms, tokens = zip(*(_answer(predictor, record) for record in request["records"]), strict=True)
        return {"ms": ms, "tokens": tokens} if isinstance(predictor, GenerativePredictor) else {"ms": ms}
    if request["do"] == "memory":
        from textapp.metrics.size import peak_memory_mb

        return {"peak_memory_mb": peak_memory_mb()}
    if request["do"] == "first_token":
        return _first_token(predictor, request["records"])
    records = json.loads(Path(request["file"]).read_text(encoding="utf-8"))
    if request["do"] == "queries":
        return {"records": predictor.task.queries(records, MOST_QUERIES)}
    if isinstance(predictor, GenerativePredictor):
        return _written_quality(predictor, records)
    return _quality(predictor, records)


def _query(predictor: Predictor | GenerativePredictor, record: Record) -> Record:
    """A record that can be answered: of a text without a prompt its beginning."""
    if isinstance(predictor, GenerativePredictor) and predictor.task.input_field not in record:
        return predictor.task.queries([record], 1)[0]
    return record


def _answer(predictor: Predictor | GenerativePredictor, record: Record) -> tuple[float, int]:
    """Answers one record. Returns the milliseconds that it took, and how many tokens were written."""
    started = time.perf_counter_ns()
    tokens = 0
    if isinstance(predictor, GenerativePredictor):
        outputs = predictor.outputs(record, PLAIN)
        predictor.task.answer(record, outputs)
        tokens = int(outputs["num_tokens"])
    else:
        predictor(record["text"], record.get("text_pair"))
    return (time.perf_counter_ns() - started) / 1e6, tokens


def _first_token(predictor: GenerativePredictor, records: Sequence[Record]) -> dict[str, Any]:
    """From a string to its first piece of text."""
    from textapp.metrics.speed import latency

    try:
        return {"time_to_first_token_ms": latency(lambda record: next(predictor.stream(record), ""), records)}
    except ArtifactError:  # a file without the signatures of single steps
        return {}


def _quality(predictor: Predictor, records: Sequence[Record]) -> dict[str, Any]:
    """The single figures of quality on all records, 0 to 100."""
    return _figures(predictor.task.score(records, _answers(predictor, records)))


def _written_quality(predictor: GenerativePredictor, records: Sequence[Record]) -> dict[str, Any]:
    """The same of translations or continuations, and the perplexity of the data's own texts."""
    from textapp.metrics.generation import perplexity

    queries = predictor.task.queries(records, MOST_QUERIES)
    figures = _figures(predictor.task.score(queries, _answers(predictor, queries)))
    try:
        return figures | {"perplexity": perplexity(predictor.score_texts(records))["perplexity"]}
    except ArtifactError:
        return figures


def _answers(predictor: Predictor | GenerativePredictor, records: Sequence[Record]) -> list[Any]:
    answers = []
    for start in range(0, len(records), BLOCK):
        answers += predictor.batch(records[start : start + BLOCK])
    return answers


def _figures(scores: Mapping[str, Any]) -> dict[str, Any]:
    from textapp.commands.tables import plain

    return {name: value for name, value in plain(scores).items() if isinstance(value, (int, float))}


def main(path: str, threads: str, runtime: str) -> None:
    """Serves requests until stdin ends or one of them fails."""
    # Replies keep the real stdout to themselves; what libraries print goes to stderr.
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    predictor = None
    for line in sys.stdin:
        try:
            predictor = predictor or load(path, threads=int(threads), runtime=runtime)
            answer = reply(predictor, json.loads(line))
        except TextappError as error:
            answer = {"error": str(error), "kind": type(error).__name__}
        replies.write(json.dumps(answer) + "\n")
        replies.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
