"""Latency of single queries."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from itertools import cycle, islice
from typing import Any

import numpy as np


def latency(
    call: Callable[[Any], Any], inputs: Sequence[Any], warmup: int = 20, max_calls: int = 200
) -> dict[str, float]:
    """Measures the latency of a function, one input at a time.

    Args:
        call: the function; takes one input.
        inputs: the inputs; the first `max_calls` are timed.
        warmup: number of untimed calls before the timed ones; they cycle through the inputs.
        max_calls: maximum number of timed calls.

    Returns:
        Percentiles in milliseconds: `{"p50": 0.8213, "p90": 1.0021, "p99": 1.4}`.

    Raises:
        ValueError: there are no inputs.
    """
    return ranks(timed(call, inputs, warmup, max_calls)[0])


def timed(
    call: Callable[[Any], Any], inputs: Sequence[Any], warmup: int = 20, max_calls: int = 200
) -> tuple[list[int], list[Any]]:
    """The time of each call in nanoseconds, and its result.

    Args:
        call, inputs, warmup, max_calls: as for `latency`.

    Raises:
        ValueError: there are no inputs.
    """
    if not inputs:
        raise ValueError("expected at least one input to time, found none")
    for value in islice(cycle(inputs), warmup):
        call(value)
    times, results = [], []
    for value in inputs[:max_calls]:
        start = time.perf_counter_ns()
        result = call(value)
        times.append(time.perf_counter_ns() - start)
        results.append(result)
    return times, results


def ranks(nanoseconds: Sequence[int]) -> dict[str, float]:
    """The 50th, 90th and 99th percentile in milliseconds: `{"p50": 0.8213, "p90": 1.0021, "p99": 1.4}`."""
    return {f"p{rank}": round(float(np.percentile(nanoseconds, rank)) / 1e6, 4) for rank in (50, 90, 99)}
