"""Special tokens: their ids, and the template that puts them around one text or two."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

# Ids of the tokenizers that are trained here; a preset's tokenizer has its own.
PAD_ID, UNKNOWN_ID, START_ID, END_ID = range(4)


@dataclass(frozen=True)
class Template:
    """The special tokens around one text or two: `start a end`, or `start a middle b end`.

    Attributes:
        start, middle, end: token ids.
        second_segment: the segment id, 0 or 1, of the second text and of the end after it.
    """

    start: tuple[int, ...] = ()
    middle: tuple[int, ...] = ()
    end: tuple[int, ...] = ()
    second_segment: int = 1

    def around(self, ids: Sequence[int], length: int) -> list[int]:
        """The token ids of a single text with its special tokens, truncated to `length` tokens."""
        if not (self.start or self.end):
            return list(ids[:length])
        room = max(0, length - len(self.start) - len(self.end))
        return [*self.start, *ids[:room], *self.end][:length]

    def join(self, ids: Sequence[int], pair: Sequence[int] | None, length: int) -> tuple[list[int], list[int]]:
        """Adds special tokens to token ids and truncates to `length` tokens.

        Args:
            ids: the first text.
            pair: the second text; None for a single text.
            length: maximum number of tokens. Of a pair the longer text is truncated first.

        Returns:
            The token ids, and a segment id for each.

        Example:
            Template((101,), (102,), (102,)).join([7, 8], [9], 8) == ([101, 7, 8, 102, 9, 102], [0, 0, 0, 0, 1, 1])
        """
        if pair is None:
            joined = self.around(ids, length)
            return joined, [0] * len(joined)
        room = max(0, length - len(self.start) - len(self.middle) - len(self.end))
        pair_room = min(len(pair), max(room // 2, room - len(ids)))
        first = [*self.start, *ids[: room - pair_room], *self.middle]
        joined = [*first, *pair[:pair_room], *self.end][:length]
        segments = [0] * len(first) + [self.second_segment] * (pair_room + len(self.end))
        return joined, segments[: len(joined)]
