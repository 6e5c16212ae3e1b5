"""A tokenizer of letters for the tests of the tasks that write: padding 0, unknown 1, start 2, end 3, a 4, b 5, ..."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from textapp.text.tokenizer import Encoding


class Letters:
    """One token a letter or a blank; decoding drops special tokens and, as SentencePiece does, a blank in front."""

    kind, vocabulary_size, pad_id, unknown_id = "letters", 31, 0, 1
    alphabet = "abcdefghijklmnopqrstuvwxyz "

    def ids(self, text: str) -> list[int]:
        return [self.alphabet.index(letter) + 4 if letter in self.alphabet else self.unknown_id for letter in text]

    def encode(self, text: str) -> Encoding:
        return Encoding(self.ids(text), [(place, place + 1) for place in range(len(text))])

    def decode(self, ids: Sequence[int]) -> str:
        return "".join(self.alphabet[token - 4] for token in ids if token > 3).lstrip()


@pytest.fixture
def letters() -> Letters:
    return Letters()
