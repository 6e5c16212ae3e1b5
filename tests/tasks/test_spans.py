"""Windows cover every token, and the best spans are those of a search over all pairs."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from textapp.tasks.spans import Span, best_spans, windows


def test_windows() -> None:
    assert windows(10, 6, 3) == [(0, 6), (3, 9), (6, 10)]
    assert windows(6, 6, 3) == [(0, 6)]
    assert windows(0, 6, 3) == [(0, 0)]
    assert windows(7, 3, 9) == [(0, 3), (3, 6), (6, 7)]  # a stride beyond the window would lose tokens


@given(st.integers(1, 3000), st.integers(1, 400), st.integers(1, 500))
def test_no_token_is_outside_all_windows(num_tokens: int, room: int, stride: int) -> None:
    found = windows(num_tokens, room, stride)
    assert {token for start, end in found for token in range(start, end)} == set(range(num_tokens))
    assert all(0 < end - start <= room for start, end in found)
    assert len(found) <= 1 + -(-num_tokens // min(stride, room))


def test_best_spans() -> None:
    assert best_spans(np.array([0, 3, 0.0]), np.array([0, 0, 2.0]), 3) == [Span(5.0, 1, 2)]
    assert best_spans(np.array([0, 3, 0.0]), np.array([4, 0, 2.0]), 1) == [Span(4.0, 0, 0)]
    assert best_spans(np.array([]), np.array([]), 3, 2) == []


@given(st.integers(1, 12), st.integers(1, 14), st.integers(1, 6), st.integers(0, 10_000))
def test_best_spans_are_those_of_a_full_search(count: int, max_tokens: int, max_count: int, seed: int) -> None:
    starts, ends = np.random.default_rng(seed).normal(size=(2, count)).astype(np.float32)
    pairs = [(first, last) for first in range(count) for last in range(first, min(count, first + max_tokens))]
    expected = sorted(pairs, key=lambda pair: -(starts[pair[0]] + ends[pair[1]]))[:max_count]
    found = best_spans(starts, ends, max_tokens, max_count)
    assert [(span.first, span.last) for span in found] == expected
