"""The profile of data for question answering in writing: lengths, contexts, and answers that are not in them."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from textapp.config import Config
from textapp.errors import plural
from textapp.recipes.profile import Facts, Section, bucket_table, records_by_split, row_counts
from textapp.records.profile import length_profile, percent
from textapp.records.splits import Splits

if TYPE_CHECKING:
    from textapp.recipes.question_answering_generative import WrittenAnswersRecipe

log = logging.getLogger("textapp")


def profile(recipe: WrittenAnswersRecipe, config: Config, splits: Splits) -> dict[str, Any]:
    """Trains the tokenizer of the config, and profiles the questions, contexts and answers.

    Args:
        recipe: of the task.
        config: as before a training, with its files located.
        splits: its records.
    """
    train = splits.train
    languages = recipe.languages(config, train)
    log.info("reading %s training questions (%s)", f"{len(train):,}", languages[0])
    config = recipe.resolve(config, len(train), languages)
    tokenizer, _ = recipe.tokenizers(config, splits, languages)
    read, written = recipe.counts(tokenizer, train)
    config = recipe.resolve(config, len(train), languages, read, written, recipe.max_tokens(config))
    records = records_by_split(splits)
    contexts = {record["context"] for record in train if record["context"]}
    overlaps = {
        name: sum(1 for record in rows if record["context"] in contexts)
        for name, rows in records.items()
        if name != "train" and rows
    }
    copied = sum(1 for record in train if any(answer["text"] in record["context"] for answer in record["answers"]))
    return {
        "task": config.task,
        "mode": config.mode,
        "role": config.model.role,
        "language": languages[0],
        "origin": dict(splits.origin),
        "rows": {name: len(rows) for name, rows in records.items()},
        "contexts": len(contexts),
        "without_context": sum(1 for record in train if not record["context"].strip()),
        "copied_share": percent(copied, len(train)),
        "tokenizer": {"kind": tokenizer.kind, "vocabulary_size": tokenizer.vocabulary_size},
        "lengths": length_profile(read, [length for length, _ in config.generate_lengths]),
        "answers": length_profile(written, [max(new for _, new in config.generate_lengths)]),
        "generate_lengths": [list(pair) for pair in config.generate_lengths],
        "overlaps": overlaps,
        "warnings": [
            f"{plural(count, 'question')} of {name} {'is' if count == 1 else 'are'} about a context that is also in "
            "train: scores on them say little about"
            f" new texts"
            for name, count in overlaps.items()
            if count
        ],
    }


def sections(data: Mapping[str, Any]) -> list[Section]:
    """The tables and facts of a profile."""
    figures = ("mean", "p50", "p90", "p99", "longest")
    return [
        Facts("data", {
            **row_counts(data, "questions"),
            "contexts in train": data["contexts"],
            "without a context": data["without_context"] or None,
            "answer stands in its context": f"{data['copied_share']} % of train",
            "language": data["language"],
            "tokenizer": f"{data['tokenizer']['kind']}, {data['tokenizer']['vocabulary_size']:,} tokens",
            "tokens per question and context": {name: data["lengths"][name] for name in figures},
            "tokens per answer": {name: data["answers"][name] for name in figures},
            "tokens read, new": ", ".join(f"{read} and {new}" for read, new in data["generate_lengths"]),
        }),
        bucket_table(data["lengths"], "questions"),
    ]  # fmt: skip
