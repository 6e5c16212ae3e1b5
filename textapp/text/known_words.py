"""The ids of words that were seen before, for tokenizers to which a text is its words one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import chain

MAX_WORDS = 200_000  # about 30 MB; a language model's vocabulary of words is soon full of names and numbers
LONGEST = 64  # characters; longer ones hardly occur twice


class KnownWords(dict[str, tuple[int, ...]]):
    """Word -> its ids, made when it is first asked for.

    Args:
        ids_of: a text to its ids.
    """

    def __init__(self, ids_of: Callable[[str], Sequence[int]]) -> None:
        super().__init__()
        self._ids_of = ids_of

    def __missing__(self, word: str) -> tuple[int, ...]:
        ids = tuple(self._ids_of(word))
        if len(word) <= LONGEST:
            if len(self) >= MAX_WORDS:
                self.clear()
            self[word] = ids
        return ids

    def rows(self, texts: Iterable[str]) -> list[list[int]]:
        """The ids of each text, those of its words between single spaces."""
        known = self.__getitem__
        return [list(chain.from_iterable(map(known, text.split(" ")))) for text in texts]
