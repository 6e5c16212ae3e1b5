"""The profile of classification data: balance, lengths, duplicates, leaks, keywords."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from textapp.config import Config
from textapp.errors import visible
from textapp.recipes.profile import Facts, Section, Table, bucket_table, cleaned, records_by_split, row_counts
from textapp.records.keywords import keywords
from textapp.records.labelled import TEXTS
from textapp.records.profile import profile as label_profile
from textapp.records.splits import Splits
from textapp.tasks.task import one_line
from textapp.text.language import guess_language
from textapp.text.tokenizer import Tokenizer

if TYPE_CHECKING:
    from textapp.recipes.classification import ClassificationRecipe

log = logging.getLogger("textapp")
NOT_TRUNCATED = 1 << 30  # tokens
MAX_SEARCHED = 500  # texts that are searched for unknown characters
MAX_UNKNOWN = 20  # unknown characters that are shown
LABELS_SHOWN = 40


def profile(recipe: ClassificationRecipe, config: Config, splits: Splits) -> dict[str, Any]:
    """Trains the tokenizer of the config, and profiles the records and their tokens.

    Args:
        recipe: of the task.
        config: as before a training, with its files located.
        splits: its records.
    """
    texts = [record["text"] for record in splits.train]
    language = config.data.language or guess_language(texts, config.cleaning)
    config = recipe.resolve(config, len(texts), language)
    log.info("reading %s training texts (%s)", f"{len(texts):,}", language)
    tokenizer = recipe.tokenizer(config, splits, language)
    records = records_by_split(splits)
    ids = {name: [_ids(tokenizer, record) for record in rows] for name, rows in records.items()}
    tokens = {name: [len(row) for row in rows] for name, rows in ids.items()}
    unknown = {name: [row.count(tokenizer.unknown_id) for row in rows] for name, rows in ids.items()}
    lengths = recipe.resolve(config, len(texts), language, tokens["train"]).lengths
    read = {name: cleaned(rows, TEXTS, config.cleaning) for name, rows in records.items()}
    statistics = label_profile(read, tokens, unknown, lengths)
    for name, share in statistics["unknown"].items():
        share["examples"] = unknown_characters(tokenizer, records[name], unknown[name])
    return {
        "task": config.task,
        "language": language,
        "origin": dict(splits.origin),
        "tokenizer": {"kind": tokenizer.kind, "vocabulary_size": tokenizer.vocabulary_size},
        **statistics,
        "keywords": keywords(read["train"]),
    }


def unknown_characters(tokenizer: Tokenizer, records: Sequence[Mapping[str, Any]], unknown: Sequence[int]) -> list[str]:
    """The text of unknown tokens, the most frequent first.

    Args:
        tokenizer: of the texts.
        records: with `text`.
        unknown: number of unknown tokens of each.
    """
    texts = [record["text"] for record, count in zip(records, unknown, strict=True) if count][:MAX_SEARCHED]
    pieces: Counter[str] = Counter()
    for text in texts:
        encoding = tokenizer.encode(text)
        for token_id, (start, end) in zip(encoding.ids, encoding.offsets, strict=True):
            if token_id == tokenizer.unknown_id:
                pieces[text[start:end].strip()] += 1
    return [piece for piece, _ in pieces.most_common(MAX_UNKNOWN) if piece]


def _ids(tokenizer: Tokenizer, record: Mapping[str, Any]) -> list[int]:
    """The ids of a record as the model reads them, not truncated."""
    pair = record.get("text_pair")
    ids = tokenizer.ids(record["text"])
    return tokenizer.join(ids, None if pair is None else tokenizer.ids(pair), NOT_TRUNCATED)[0]


# --- printing ------------------------------------------------------------------------------------------------------


def sections(data: Mapping[str, Any]) -> list[Section]:
    """The tables and facts of a profile."""
    lengths, repeated = data["lengths"], data["duplicates"]
    return [
        Facts("data", {
            **row_counts(data, "rows"),
            "language": data["language"],
            "tokenizer": f"{data['tokenizer']['kind']}, {data['tokenizer']['vocabulary_size']:,} tokens",
            "tokens per text": {name: lengths[name] for name in ("mean", "p50", "p90", "p99", "longest")},
            "padding in all": f"{lengths['padding_share']} %",
            "repeated in train": f"{repeated['rows']:,} rows, {repeated['other_label']} texts with several labels",
            **{f"in train and {name}": f"{shared['rows']:,} rows ({shared['share']} %), "
               f"{shared['other_label']} with another label" for name, shared in data["overlaps"].items()},
            **{f"unknown in {name}": f"{share['tokens_share']} % of tokens {' '.join(share['examples'])}"
               for name, share in data["unknown"].items()},
        }),
        _labels(data),
        bucket_table(lengths, "texts"),
        *_examples(data),
    ]  # fmt: skip


def _labels(data: Mapping[str, Any]) -> Table:
    splits = [name for name, count in data["rows"].items() if count]
    rows = []
    for label, counts in list(data["labels"].items())[:LABELS_SHOWN]:
        terms = data["keywords"].get(label, {"words": [], "phrases": []})
        rows.append([visible(label), terms["words"][:5], terms["phrases"][:3], *(counts[name] for name in splits)])
    more = len(data["labels"]) - LABELS_SHOWN
    title = f"labels ({more} more: --json has them all)" if more > 0 else "labels"
    return Table(title, ["label", "words", "phrases", *splits], rows, left=3)


def _examples(data: Mapping[str, Any]) -> list[Table]:
    """The texts that the warnings are about, so that they can be found in the files."""
    rows = [
        ["several labels in train", one_line(row["text"]), row["labels"], ""] for row in data["duplicates"]["examples"]
    ]
    for name, shared in data["overlaps"].items():
        rows += [
            [f"in train and {name}", one_line(row["text"]), row["train_labels"], row["label"]]
            for row in shared["examples"]
        ]
    return [Table("to look at", ["what", "text", "label in train", "label there"], rows, left=4)] if rows else []
