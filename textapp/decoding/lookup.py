"""Prompt lookup: the next tokens are guessed from an earlier place of the text, and read together (Saxena, 2023).

A step of a large model takes as long as reading its weights. A model that reads a few tokens at once, the last one and
some guesses behind it, reads its weights once, and tells after each of them which token comes next. The guesses that
prove right cost no step of their own: answers that repeat parts of their prompt take fewer passes. Every token is still
chosen from the logits after exactly the tokens before it, as in speculative decoding (Leviathan et al., 2023).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from textapp.decoding.steps import Session

NGRAM = 2  # tokens in a row that have to be found earlier in the text


class Lookup:
    """Finds what came after the last tokens of a text where they occurred before.

    Args:
        token_ids: the text so far.

    Example: after 5 6 7 8 5 6 the next tokens are guessed to be 7 8 5 6 7 8 5 ...
    """

    def __init__(self, token_ids: Sequence[int]) -> None:
        self._token_ids: list[int] = []
        self._following: dict[tuple[int, ...], int] = {}  # the place after each n-gram, but the last one of the text
        for token_id in token_ids:
            self.append(token_id)

    def append(self, token_id: int) -> None:
        """Adds a token to the text."""
        if len(self._token_ids) >= NGRAM:
            self._following[tuple(self._token_ids[-NGRAM:])] = len(self._token_ids)
        self._token_ids.append(token_id)

    def guess(self, count: int) -> list[int]:
        """The next `count` tokens, if the last ones stand earlier in the text, at the latest such place; else none."""
        place = self._following.get(tuple(self._token_ids[-NGRAM:]))
        if place is None:
            return []
        found = self._token_ids[place : place + count]
        while len(found) < count:  # the place is so near that what is guessed goes on in itself
            found += found[: count - len(found)]
        return found


class GuessingSession:
    """Steps of one row through a session, which reads guesses along with each token; the right ones need no step.

    Its logits are those of the session, so any search over single tokens writes the same text, in fewer passes. A
    wrong guess costs nothing: a session that can read several tokens at once takes as long for one.

    Args:
        session: before the first new token; it can read several tokens at once.
        token_ids: all that it has read.

    Attributes:
        logits: see `Stepping`.
        passes: how often the model was run.
    """

    def __init__(self, session: Session, token_ids: Sequence[int]) -> None:
        self.logits = session.logits
        self.passes = 0
        self._session, self._lookup = session, Lookup(token_ids)
        self._read = len(token_ids)  # tokens of the text that were read, without guesses
        self._guesses: list[int] = []  # those that were read, too, and may still be right
        self._behind = np.zeros((0, 0), np.float32)  # the logits after each of them

    def advance(self, parents: Sequence[int], token_ids: Sequence[int]) -> None:
        """Reads one more token, unless it was guessed; see `Stepping`."""
        (token_id,) = token_ids
        self._lookup.append(token_id)
        if self._guesses and self._guesses[0] == token_id:
            self.logits, self._behind = self._behind[:1], self._behind[1:]
            self._guesses = self._guesses[1:]
        else:
            self._pass(token_id)
        self._read += 1

    def _pass(self, token_id: int) -> None:
        """Runs the model on a token, and on guesses if there are some."""
        if self._guesses:
            self._session.rewind(self._read)
        room = self._session.several - 1
        self._guesses = self._lookup.guess(room) if room > 0 else []
        self.passes += 1
        if self._guesses:
            logits = self._session.read_on([token_id, *self._guesses])
            self.logits, self._behind = logits[:1], logits[1:]
        else:
            self._session.advance([0], [token_id])
            self.logits = self._session.logits
