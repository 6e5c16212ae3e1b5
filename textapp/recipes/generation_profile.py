"""The profile of generation data: lengths, duplicates, leaks, scripts."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from textapp.config import Config
from textapp.recipes.generation_conversations import facts, turns_of
from textapp.recipes.generation_defaults import conversations, running_text
from textapp.recipes.language_profile import language_of, script_warnings, unknown_words
from textapp.recipes.profile import Facts, Section, Table, cleaned, records_by_split, row_counts
from textapp.recipes.tokenizers import known_characters
from textapp.records.messages import spoken
from textapp.records.splits import Splits
from textapp.records.text_profile import document_profile
from textapp.tasks.task import one_line

if TYPE_CHECKING:
    from textapp.recipes.generation import GenerationRecipe

log = logging.getLogger("textapp")


def profile(recipe: GenerationRecipe, config: Config, splits: Splits) -> dict[str, Any]:
    """Trains the tokenizer of the config, and profiles documents or a text stream.

    Args:
        recipe: of the task.
        config: as before a training, with its files located.
        splits: its records.
    """
    from textapp.recipes.generation import max_context

    texts = [record["text"] for record in splits.train]
    talks = conversations(config)
    if talks:  # what is said in each is compared
        read = {
            name: [{"text": spoken(record["messages"])} for record in records]
            for name, records in records_by_split(splits).items()
        }
    else:
        read = {
            name: cleaned(records, ("prompt", "text"), config.cleaning, lines=True)
            for name, records in records_by_split(splits).items()
        }
    lines = [line for record in read["train"] for line in record["text"].split("\n") if line]
    language = language_of(lines, config.data.language)
    name, running, examples = language["language"], running_text(config), recipe.examples(config, splits)
    config = recipe.resolve(config, examples, name)
    log.info("reading %s %s (%s)", f"{len(texts):,}", "conversations" if talks else "documents", name)
    tokenizer = recipe.tokenizer(config, splits, name)
    ends = 0 if running else 2
    told: dict[str, Any] = {}
    if talks:
        turns = turns_of(tokenizer, splits.train)
        tokens, told = [len(each.ids) for each in turns], facts(turns)
    else:
        parts = [[record.get("prompt", ""), *record["text"].splitlines(keepends=True)] for record in splits.train]
        tokens = [sum(len(tokenizer.ids(part)) for part in document) + ends for document in parts]
    config = recipe.resolve(config, examples, name, tokens, max_tokens=max_context(config))
    context = config.lengths[-1]
    statistics = document_profile(read, tokens, known_characters(tokenizer), context, running)
    warnings = [*script_warnings({"text": language}), *statistics.pop("warnings")]
    return {
        "task": config.task,
        "languages": {"text": language},
        "origin": dict(splits.origin),
        "running_text": running,
        "tokenizer": {"kind": tokenizer.kind, "vocabulary_size": tokenizer.vocabulary_size},
        "context": context,
        **statistics,
        **({"conversations": told} if talks else {}),
        "warnings": warnings,
    }


def sections(data: Mapping[str, Any]) -> list[Section]:
    """The tables and facts of a profile."""
    lengths, talks = data["lengths"], data.get("conversations")
    documents = "conversations" if talks else "documents"
    unit = "long lines" if data["running_text"] else documents
    known = Facts("data", {
        **row_counts(data, documents),
        "characters": data["characters"],
        "language": data["languages"]["text"]["language"],
        "with a prompt": data["prompts"] or None,
        "tokenizer": f"{data['tokenizer']['kind']}, {data['tokenizer']['vocabulary_size']:,} tokens,"
                     f" {data['characters_a_token']} characters per token",
        "context": f"{data['context']} tokens",
        "tokens in train": data["tokens"],
        "answers": talks["answers"] if talks else None,
        "tokens in answers": talks["answer_tokens"] if talks else None,
        f"tokens per {documents.removesuffix('s')}": None if data["running_text"] else {
            name: lengths[name] for name in ("mean", "p50", "p90", "p99", "longest")
        },
        f"repeated {unit} in train": f"{data['duplicates']['rows']:,} ({data['duplicates']['share']} %)",
        **{f"{unit} in train and {name}": f"{shared['rows']:,} ({shared['share']} %)"
           for name, shared in data["overlaps"].items()},
        **{f"unknown in {name}": unknown_words(share) for name, share in data["unknown"].items()},
    })  # fmt: skip
    rows = [["repeated in train", one_line(text)] for text in data["duplicates"]["examples"]]
    for name, shared in data["overlaps"].items():
        rows += [[f"in train and {name}", one_line(text)] for text in shared["examples"]]
    return [known, Table("to look at", ["what", "text"], rows, left=2)] if rows else [known]
