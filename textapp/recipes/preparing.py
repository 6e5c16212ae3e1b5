"""How a run begins, before its texts become ids; what `textapp prepare` writes, and a training from it checks."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from textapp.config import Config, differing_entry
from textapp.recipes.tokenizers import load_or_make
from textapp.records.shards import TokenShards
from textapp.records.splits import Splits
from textapp.text.tokenizer import Tokenizer

log = logging.getLogger("textapp")
KEY = "data.prepared"  # of the tasks that can be prepared
_READING = (
    "train", "columns", "header", "encoding", "pattern", "labels", "label_separator", "language", "source_language",
    "target_language",
)  # fmt: skip


class Begun(NamedTuple):
    """A run before its texts become ids.

    Attributes:
        config: with its cleaning and tokenizer filled in.
        languages: of the texts.
        tokenizers: of input and output; the same one twice if they are equal.
        size: number of examples, by which defaults are chosen, if it is not that of the records.
    """

    config: Config
    languages: list[str]
    tokenizers: tuple[Tokenizer, Tokenizer]
    size: int | None = None


class Encoder(NamedTuple):
    """How the records of a task become the integers of shards.

    Attributes:
        encode: records to lists of integers, for each feature.
        unknown_ids: feature of tokens -> the id of what its tokenizer does not know.
    """

    encode: Callable[[Sequence[Mapping[str, Any]]], dict[str, list[list[int]]]]
    unknown_ids: Mapping[str, int]


def settings_of(config: Config) -> dict[str, Any]:
    """What the token ids of the training texts depend on, but for the texts themselves.

    Args:
        config: with its cleaning and tokenizer filled in.
    """
    tokenizer = config.tokenizer.model_dump(mode="json")
    path = getattr(config.model, "path", None) if config.model.pretrained else None
    return {
        "task": config.task,
        "mode": config.mode,
        **({"role": config.model.role} if config.model.role else {}),
        "multiple": config.data.labels == "multiple",
        "cleaning": list(config.cleaning),
        "tokenizer": {**tokenizer, "path": tokenizer["path"] and Path(tokenizer["path"]).name},
        "preset": path and Path(path).name,
        "data": config.data.model_dump(mode="json", include=set(_READING)),
    }


def check_prepared(prepared: TokenShards | None, config: Config) -> None:
    """Checks that a prepared folder, if there is one, has the ids that a training from texts would make.

    Args:
        prepared: the folder.
        config: with its cleaning and tokenizer filled in.

    Raises:
        ConfigError: it was prepared with other settings.
    """
    if prepared is not None:
        prepared.check_settings(settings_of(config), differing_entry)


def log_sizes(sizes: Sequence[int], unit: str, languages: Sequence[str]) -> None:
    """Logs how much data there is, such as `data: 800 training, 100 test examples (en)`.

    Args:
        sizes: of training, validation and test; 0 for what there is none of.
        unit: examples or characters.
        languages: of the texts; of a translation the source and the target.
    """
    told = [f"{size:,} {name}" for size, name in zip(sizes, ("training", "validation", "test"), strict=True) if size]
    log.info("data: %s (%s)", f"{', '.join(told)} {unit}" if told else "none", " to ".join(languages))


def begun(
    config: Config,
    languages: list[str],
    splits: Splits,
    folder: Path,
    make: Callable[[], tuple[Tokenizer, Tokenizer]],
) -> Begun:
    """A run with its tokenizers: those of its folder or of prepared data, else new ones.

    Args:
        config: with its cleaning and tokenizer filled in.
        languages: of the texts.
        splits: the data.
        folder: of the run.
        make: makes the tokenizers of input and output; the same one twice if they are equal.

    Raises:
        ConfigError: the data were prepared with other settings.
    """
    check_prepared(splits.prepared, config)
    log_sizes(splits.sizes, "examples", languages)
    return Begun(config, languages, load_or_make(folder, make, splits.prepared))
