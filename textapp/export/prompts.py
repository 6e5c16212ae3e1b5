"""Texts to verify a language model with: real beginnings, each with what really follows, for every signature."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from textapp.arrays import spread
from textapp.export.examples import LEAST_PER_SIGNATURE

CHARACTERS_A_TOKEN = 16  # more than any tokenizer here puts into one, on average


def prompts(
    task: Any, records: Sequence[Mapping[str, Any]], least: int = LEAST_PER_SIGNATURE
) -> list[Mapping[str, str]]:
    """Records `{prompt, text}`: those of the data where they have prompts, else texts cut in two.

    Args:
        task: gives `tokenizer`, `generate_lengths` and `running_text`.
        records: `{text}`, perhaps with a `prompt`.
        least: records for each signature, where there is as much text.

    Example: with `generate_lengths` [[4, 3]] and a token a letter, `{"text": "abcdefgh"}` gives
    `{"prompt": "abc", "text": "def"}`: room for a start id is left.
    """
    if any("prompt" in record for record in records):
        return [{"prompt": "", **record} for record in records]
    found = []
    for read, new in task.generate_lengths:
        for text in _texts(task, records, least, CHARACTERS_A_TOKEN * (read + new)):
            record = _cut(task.tokenizer, text, read - 1, new)
            if record is not None:
                found.append(record)
    return found


def _texts(task: Any, records: Sequence[Mapping[str, Any]], most: int, length: int) -> Iterator[str]:
    """Pieces of `length` characters: the beginnings of documents, or places evenly over running text."""
    if not task.running_text:
        yield from (record["text"][:length] for record in spread(records, most))
        return
    whole = "\n".join(record["text"] for record in records)
    for start in spread(range(max(1, len(whole))), most):
        yield whole[start : start + length]


def _cut(tokenizer: Any, text: str, read: int, new: int) -> dict[str, str] | None:
    """The first `read` tokens of a text and the `new` ones behind; of a short text its halves; None: too short."""
    offsets = tokenizer.encode(text).offsets
    read = min(read, len(offsets) // 2)
    if read < 1:
        return None
    middle, end = offsets[read - 1][1], offsets[min(read + new, len(offsets)) - 1][1]
    return {"prompt": text[:middle], "text": text[middle:end]}
