"""How a budget is read, and what it takes and drops."""

from __future__ import annotations

import pytest

from textapp.compression.search_budget import (
    Budget,
    Measured,
    change_words,
    drop,
    fastest,
    front,
    limited,
    parse_latency,
    parse_size,
    reason,
)
from textapp.errors import OptionError, UsageError

FULL = Measured("none", 1.0, 2.0, 8_000_000, 0.0)
INT8 = Measured("dynamic", 0.5, 1.0, 2_000_000, 0.2)
HALF = Measured("half", 0.25, 0.5, 1_000_000, 0.9)
ROWS = [FULL, INT8, HALF]
UNIT = "points of accuracy"


@pytest.mark.parametrize(
    ("text", "expected"),
    [("5MB", 5_000_000), ("5 mb", 5_000_000), ("800kB", 800_000), ("1.5MiB", 1_572_864), (".5KiB", 512), ("7B", 7)],
)
def test_sizes(text: str, expected: int) -> None:
    assert parse_size(text) == expected


@pytest.mark.parametrize(("text", "expected"), [("3ms", 3.0), ("500us", 0.5), ("500 µs", 0.5), ("0.2 s", 200.0)])
def test_latencies(text: str, expected: float) -> None:
    assert parse_latency(text) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("5", "found '5' without a unit"), ("5XB", "found the unit 'XB'"), ("MB", "found 'MB'"), ("-5MB", "found '-5MB'"),
     ("0MB", "found '0MB'"), ("nanMB", "found 'nanMB'"), ("5ms", "found the unit 'ms'"), ("", "found ''")],
)  # fmt: skip
def test_a_size_that_is_none(text: str, expected: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_size(text)
    assert str(caught.value).startswith(f"--max-size: {expected}") and "such as 5MB" in str(caught.value)


@pytest.mark.parametrize(("text", "found"), [("3", "without a unit"), ("3MB", "the unit 'MB'"), ("fast", "'fast'")])
def test_a_latency_that_is_none(text: str, found: str) -> None:
    with pytest.raises(UsageError, match=f"--max-latency: found .*{found}.*such as 3ms"):
        parse_latency(text)


@pytest.mark.parametrize("value", [-0.1, float("nan"), float("inf")])
def test_a_drop_is_a_number_from_zero(value: float) -> None:
    with pytest.raises(OptionError, match="max_drop: found .*, expected a number from 0"):
        Budget(value)


def test_what_is_lost() -> None:
    assert drop("accuracy", 90.0, 89.5) == 0.5
    assert drop("perplexity", 10.0, 10.2) == pytest.approx(2.0)
    assert drop("bleu", 30.0, 31.0) == -1.0
    assert limited({"exact_match": 1.0, "f1": 2.0}) == "f1" and limited({"accuracy": 1, "f1": 2}) == "accuracy"
    with pytest.raises(UsageError, match="found the figures chrf"):
        limited({"chrf": 1.0})


def test_the_front_counts_times_within_five_percent_as_equal() -> None:
    assert front(ROWS) == [HALF, INT8, FULL]
    same = Measured("float16", 0.98, 1.96, 8_000_001, 0.0)  # 2 % faster, larger: no gain
    assert front([FULL, same]) == [FULL]
    better = Measured("longer", 1.04, 2.08, 8_000_000, -0.1)  # 4 % slower, better
    assert front([FULL, better]) == [better]
    assert front([FULL, Measured("twin", *list(vars(FULL).values())[1:])]) == [FULL]


def test_the_fastest_keeps_the_budget() -> None:
    assert fastest(ROWS, Budget(0.5)) == INT8
    assert fastest(ROWS, Budget(1.0)) == HALF
    assert fastest(ROWS, Budget(0.0)) == FULL
    assert fastest(ROWS, Budget(0.0, max_size=5_000_000)) is None
    assert fastest(ROWS, Budget(1.0, max_latency=0.4)) is None
    smaller = Measured("int8", 0.52, 1.04, 1_900_000, 0.3)  # as fast, within the noise, and smaller
    assert fastest([*ROWS, smaller], Budget(0.5)) == smaller


def test_the_nearest_to_a_budget() -> None:
    assert Budget(0.0, max_size=1_900_000).nearest(ROWS) == INT8  # passes each by little
    assert Budget(0.8).nearest([HALF, Measured("far", 0.1, 0.1, 1, 20.0)]) == HALF
    # What no file reaches counts little: the best of those that lose nothing.
    assert Budget(0.5, max_latency=0.001).nearest([INT8, Measured("far", 0.4, 0.4, 1, 17.0)]) == INT8


def test_a_change_in_words() -> None:
    assert change_words(15.449, "% of perplexity") == "15.45 % of perplexity worse"
    assert change_words(-0.3, UNIT) == "0.30 points of accuracy better"
    assert change_words(-0.001, UNIT) == "as the run"


def test_why_each_was_dropped() -> None:
    budget = Budget(0.5, max_latency=1.5)
    assert reason(INT8, ROWS, INT8, budget, UNIT) == ""
    assert reason(HALF, ROWS, INT8, budget, UNIT) == "loses 0.90 points of accuracy, more than 0.5"
    assert reason(FULL, ROWS, INT8, budget, UNIT) == "takes 2.000 ms, more than 1.5 ms"
    assert reason(FULL, ROWS, INT8, Budget(), UNIT) == (
        "0.20 points of accuracy better, but takes 2.00 times as long as dynamic"
    )
    worse = Measured("int8", 0.6, 1.2, 3_000_000, 0.3)
    assert reason(worse, [*ROWS, worse], INT8, Budget(), UNIT) == "no faster, smaller or better than dynamic"
    assert reason(FULL, ROWS, None, Budget(0.0, max_size=1000), UNIT) == "has 8.0 MB, more than 1.0 kB"
    both = reason(HALF, ROWS, None, Budget(0.0, max_size=1000), UNIT)
    assert both == "loses 0.90 points of accuracy, more than 0 and has 1.0 MB, more than 1.0 kB"


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        (5_000_000, "has 8.0 MB, more than 5.0 MB"),
        (7_980_000, "has 8.00 MB, more than 7.98 MB"),
        (7_999_999, "has 8,000,000 B, more than 7,999,999 B"),
    ],
)
def test_two_sizes_are_told_apart(limit: int, expected: str) -> None:
    assert Budget(0.5, max_size=limit).faults(FULL, UNIT) == [expected]
    assert Budget(0.5, max_size=limit).words().startswith("a drop of 0.5, ")
