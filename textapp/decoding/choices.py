"""Answers out of a list: which tokens may come next so that a text stays one of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

_Node = dict[int, "_Node"]  # a token that may come next -> what may come behind it


class Choices:
    """A tree over the token ids of texts, of which one has to be generated.

    Args:
        texts: the token ids of each text, not empty.
        end_ids: the tokens that end a text; only where one text is the beginning of another have they to be generated.

    Example: with `Choices([[5, 6], [5, 6, 7], [8]], [3])` the first token is 5 or 8, that behind 5 is 6, and the one
    behind 5 6 is 7 or 3; 8 and 5 6 7 are complete without an end.
    """

    def __init__(self, texts: Iterable[Sequence[int]], end_ids: Sequence[int]) -> None:
        self._root: _Node = {}
        ends = []
        for text in texts:
            node = self._root
            for token_id in text:
                node = node.setdefault(token_id, {})
            ends.append(node)
        for node in ends:
            if node:  # goes on as another text
                node.update((token_id, {}) for token_id in end_ids)

    def allowed(self, token_ids: Sequence[int]) -> list[int]:
        """The tokens that may come behind these; none behind a complete text."""
        return list(self._behind(token_ids))

    def restricted(self, logits: np.ndarray, token_ids: Sequence[int]) -> np.ndarray:
        """See `Constraint`."""
        chosen, allowed = np.full_like(logits, -np.inf), self.allowed(token_ids)
        chosen[allowed] = logits[allowed]
        return chosen

    def complete(self, token_ids: Sequence[int]) -> bool:
        """Whether these tokens are a text that no token can follow."""
        return not self._behind(token_ids)

    def _behind(self, token_ids: Sequence[int]) -> _Node:
        node = self._root
        for token_id in token_ids:
            node = node.get(token_id, {})
        return node
