"""A text that is read in parts: what an earlier one has in common with its beginning is not read again."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from textapp.decoding.steps import Session

# Tokens that `prefill` reads in the time of a step of `decode`, at the least: a step reads all weights for one token.
TOKENS_PER_STEP = 4
# The same for a large model, which has passes over several tokens: 38 were measured with 135 million weights.
TOKENS_PER_PASS = 32


class Reading:
    """A session that knows which tokens it has read; see `Session`.

    Args:
        open_session: reads the first token ids of a text, and returns the session before the next one.
        lengths: the numbers of tokens that `prefill` signatures read, ascending.

    Attributes:
        token_ids: those read so far.
        fresh: how often a text was read from its beginning, and `steps` how many tokens behind others.
    """

    def __init__(self, open_session: Callable[[list[int]], Session], lengths: Sequence[int]) -> None:
        self._open, self._lengths = open_session, lengths
        self._session: Session | None = None
        self.token_ids: list[int] = []
        self.fresh = self.steps = 0
        self.logits = np.zeros((1, 0), np.float32)

    def read(self, token_ids: Sequence[int]) -> None:
        """Reads a text, so that the next token is the one after it.

        The tokens that it has in common with what was read are kept, if reading the others by steps takes less time
        than reading all of them at once.

        Args:
            token_ids: of the whole text, one or more.
        """
        ids, longest = list(token_ids), self._lengths[-1]
        kept = self._common(ids)
        at_once = next((length for length in self._lengths if length >= len(ids)), longest)
        beyond = max(0, len(ids) - longest)
        per_step = TOKENS_PER_PASS if self.several > 1 else TOKENS_PER_STEP
        time, time_anew = self.cost(len(ids) - kept), max(1, at_once // per_step) + self.cost(beyond)
        if kept and time <= time_anew and self._rewind(kept):
            self.token_ids = ids[:kept]
        else:
            self.fresh += 1
            self._session, self.token_ids = None, []  # its memory is not needed while another is made
            self._session, self.token_ids = self._open(ids[:longest]), ids[:longest]
            self.logits = self._session.logits
        new = ids[len(self.token_ids) :]
        self.steps += len(new)
        if new:
            self.extend(new)

    @property
    def several(self) -> int:
        """See `Session`."""
        return 1 if self._session is None else self._session.several

    def read_on(self, token_ids: Sequence[int]) -> np.ndarray:
        """Reads more tokens; see `Session`."""
        assert self._session is not None
        logits = self._session.read_on(token_ids)
        self.logits = self._session.logits
        self.token_ids += token_ids
        return logits

    def extend(self, token_ids: Sequence[int]) -> None:
        """Reads more tokens; see `Session`."""
        assert self._session is not None
        self._session.extend(token_ids)
        self.logits = self._session.logits
        self.token_ids += token_ids

    def cost(self, count: int) -> int:
        """See `Session`."""
        return count if self._session is None else self._session.cost(count)

    def advance(self, parents: Sequence[int], token_ids: Sequence[int]) -> None:
        """Reads one more token; see `Session`."""
        assert self._session is not None
        self._session.advance(parents, token_ids)
        self.logits = self._session.logits
        self.token_ids.append(token_ids[0])

    def rewind(self, position: int) -> bool:
        """See `Session`."""
        if not self._rewind(position):
            return False
        self.token_ids = self.token_ids[:position]
        return True

    def _rewind(self, position: int) -> bool:
        return self._session is not None and self._session.rewind(position)

    def _common(self, ids: Sequence[int]) -> int:
        """How many tokens need not be read again: the last one is, for the logits after it."""
        most = min(len(ids) - 1, len(self.token_ids))
        return next((place for place in range(most) if ids[place] != self.token_ids[place]), most)
