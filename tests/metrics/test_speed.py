from __future__ import annotations

import time

import pytest

from textapp.metrics.speed import latency


def test_latency_is_in_milliseconds_and_its_ranks_ascend() -> None:
    waits = [0.001] * 19 + [0.02]
    taken = latency(time.sleep, waits, warmup=0)
    assert list(taken) == ["p50", "p90", "p99"]
    assert 1 <= taken["p50"] <= taken["p90"] <= taken["p99"]
    assert taken["p99"] > 10


def test_warmup_goes_round_and_the_timed_calls_have_a_limit() -> None:
    seen: list[int] = []
    latency(seen.append, [1, 2, 3], warmup=4, max_calls=2)
    assert seen == [1, 2, 3, 1, 1, 2]


def test_nothing_to_time_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one input"):
        latency(print, [])
