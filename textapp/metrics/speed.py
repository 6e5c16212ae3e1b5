"""Latency of single queries."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from itertools import cycle, islice
from typing import Any

import numpy as np


def latency(call: Callable[[Any], Any], inputs: Sequence[Any], warmup: int = 20, most: int = 200) -> dict[str, float]:
    """Times a call, one input after the other.

    Args:
        call: takes one input.
        inputs: what to ask; the first `most` are timed.
        warmup: untimed calls before, with the same inputs from the start.
        most: timed calls at most.

    Returns:
        Milliseconds: `{"p50": 0.8213, "p90": 1.0021, "p99": 1.4}`.

    Raises:
        ValueError: there is no input.
    """
    return ranks(timed(call, inputs, warmup, most)[0])


def timed(
    call: Callable[[Any], Any], inputs: Sequence[Any], warmup: int = 20, most: int = 200
) -> tuple[list[int], list[Any]]:
    """The same calls, each with its nanoseconds and with what it returned."""
    if not inputs:
        raise ValueError("expected at least one input to time, found none")
    for value in islice(cycle(inputs), warmup):
        call(value)
    taken, results = [], []
    for value in inputs[:most]:
        start = time.perf_counter_ns()
        result = call(value)
        taken.append(time.perf_counter_ns() - start)
        results.append(result)
    return taken, results


def ranks(nanoseconds: Sequence[int]) -> dict[str, float]:
    """The median, the 90th and the 99th percentile in milliseconds: `{"p50": 0.8213, "p90": 1.0021, "p99": 1.4}`."""
    return {f"p{rank}": round(float(np.percentile(nanoseconds, rank)) / 1e6, 4) for rank in (50, 90, 99)}
