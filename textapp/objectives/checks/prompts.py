"""Texts to verify a language model with: real prompts with their real continuations, for every signature."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from textapp.arrays import spread
from textapp.objectives.checks.examples import MIN_PER_SIGNATURE
from textapp.tasks.generation import CHARACTERS_PER_TOKEN, GenerationTask
from textapp.tasks.task import Record
from textapp.text.tokenizer import Tokenizer


def prompts(task: GenerationTask, records: Sequence[Record], min_count: int = MIN_PER_SIGNATURE) -> list[Record]:
    """Records `{prompt, text}`: those of the data if they have prompts, else divided texts.

    Args:
        task: of the run.
        records: `{text}`, optionally with a `prompt`.
        min_count: records for each signature, if there is enough text.

    Example: with `generate_lengths` [[4, 3]] and one token per letter, `{"text": "abcdefgh"}` gives
    `{"prompt": "abc", "text": "def"}`: room for a start id is left.
    """
    if any("prompt" in record for record in records):
        return [{"prompt": "", **record} for record in records]
    divided: list[Record] = []
    for read, new in task.generate_lengths:
        for text in _texts(task, records, min_count, CHARACTERS_PER_TOKEN * (read + new)):
            record = _divided(task.tokenizer, text, read - 1, new)
            if record is not None:
                divided.append(record)
    return divided


def _texts(task: GenerationTask, records: Sequence[Record], max_count: int, length: int) -> Iterator[str]:
    """Pieces of `length` characters: the beginnings of documents, or evenly spread over a text stream."""
    if not task.running_text:
        yield from (record["text"][:length] for record in spread(records, max_count))
        return
    whole = "\n".join(record["text"] for record in records)
    for start in spread(range(max(1, len(whole))), max_count):
        yield whole[start : start + length]


def _divided(tokenizer: Tokenizer, text: str, read: int, new: int) -> dict[str, str] | None:
    """The first `read` tokens of a text and the next `new` ones; a short text is halved; None: too short."""
    offsets = tokenizer.encode(text).offsets
    read = min(read, len(offsets) // 2)
    if read < 1:
        return None
    middle, end = offsets[read - 1][1], offsets[min(read + new, len(offsets)) - 1][1]
    return {"prompt": text[:middle], "text": text[middle:end]}
