"""`textapp check`: what stands in the data and what this machine can do, before anyone trains."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from textapp.commands import tables
from textapp.commands.check_writing import generation_profile, show_generation, show_translation, translation_profile
from textapp.commands.environment import environment
from textapp.commands.prepare import locate, make_tokenizer
from textapp.config import Config, data_directory, load_config
from textapp.defaults import resolve
from textapp.records.keywords import keywords
from textapp.records.loading import load_splits
from textapp.records.profile import profile
from textapp.text.language import guess_language
from textapp.text.tokenizer import Tokenizer

UNCUT = 1 << 30  # tokens
MOST_SEARCHED = 500  # texts in which unknown characters are looked up
MOST_UNKNOWN = 20  # of them shown
LABELS_SHOWN = 40


def check(
    config_path: Path | None = None,
    overrides: Sequence[str] = (),
    data_dir: Path | None = None,
    as_json: bool = False,
) -> dict[str, Any]:
    """Profiles the data of a config and the environment, and prints what was found.

    Args:
        config_path: the YAML; None: the environment alone.
        overrides: `key=value` pairs that replace keys of it.
        data_dir: where relative data paths start.
        as_json: print JSON.

    Returns:
        `{"environment": {...}}` and, with a config, `"data"`: the profile. Both carry `warnings`.

    Raises:
        ConfigError, DataError: the config or the data cannot be used at all.
    """
    found: dict[str, Any] = {}
    with tables.stdout_for_json(as_json):
        if config_path is not None:
            config = load_config(config_path, overrides)
            found["data"] = PROFILES[config.task](config, data_directory(data_dir))
        found["environment"] = environment()
    tables.emit(found, as_json, lambda console: _show(console, found))
    return found


def classification_profile(config: Config, data_dir: Path) -> dict[str, Any]:
    """Reads the splits, trains the tokenizer of the config on the spot, and profiles what comes out."""
    splits = load_splits(config, data_dir)
    texts = [record["text"] for record in splits.train]
    language = config.data.language or guess_language(texts)
    config = resolve(locate(config, data_dir), len(splits.train), language=language)
    tables.note(f"reading {len(splits.train):,} training texts ({language})")
    tokenizer = make_tokenizer(config, splits, language)
    named = {"train": splits.train, "validation": splits.validation, "test": splits.test}
    ids = {name: [_ids(tokenizer, record) for record in records] for name, records in named.items()}
    tokens = {name: [len(row) for row in rows] for name, rows in ids.items()}
    unknown = {name: [row.count(tokenizer.unknown_id) for row in rows] for name, rows in ids.items()}
    lengths = resolve(config, len(splits.train), tokens["train"], language).lengths
    found = profile(named, tokens, unknown, lengths)
    for name, share in found["unknown"].items():
        share["examples"] = unknown_characters(tokenizer, named[name], unknown[name])
    return {
        "task": "classification",
        "language": language,
        "origin": dict(splits.origin),
        "tokenizer": {"kind": tokenizer.kind, "vocabulary_size": tokenizer.vocabulary_size},
        **found,
        "keywords": keywords(splits.train),
    }


def unknown_characters(tokenizer: Tokenizer, records: Sequence[Mapping[str, Any]], unknown: Sequence[int]) -> list[str]:
    """What the tokenizer does not know, the most frequent first, from the first texts that hold any of it."""
    holding = [record["text"] for record, count in zip(records, unknown, strict=True) if count][:MOST_SEARCHED]
    pieces: Counter[str] = Counter()
    for text in holding:
        encoding = tokenizer.encode(text)
        for token_id, (start, end) in zip(encoding.ids, encoding.offsets, strict=True):
            if token_id == tokenizer.unknown_id:
                pieces[text[start:end].strip()] += 1
    return [piece for piece, _ in pieces.most_common(MOST_UNKNOWN) if piece]


def _ids(tokenizer: Tokenizer, record: Mapping[str, Any]) -> list[int]:
    """The ids of a record as a model would read them, uncut."""
    pair = record.get("text_pair")
    ids = tokenizer.ids(record["text"])
    return tokenizer.join(ids, None if pair is None else tokenizer.ids(pair), UNCUT)[0]


PROFILES = {
    "classification": classification_profile,
    "translation": translation_profile,
    "generation": generation_profile,
}


# --- printing ------------------------------------------------------------------------------------------------------


def _show(console: Any, found: Mapping[str, Any]) -> None:
    warnings = []
    if "data" in found:
        shows = {"translation": show_translation, "generation": show_generation}
        shows.get(found["data"]["task"], _show_data)(console, found["data"])
        warnings += found["data"]["warnings"]
    _show_environment(console, found["environment"])
    warnings += found["environment"]["warnings"]
    if not warnings:
        console.print("nothing to warn of")
    for line in warnings:
        console.print(f"warning: {line}", style="yellow", markup=False, highlight=False, soft_wrap=True)


def _show_data(console: Any, data: Mapping[str, Any]) -> None:
    lengths, repeated = data["lengths"], data["duplicates"]
    console.print(tables.facts("data", {
        **{name: f"{count:,} rows ({data['origin'].get(name, '-')})" for name, count in data["rows"].items() if count},
        "language": data["language"],
        "tokenizer": f"{data['tokenizer']['kind']}, {data['tokenizer']['vocabulary_size']:,} tokens",
        "tokens a text": {name: lengths[name] for name in ("mean", "p50", "p90", "p99", "longest")},
        "padding in all": f"{lengths['padding_share']} %",
        "repeated in train": f"{repeated['rows']:,} rows, {repeated['other_label']} texts with several labels",
        **{f"in train and {name}": f"{shared['rows']:,} rows ({shared['share']} %), "
           f"{shared['other_label']} with another label" for name, shared in data["overlaps"].items()},
        **{f"unknown in {name}": f"{share['tokens_share']} % of tokens {' '.join(share['examples'])}"
           for name, share in data["unknown"].items()},
    }))  # fmt: skip
    _show_labels(console, data)
    rows = [list(bucket.values()) for bucket in lengths["buckets"]]
    columns = ["tokens", "texts in it", "padding in it", "texts longer"]
    console.print(tables.table("buckets, in %", columns, rows, left=0))
    _show_examples(console, data)


def _show_labels(console: Any, data: Mapping[str, Any]) -> None:
    splits = [name for name, count in data["rows"].items() if count]
    rows = []
    for label, counts in list(data["labels"].items())[:LABELS_SHOWN]:
        found = data["keywords"].get(label, {"words": [], "phrases": []})
        rows.append([label, found["words"][:5], found["phrases"][:3], *(counts[name] for name in splits)])
    console.print(tables.table("labels", ["label", "words", "phrases", *splits], rows, left=3))
    if len(data["labels"]) > LABELS_SHOWN:
        console.print(f"and {len(data['labels']) - LABELS_SHOWN} more labels: --json has them all", highlight=False)


def _show_examples(console: Any, data: Mapping[str, Any]) -> None:
    """Texts behind the warnings, so that they can be found in the files."""
    rows = [
        ["several labels in train", tables.shortened(row["text"]), row["labels"], ""]
        for row in data["duplicates"]["examples"]
    ]
    for name, shared in data["overlaps"].items():
        rows += [
            [f"in train and {name}", tables.shortened(row["text"]), row["train_labels"], row["label"]]
            for row in shared["examples"]
        ]
    if rows:
        console.print(tables.table("to look at", ["what", "text", "label in train", "label there"], rows, left=4))


def _show_environment(console: Any, machine: Mapping[str, Any]) -> None:
    console.print(tables.facts("environment", {
        "python": f"{machine['python']} on {machine['platform']}",
        "cores": f"{machine['usable_cores']} of {machine['cores']}",
        "thread settings": machine["thread_settings"] or None,
        "cpu": machine["cpu_flags"],
        "bfloat16 in hardware": machine["bfloat16"],
        "devices of tensorflow": machine["devices"],
        "packages": machine["packages"],
        "missing": {name: parts for name, parts in machine["extras"].items() if parts != "complete"} or None,
    }))  # fmt: skip
