"""Answers a question from several passages: a model reads each, and the surest answer counts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from textapp.retrieval.index import Passage

if TYPE_CHECKING:
    from textapp.predictors.predictor import Predictor

FIELDS = ("question", "context")  # of a task that can answer from passages
# Of the passage's BM25, beside the log-odds of its answer. A reader is trained on passages that have the answer, and is
# too sure of others (Yang et al., 2019, mix the two as well).
PASSAGE_WEIGHT = 1.0


@dataclass(frozen=True)
class Source:
    """A possible answer and where it was found.

    Attributes:
        answer: the answer.
        score: of the model, 0 to 1; None if it gives none.
        file: the file.
        line: of the row, if the file is a table.
        start, end: of the answer in its document, in characters; None if it was written, not found.
        passage: the text that was read, `passage_start` to `passage_end` of the document.
        passage_start, passage_end: its range, in characters.
        passage_score: BM25 of the passage; None if it was not looked up.
    """

    answer: str
    score: float | None
    file: str
    line: int | None
    start: int | None
    end: int | None
    passage: str
    passage_start: int
    passage_end: int
    passage_score: float | None


@dataclass(frozen=True)
class FoundAnswer:
    """The answer to a question from passages.

    Attributes:
        question: the question.
        answer: of the best source; empty if no passage answers the question.
        score: of the best source; without an answer the highest score of a passage, 0 if none was read.
        sources: the best answers, the best first.
        passages: number of passages that were read.
    """

    question: str
    answer: str
    score: float | None
    sources: tuple[Source, ...]
    passages: int


def answer_from(
    predictor: Predictor, question: str, passages: Sequence[Passage], workers: int = 1, num_answers: int = 1
) -> FoundAnswer:
    """Answers a question from passages.

    The log-odds of the model's score and BM25 of the passage are added; of equal sums the better passage counts. An
    answer that two overlapping passages have counts once.

    Args:
        predictor: of a task with the fields `FIELDS`.
        question: the question.
        passages: the best first.
        workers: number of runners that answer in parallel.
        num_answers: the most sources to return.

    Raises:
        DataError: the question cannot be answered, as it is empty or too long.

    Example: `answer_from(predictor, "Who?", index.search("Who?", 10)).answer`
    """
    records = [predictor.task.record({"question": question, "context": passage.text}) for passage in passages]
    for record in records:
        predictor.task.check(record)
    answers: Sequence[Any] = predictor.batch(records, workers) if records else []
    found: list[Source] = []
    for passage, answer in zip(passages, answers, strict=True):
        if answer.answer.strip():  # a model that writes may write blanks alone
            found += [_source(passage, one) for one in getattr(answer, "alternatives", ()) or (answer,)]
    found.sort(key=_rank, reverse=True)  # stable, so that the better passage comes first
    distinct: dict[tuple[Any, ...], Source] = {}
    for source in found:
        distinct.setdefault(_place(source), source)
    sources = list(distinct.values())[:num_answers]
    highest = max((_score(answer) or 0.0 for answer in answers), default=0.0)
    best = sources[0] if sources else None
    return FoundAnswer(
        question, best.answer if best else "", best.score if best else highest, tuple(sources), len(passages)
    )


def _source(passage: Passage, answer: Any) -> Source:
    start, end = getattr(answer, "start", None), getattr(answer, "end", None)
    return Source(
        answer.answer,
        _score(answer),
        passage.file,
        passage.line,
        None if start is None else passage.start + start,
        None if end is None else passage.start + end,
        passage.text,
        passage.start,
        passage.end,
        passage.score,
    )


def _score(answer: Any) -> float | None:
    return getattr(answer, "score", None)


def _rank(source: Source) -> float:
    score = min(max(source.score or 0.0, 1e-9), 1 - 1e-9)
    return math.log(score / (1 - score)) + PASSAGE_WEIGHT * (source.passage_score or 0.0)


def _place(source: Source) -> tuple[Any, ...]:
    """What two sources of the same answer have in common."""
    return source.file, source.line, source.start if source.start is not None else source.passage_start, source.answer
