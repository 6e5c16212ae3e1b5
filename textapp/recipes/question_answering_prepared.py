"""Training questions as tokens, made from records or read from a prepared folder."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from textapp.records.shards import TokenShards
from textapp.text.base import Encoding

ANSWERS, WORDS, QUESTIONS, TOKENS = "answers", "words", "questions", "token_ids"  # features of shards
LOST = [0]  # as answer: there is one, but none of the tokens are of it


class Asked(NamedTuple):
    """A training question.

    Attributes:
        question: its token ids.
        context: its tokens; from a folder without offsets.
        span: the first and the last token of the answer; None: there is none, or cleaning removed it.
        answered: whether it has an answer.
        places, cut: of its answers, and those that begin or end inside a word.
        where: for messages.
        text: the beginning of its answer.
    """

    question: list[int]
    context: Encoding
    span: tuple[int, int] | None
    answered: bool
    places: int
    cut: int
    where: str
    text: str


def features_of(asked: Iterable[Asked]) -> dict[str, list[list[int]]]:
    """The features of questions in shards; an answer is the numbers of its first and last token."""
    rows = list(asked)
    answers = [list(each.span) if each.span else LOST if each.answered else [] for each in rows]
    return {
        ANSWERS: answers,
        WORDS: [[each.places, each.cut] for each in rows],
        QUESTIONS: [each.question for each in rows],
        TOKENS: [each.context.ids for each in rows],
    }


def stored_questions(prepared: TokenShards) -> list[Asked]:
    """The questions of a prepared folder."""
    return list(_stored(prepared))


def _stored(prepared: TokenShards) -> Iterator[Asked]:
    answers, words, questions = (prepared.column(name) for name in (ANSWERS, WORDS, QUESTIONS))
    lengths = zip(answers.lengths.tolist(), questions.lengths.tolist(), strict=True)
    for number, ((has, asks), context) in enumerate(zip(lengths, prepared.rows(TOKENS), strict=True)):
        answer = answers[number].tolist() if has else []
        span = (answer[0], answer[1]) if has == 2 else None
        places, cut = words[number].tolist()
        question = questions[number].tolist() if asks else []
        where = f"{prepared.folder}: example {number + 1}"
        yield Asked(question, Encoding(context.tolist(), []), span, bool(has), places, cut, where, "")


def have_whole_words(asked: Iterable[Asked], most: float) -> bool:
    """Whether answers begin and end where words do. In SQuAD 0.3 % do not; where words have endings, many may not.

    Args:
        asked: training questions.
        most: share of the answers that may not.
    """
    counts = np.array([(each.cut, each.places) for each in asked], np.int64).reshape(-1, 2).sum(axis=0)
    return bool(counts[0] <= most * counts[1])
