"""The profile of question answering data: lengths, answers, and questions that cannot be answered."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from textapp.config import Config
from textapp.errors import plural
from textapp.recipes.profile import Facts, Section, bucket_table, records_by_split, row_counts
from textapp.records.profile import NOTABLE_SHARE, length_profile, percent
from textapp.records.splits import Splits

if TYPE_CHECKING:
    from textapp.recipes.question_answering import QuestionAnsweringRecipe

log = logging.getLogger("textapp")


def profile(recipe: QuestionAnsweringRecipe, config: Config, splits: Splits) -> dict[str, Any]:
    """Trains the tokenizer of the config, and profiles the questions, contexts and answers.

    Args:
        recipe: of the task.
        config: as before a training, with its files located.
        splits: its records.
    """
    from textapp.recipes.question_answering import Encoded, answer_span

    train, language = splits.train, recipe.language(config, splits.train)
    log.info("reading %s training questions (%s)", f"{len(train):,}", language)
    config = recipe.resolve(config, len(train), language)
    tokenizer = recipe.tokenizer(config, splits, language)
    encoded = Encoded(tokenizer)
    config = recipe.measured(config, train, encoded, language)
    room = recipe.task_of(config, tokenizer, language).max_question_tokens
    cut = sum(1 for record in train if len(encoded.ids(record["question"])) > room)
    tokens = [len(encoded.ids(record["question"])) + len(encoded.context(record["context"]).ids) for record in train]
    records = records_by_split(splits)
    contexts = {record["context"] for record in train}
    overlaps = {
        name: sum(1 for record in rows if record["context"] in contexts)
        for name, rows in records.items()
        if name != "train" and rows
    }
    unanswerable = sum(1 for record in train if not record["answers"])
    cleaned_away = sum(
        1
        for record in train
        if any(answer["start"] is not None for answer in record["answers"])
        and answer_span(record, encoded.context(record["context"])) is None
    )
    misplaced = {
        name: sum(1 for record in rows if any(answer["start"] is None for answer in record["answers"]))
        for name, rows in records.items()
    }
    return {
        "task": config.task,
        "language": language,
        "origin": dict(splits.origin),
        "rows": {name: len(rows) for name, rows in records.items()},
        "contexts": len(contexts),
        "unanswerable": unanswerable,
        "misplaced": misplaced,
        "cleaned_away": cleaned_away,
        "tokenizer": {"kind": tokenizer.kind, "vocabulary_size": tokenizer.vocabulary_size},
        "lengths": length_profile(tokens, config.lengths),
        "stride": config.stride,
        "max_answer_tokens": config.max_answer_tokens,
        "overlaps": overlaps,
        "cut": cut,
        "warnings": _warnings(len(train), unanswerable, misplaced, cleaned_away, cut, overlaps),
    }


def sections(data: Mapping[str, Any]) -> list[Section]:
    """The tables and facts of a profile."""
    lengths = data["lengths"]
    return [
        Facts("data", {
            **row_counts(data, "questions"),
            "contexts in train": data["contexts"],
            "without an answer": data["unanswerable"] or None,
            "language": data["language"],
            "tokenizer": f"{data['tokenizer']['kind']}, {data['tokenizer']['vocabulary_size']:,} tokens",
            "tokens per question and context": {
                name: lengths[name] for name in ("mean", "p50", "p90", "p99", "longest")
            },
            "windows": f"of up to {lengths['buckets'][-1]['length']} tokens, every {data['stride']}",
            "longest answer": f"{data['max_answer_tokens']} tokens",
        }),
        bucket_table(lengths, "questions"),
    ]  # fmt: skip


def _warnings(
    num_train: int,
    unanswerable: int,
    misplaced: Mapping[str, int],
    cleaned_away: int,
    cut: int,
    overlaps: Mapping[str, int],
) -> list[str]:
    lines = [
        f"{plural(count, 'question')} of {name} {'has' if count == 1 else 'have'} an answer that is not at its place "
        "in the context"
        for name, count in misplaced.items()
        if count
    ]
    if cleaned_away:
        lines.append(
            f"{cleaned_away} of {num_train} training questions have an answer of which cleaning leaves no token: leave"
            f" a step out of cleaning, or they are dropped"
        )
    if cut:
        lines.append(
            f"{cut} of {num_train} training questions are longer than the window and will be cut: raise lengths"
        )
    if 0 < percent(unanswerable, num_train) < NOTABLE_SHARE:
        lines.append(
            f"only {unanswerable} of {num_train} training questions have no answer: the model will rarely say so"
        )
    lines += [
        f"{plural(count, 'question')} of {name} {'is' if count == 1 else 'are'} about a context that is also in "
        "train: scores on them say little about new"
        f" texts"
        for name, count in overlaps.items()
        if count
    ]
    return lines
