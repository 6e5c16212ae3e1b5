"""The child process of `textapp benchmark`: one model, alone in its process, that answers when it is asked to.

    python -m textapp.commands.measure PATH THREADS RUNTIME

Requests come on stdin and replies go to stdout, one JSON object a line:

    {"do": "answer", "record": {...}}       {}                    the first one also opens the model
    {"do": "time", "records": [...]}        {"ms": [...]}         milliseconds, string to answer, one by one
    {"do": "memory"}                        {"peak_memory_mb": 61.2}
    {"do": "quality", "file": "r.json"}     {"accuracy": 91.2, ...}

A fault gives `{"error": message, "kind": class}`. Only what a prediction needs is imported before the first answer, so
that start-up time and memory are those of a user's own process.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from textapp.errors import TextappError
from textapp.predictor import Predictor, load

BLOCK = 512  # texts answered together when only quality counts


def reply(predictor: Predictor, request: Mapping[str, Any]) -> dict[str, Any]:
    """Carries out one request."""
    if request["do"] == "answer":
        _answer(predictor, request["record"])
        return {}
    if request["do"] == "time":
        return {"ms": [_answer(predictor, record) for record in request["records"]]}
    if request["do"] == "memory":
        from textapp.metrics.size import peak_memory_mb

        return {"peak_memory_mb": peak_memory_mb()}
    return _quality(predictor, json.loads(Path(request["file"]).read_text(encoding="utf-8")))


def _answer(predictor: Predictor, record: Mapping[str, Any]) -> float:
    """Answers one record. Returns the milliseconds that it took."""
    started = time.perf_counter_ns()
    predictor(record["text"], record.get("text_pair"))
    return (time.perf_counter_ns() - started) / 1e6


def _quality(predictor: Predictor, records: list[dict[str, Any]]) -> dict[str, Any]:
    """The single figures of quality on all records, 0 to 100."""
    from textapp.commands.tables import plain

    answers = []
    for start in range(0, len(records), BLOCK):
        answers += predictor.batch(records[start : start + BLOCK])
    scores = plain(predictor.task.score(records, answers))
    return {name: value for name, value in scores.items() if isinstance(value, (int, float))}


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
