"""The vocabulary of a run without the pieces that its data never use, and the model's tables without their rows."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from textapp.artifact import TARGET_TOKENIZER, TOKENIZER
from textapp.compression.recipe import Vocabulary
from textapp.errors import ConfigError
from textapp.records.files import read_source
from textapp.text.tokenizer import Tokenizer, load_tokenizer
from textapp.text.vocabulary import cut_vocabulary

log = logging.getLogger("textapp")
_NO_TEXT = ("id", "label")  # of a record


def cut_tokenizer(
    step: Vocabulary,
    folder: Path,
    records: Iterable[Mapping[str, Any]],
    files: Sequence[Path] = (),
    where: str = "vocabulary",
) -> list[int]:
    """Replaces the tokenizer in the folder of a run by one with fewer pieces.

    Args:
        step: the settings.
        folder: of the new run, with a copy of the tokenizer.
        records: whose texts the pieces are for; their ids do not change but for their numbers.
        files: with further such texts, one a line.
        where: the place and the key of the step, for messages.

    Returns:
        The id before of each id.

    Raises:
        ConfigError: the run has two tokenizers, or every piece is used.
        DataError: a file cannot be read.
    """
    if (folder / TARGET_TOKENIZER).is_dir():
        raise ConfigError(
            f"{where}: found a tokenizer for each language, which were trained on the run's own texts, expected one "
            "tokenizer: leave the step out"
        )
    tokenizer = load_tokenizer(folder / TOKENIZER)
    counts = _counts(tokenizer, records)
    for file in files:
        for line in read_source(file, "auto").lines():
            counts.update(tokenizer.ids(line.rstrip("\r\n")))
    used = {token_id for token_id, count in counts.items() if count >= step.min_count}
    smaller, before = cut_vocabulary(tokenizer, used, step.keep_characters)
    if len(before) >= tokenizer.vocabulary_size:
        raise ConfigError(
            f"{where}: found all {tokenizer.vocabulary_size:,} pieces in use, expected some to spare: leave the step "
            f"out, or raise min_count above {step.min_count}"
        )
    log.info("vocabulary: %s of %s pieces stay", f"{len(before):,}", f"{tokenizer.vocabulary_size:,}")
    smaller.save(folder / TOKENIZER)
    return before


def cut_weights(
    weights: Sequence[np.ndarray], shapes: Sequence[Sequence[int]], before: Sequence[int]
) -> list[np.ndarray]:
    """The weights of a model for a smaller vocabulary.

    Args:
        weights: of the model.
        shapes: of the weights of the same model for the smaller vocabulary, in their order.
        before: the id before of each id.

    Returns:
        Arrays of these shapes: where a shape is smaller, the rows or columns of the ids that stay.

    Raises:
        ConfigError: a table has no row for each piece, as one of n-grams, or none became smaller.

    Example: a table `[[1], [2], [3]]`, the shape `(2, 1)` and `before` `[0, 2]` give `[[1], [3]]`.
    """
    axes = cut_axes([weight.shape for weight in weights], shapes, before)
    return [
        weight if axis is None else np.take(weight, before, axis=axis)
        for weight, axis in zip(weights, axes, strict=True)
    ]


def cut_axes(
    shapes: Sequence[Sequence[int]],
    smaller: Sequence[Sequence[int]],
    before: Sequence[int],
    where: str = "vocabulary",
) -> list[int | None]:
    """The axis of each weight that has a piece of the vocabulary in each place; None if it has none.

    Args:
        shapes: of the weights of a model.
        smaller: of those of the same model for the smaller vocabulary, in their order.
        before: the id before of each id.
        where: the place and the key of the step, for messages.

    Raises:
        ConfigError: as for `cut_weights`.
    """
    found: list[int | None] = []
    for shape, less in zip(shapes, smaller, strict=True):
        axes = [axis for axis, size in enumerate(less) if size != shape[axis]]
        if axes and (len(axes) > 1 or less[axes[0]] != len(before) or shape[axes[0]] <= before[-1]):
            raise ConfigError(
                f"{where}: found a table of {shape[axes[0]]:,} rows that are no pieces of the vocabulary, such as "
                "n-grams of characters: leave the step out"
            )
        found.append(axes[0] if axes else None)
    if all(axis is None for axis in found):
        raise ConfigError(f"{where}: found tables whose size is that of the preset: leave the step out")
    return found


def _counts(tokenizer: Tokenizer, records: Iterable[Mapping[str, Any]]) -> Counter[int]:
    """How often each id occurs; a text that several records have, such as a context, is read once for each count."""
    texts = Counter(text for record in records for name, value in record.items() if name not in _NO_TEXT
                    for text in _texts(value))  # fmt: skip
    counts: Counter[int] = Counter()
    for text, times in texts.items():
        for token_id in tokenizer.ids(text):
            counts[token_id] += times
    return counts


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from _texts(inner)
