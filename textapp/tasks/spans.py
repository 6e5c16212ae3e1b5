"""Windows over a long context, and the best spans in one window."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Span(NamedTuple):
    """A span of tokens.

    Attributes:
        score: the sum of the logits of its first and its last token.
        first, last: indices of these tokens, `first <= last`.
    """

    score: float
    first: int
    last: int


def windows(num_tokens: int, room: int, stride: int) -> list[tuple[int, int]]:
    """Windows that cover every token of a context (Devlin et al., 2019).

    Args:
        num_tokens: of the context.
        room: maximum number of tokens of a window.
        stride: tokens from the start of one window to that of the next; `room` if it is larger.

    Returns:
        `[start, end)` of each window, at least one.

    Example: `windows(10, 6, 3)` is `[(0, 6), (3, 9), (6, 10)]`.
    """
    step = max(1, min(stride, room))
    found = [(0, min(room, num_tokens))]
    while found[-1][1] < num_tokens:
        start = found[-1][0] + step
        found.append((start, min(start + room, num_tokens)))
    return found


def best_spans(start_logits: np.ndarray, end_logits: np.ndarray, max_tokens: int, max_count: int = 1) -> list[Span]:
    """The spans with the highest sums of logits, the best first; of equal sums the earliest.

    Args:
        start_logits, end_logits: of the tokens of a window, `[tokens]` float32.
        max_tokens: maximum number of tokens of a span.
        max_count: maximum number of spans.

    Example: `best_spans([0, 3, 0], [0, 0, 2], 3)` is `[Span(5.0, 1, 2)]`.
    """
    count = len(start_logits)
    if not count:
        return []
    width = min(max_tokens, count)
    beyond = np.full(width - 1, -np.inf, np.float32)
    ends = np.lib.stride_tricks.sliding_window_view(np.concatenate([end_logits, beyond]), width)
    sums = (np.asarray(start_logits, np.float32)[:, None] + ends).ravel()  # row: first token, column: last - first
    order = np.argsort(-sums, kind="stable")[:max_count] if max_count > 1 else [sums.argmax()]
    return [
        Span(float(sums[index]), int(index // width), int(index // width + index % width))
        for index in order
        if sums[index] > -np.inf
    ]
