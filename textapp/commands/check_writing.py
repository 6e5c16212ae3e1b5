"""`textapp check` for translation and generation: the profile of the data, and how it is printed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from textapp.commands import tables
from textapp.commands.prepare import locate, make_tokenizer, make_tokenizers
from textapp.commands.prepare.generation import most_context
from textapp.config import Config
from textapp.defaults import resolve
from textapp.languages import script_of
from textapp.records.documents import CHARACTERS_AN_EXAMPLE
from textapp.records.loading import load_splits
from textapp.records.profile import EXAMPLES, excerpt
from textapp.records.text_profile import SIDES, document_profile, pair_profile
from textapp.tasks.translation import framed
from textapp.text.language import guess_language, script_weights
from textapp.text.tokenizer import Tokenizer

MOST_TOLD = 2000  # texts whose script is looked at one by one
NOTABLE_ELSEWHERE = 2.0  # percent of texts in another script


def translation_profile(config: Config, data_dir: Path) -> dict[str, Any]:
    """Reads the splits, trains the tokenizers of the config on the spot, and profiles the pairs that come out."""
    splits = load_splits(config, data_dir)
    texts = {side: [record[side] for record in splits.train] for side in SIDES}
    given = {"source": config.data.source_language, "target": config.data.target_language}
    languages = {side: _language(texts[side], given[side]) for side in SIDES}
    names = [languages[side]["language"] for side in SIDES]
    config = resolve(locate(config, data_dir), len(splits.train), language=names[0], target_language=names[1])
    tables.note(f"reading {len(splits.train):,} sentence pairs ({' to '.join(names)})")
    tokenizers = dict(zip(SIDES, make_tokenizers(config, splits, names), strict=True))
    tokens = {side: [len(framed(each, each.ids(text))) for text in texts[side]] for side, each in tokenizers.items()}
    config = resolve(
        config, len(splits.train), tokens["source"], names[0],
        target_counts=tokens["target"], target_language=names[1],
    )  # fmt: skip
    named = {"train": splits.train, "validation": splits.validation, "test": splits.test}
    knows = {side: known_characters(tokenizers[side]) for side in SIDES}
    found = pair_profile(named, tokens, knows, config.lengths, config.generate_lengths)
    warnings = [*_script_warnings(languages), *found.pop("warnings")]
    return {
        "task": "translation",
        "languages": languages,
        "origin": dict(splits.origin),
        "tokenizers": {side: _described(tokenizers[side]) for side in SIDES},
        "shared_tokenizer": tokenizers["source"] is tokenizers["target"],
        "generate_lengths": [list(pair) for pair in config.generate_lengths],
        **found,
        "warnings": warnings,
    }


def generation_profile(config: Config, data_dir: Path) -> dict[str, Any]:
    """The same for documents and for running text."""
    splits = load_splits(config, data_dir)
    texts = [record["text"] for record in splits.train]
    language = _language([line for text in texts for line in text.split("\n") if line], config.data.language)
    running = config.running_text
    examples = max(1, sum(map(len, texts)) // CHARACTERS_AN_EXAMPLE) if running else len(texts)
    config = resolve(locate(config, data_dir), examples, language=language["language"])
    tables.note(f"reading {len(texts):,} documents ({language['language']})")
    tokenizer = make_tokenizer(config, splits, language["language"])
    ends = 0 if running else 2
    parts = [[record.get("prompt", ""), *record["text"].splitlines(keepends=True)] for record in splits.train]
    tokens = [sum(len(tokenizer.ids(part)) for part in document) + ends for document in parts]
    config = resolve(config, examples, tokens, language["language"], most_context(config))
    named = {"train": splits.train, "validation": splits.validation, "test": splits.test}
    found = document_profile(named, tokens, known_characters(tokenizer), config.lengths[-1], running)
    warnings = [*_script_warnings({"text": language}), *found.pop("warnings")]
    return {
        "task": "generation",
        "languages": {"text": language},
        "origin": dict(splits.origin),
        "running_text": running,
        "tokenizer": _described(tokenizer),
        "context": config.lengths[-1],
        **found,
        "warnings": warnings,
    }


def known_characters(tokenizer: Tokenizer) -> Callable[[str], bool]:
    """Whether the vocabulary has a character: what it spells in bytes, or not at all, it has not."""
    pieces = tokenizer.pieces()
    spelled = {token_id for token_id, piece in enumerate(pieces) if len(piece) == 6 and piece.startswith("<0x")}
    lacking = spelled | {tokenizer.unknown_id}

    def knows(character: str) -> bool:
        return lacking.isdisjoint(tokenizer.ids(character))

    return knows


def _language(texts: Sequence[str], configured: str | None) -> dict[str, Any]:
    """The language of one side, what its script tells, and how many of the first texts are in another script."""
    told = guess_language(texts)
    elsewhere = []
    for text in texts[:MOST_TOLD]:
        if any(script_weights([text]).values()) and script_of(guess_language([text])) != script_of(told):
            elsewhere.append(text)
    return {
        "language": configured or told,
        "told_from_script": told,
        "elsewhere_share": round(100 * len(elsewhere) / max(1, min(len(texts), MOST_TOLD)), 2),
        "examples": [excerpt(text) for text in elsewhere[:EXAMPLES]],
    }


def _script_warnings(languages: Mapping[str, Mapping[str, Any]]) -> list[str]:
    wrong = {
        side: found for side, found in languages.items()
        if script_of(found["language"]) != script_of(found["told_from_script"])
    }  # fmt: skip
    lines = [
        f"the {side} is said to be {found['language']}, but its script looks like {found['told_from_script']}"
        for side, found in wrong.items()
    ]
    if len(wrong) == len(SIDES):
        lines.append("both sides are in another script than said: are source and target changed round?")
    for side, found in languages.items():
        if found["elsewhere_share"] >= NOTABLE_ELSEWHERE:
            lines.append(
                f"{found['elsewhere_share']:g} % of the {side}s are in another script, as '{found['examples'][0][:40]}'"
            )
    return lines


def _described(tokenizer: Tokenizer) -> dict[str, Any]:
    return {"kind": tokenizer.kind, "vocabulary_size": tokenizer.vocabulary_size}


# --- printing ------------------------------------------------------------------------------------------------------


def show_translation(console: Any, data: Mapping[str, Any]) -> None:
    """Prints what `translation_profile` found."""
    repeated, ratio = data["duplicates"], data["ratio"]
    console.print(tables.facts("data", {
        **_rows(data, "pairs"),
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
        **{f"unknown in {name}, {side}": _unknown(share)
           for side, shares in data["unknown"].items() for name, share in shares.items()},
    }))  # fmt: skip
    rows = [[side, *(data["lengths"][side][name] for name in ("mean", "p50", "p90", "p99", "longest", "cut_share"))]
            for side in SIDES]  # fmt: skip
    columns = ["side", "mean", "p50", "p90", "p99", "longest", "% too long"]
    console.print(tables.table("tokens", columns, rows))
    _show_buckets(console, data["lengths"]["source"], "sources")
    _show_pairs(console, data)


def show_generation(console: Any, data: Mapping[str, Any]) -> None:
    """Prints what `generation_profile` found."""
    lengths, what = data["lengths"], "long lines" if data["running_text"] else "documents"
    console.print(tables.facts("data", {
        **_rows(data, "documents"),
        "characters": data["characters"],
        "language": data["languages"]["text"]["language"],
        "with a prompt": data["prompts"] or None,
        "tokenizer": f"{data['tokenizer']['kind']}, {data['tokenizer']['vocabulary_size']:,} tokens,"
                     f" {data['characters_a_token']} characters a token",
        "context": f"{data['context']} tokens",
        "tokens in train": data["tokens"],
        "tokens a document": None if data["running_text"] else {
            name: lengths[name] for name in ("mean", "p50", "p90", "p99", "longest")
        },
        f"repeated {what} in train": f"{data['duplicates']['rows']:,} ({data['duplicates']['share']} %)",
        **{f"{what} in train and {name}": f"{shared['rows']:,} ({shared['share']} %)"
           for name, shared in data["overlaps"].items()},
        **{f"unknown in {name}": _unknown(share) for name, share in data["unknown"].items()},
    }))  # fmt: skip
    rows = [["repeated in train", text] for text in data["duplicates"]["examples"]]
    rows += [[f"in train and {name}", text] for name, shared in data["overlaps"].items() for text in shared["examples"]]
    if rows:
        short = [[what, tables.shortened(text)] for what, text in rows]
        console.print(tables.table("to look at", ["what", "text"], short, left=2))


def _rows(data: Mapping[str, Any], what: str) -> dict[str, str]:
    return {
        name: f"{count:,} {what} ({data['origin'].get(name, '-')})" for name, count in data["rows"].items() if count
    }


def _unknown(share: Mapping[str, Any]) -> str | None:
    if not share["different"]:
        return None
    return f"{share['share']} % of characters, {share['different']} different: {' '.join(share['examples'])}"


def _show_buckets(console: Any, lengths: Mapping[str, Any], what: str) -> None:
    rows = [list(bucket.values()) for bucket in lengths["buckets"]]
    columns = ["tokens", f"{what} in it", "padding in it", f"{what} longer"]
    console.print(tables.table("buckets, in %", columns, rows, left=0))


def _show_pairs(console: Any, data: Mapping[str, Any]) -> None:
    """Pairs behind the warnings, so that they can be found in the files."""
    odd = [("lengths do not fit", pair) for pair in data["ratio"]["examples"]]
    shared = [(f"in train and {name}", pair) for name, found in data["overlaps"].items() for pair in found["examples"]]
    rows = [[what, *(tables.shortened(pair[side]) for side in SIDES)] for what, pair in [*odd, *shared]]
    rows += [["another script", *(tables.shortened(text) if side == other else "" for other in SIDES)]
             for side, found in data["languages"].items() for text in found["examples"]]  # fmt: skip
    if rows:
        console.print(tables.table("to look at", ["what", *SIDES], rows, left=3))
