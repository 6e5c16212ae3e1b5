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
    if not inputs:
        raise ValueError("expected at least one input to time, found none")
    for value in islice(cycle(inputs), warmup):
        call(value)
    taken = []
    for value in inputs[:most]:
        start = time.perf_counter_ns()
        call(value)
        taken.append(time.perf_counter_ns() - start)
    return {f"p{rank}": round(float(np.percentile(taken, rank)) / 1e6, 4) for rank in (50, 90, 99)}
