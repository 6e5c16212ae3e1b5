"""The profile of translation data: lengths, ratios, duplicates, leaks, scripts."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from textapp.config import Config
from textapp.recipes.language_profile import language_of, script_warnings, unknown_words
from textapp.recipes.profile import Facts, Section, Table, bucket_table, cleaned, records_by_split, row_counts
from textapp.recipes.tokenizers import known_characters
from textapp.records.splits import Splits
from textapp.records.text_profile import SIDES, pair_profile
from textapp.tasks.task import one_line
from textapp.tasks.translation import framed

if TYPE_CHECKING:
    from textapp.recipes.translation import TranslationRecipe

log = logging.getLogger("textapp")


def profile(recipe: TranslationRecipe, config: Config, splits: Splits) -> dict[str, Any]:
    """Trains the tokenizers of the config, and profiles the sentence pairs.

    Args:
        recipe: of the task.
        config: as before a training, with its files located.
        splits: its records.
    """
    texts = {side: [record[side] for record in splits.train] for side in SIDES}
    steps = config.cleaning
    read = {name: cleaned(records, SIDES, steps) for name, records in records_by_split(splits).items()}
    configured = dict(zip(SIDES, recipe.languages(config, splits.train), strict=True))
    languages = {side: language_of([record[side] for record in read["train"]], configured[side]) for side in SIDES}
    names = [languages[side]["language"] for side in SIDES]
    config = recipe.resolve(config, len(splits.train), names)
    log.info("reading %s sentence pairs (%s)", f"{len(splits.train):,}", " to ".join(names))
    tokenizers = dict(zip(SIDES, recipe.tokenizers(config, splits, names), strict=True))
    tokens = {side: [len(framed(each, each.ids(text))) for text in texts[side]] for side, each in tokenizers.items()}
    config = recipe.resolve(config, len(splits.train), names, tokens["source"], tokens["target"])
    knows = {side: known_characters(tokenizers[side]) for side in SIDES}
    statistics = pair_profile(read, tokens, knows, config.lengths, config.generate_lengths)
    warnings = [*script_warnings(languages), *statistics.pop("warnings")]
    return {
        "task": config.task,
        "languages": languages,
        "origin": dict(splits.origin),
        "tokenizers": {
            side: {"kind": each.kind, "vocabulary_size": each.vocabulary_size} for side, each in tokenizers.items()
        },
        "shared_tokenizer": tokenizers["source"] is tokenizers["target"],
        "generate_lengths": [list(pair) for pair in config.generate_lengths],
        **statistics,
        "warnings": warnings,
    }


# --- printing ------------------------------------------------------------------------------------------------------


def sections(data: Mapping[str, Any]) -> list[Section]:
    """The tables and facts of a profile."""
    repeated, ratio = data["duplicates"], data["ratio"]
    facts = Facts("data", {
        **row_counts(data, "pairs"),
        "languages": " to ".join(found["language"] for found in data["languages"].values()),
        "vocabulary": ", ".join(f"{side} {found['kind']} of {found['vocabulary_size']:,}"
                                for side, found in data["tokenizers"].items())
                      + (" (shared)" if data["shared_tokenizer"] else ""),
        "tokens read, new": ", ".join(f"{read} and {new}" for read, new in data["generate_lengths"]),
        "target to source": f"{ratio['usual']:g} tokens to 1; {ratio['odd']:,} pairs ({ratio['share']} %) do not fit",
        "repeated in train": f"{repeated['rows']:,} pairs",
        "with several translations": f"{repeated['sources_with_several']:,} sources,"
                                     f" {repeated['targets_with_several']:,} targets",
        "same on both sides": repeated["same_on_both_sides"] or None,
        **{f"in train and {name}": f"{shared['pairs']:,} pairs, {shared['sources']:,} sources,"
           f" {shared['targets']:,} targets ({shared['share']} % of the pairs)"
           for name, shared in data["overlaps"].items()},
        **{f"unknown in {name}, {side}": unknown_words(share)
           for side, shares in data["unknown"].items() for name, share in shares.items()},
    })  # fmt: skip
    figures = ("mean", "p50", "p90", "p99", "longest", "cut_share")
    rows = [[side, *(data["lengths"][side][name] for name in figures)] for side in SIDES]
    lengths = Table("tokens", ["side", "mean", "p50", "p90", "p99", "longest", "% too long"], rows)
    return [facts, lengths, bucket_table(data["lengths"]["source"], "sources"), *_examples(data)]


def _examples(data: Mapping[str, Any]) -> list[Table]:
    """The pairs that the warnings are about, so that they can be found in the files."""
    odd = [("lengths do not fit", pair) for pair in data["ratio"]["examples"]]
    shared = [(f"in train and {name}", pair) for name, found in data["overlaps"].items() for pair in found["examples"]]
    rows = [[what, *(one_line(pair[side]) for side in SIDES)] for what, pair in [*odd, *shared]]
    for side, found in data["languages"].items():
        rows += [
            ["another script", *(one_line(text) if side == other else "" for other in SIDES)]
            for text in found["examples"]
        ]
    return [Table("to look at", ["what", *SIDES], rows, left=3)] if rows else []
