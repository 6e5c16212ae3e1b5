"""The budget of a search: what a user allows, how the options are read, and why a candidate is taken or dropped."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from textapp.errors import OptionError, UsageError
from textapp.export.auto import TIE
from textapp.metrics.names import FALLING, MAIN
from textapp.metrics.size import size_words

SIZES = {"B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
TIMES = {"us": 1e-3, "ms": 1.0, "s": 1e3}  # in milliseconds
_QUANTITY = re.compile(r"\s*([0-9]+\.?[0-9]*|\.[0-9]+)\s*([^\W\d_]*)\s*")


def parse_size(text: str) -> int:
    """Bytes of `5MB`, `800 kB` or `1.5MiB`; the case of a unit does not count.

    Raises:
        UsageError: it is no positive number with a unit.
    """
    return round(_quantity("--max-size", text, SIZES, "5MB"))


def parse_latency(text: str) -> float:
    """Milliseconds of `3ms`, `500us` or `0.2 s`.

    Raises:
        UsageError: it is no positive number with a unit.
    """
    return _quantity("--max-latency", text.replace("µ", "u").replace("μ", "u"), TIMES, "3ms")


def _quantity(option: str, text: str, units: Mapping[str, float], example: str) -> float:
    found = _QUANTITY.fullmatch(text)
    expected = f"expected a number above 0 and one of {', '.join(units)}, such as {example}"
    if found is None:
        raise UsageError(f"{option}: found '{text}', {expected}")
    number, unit = float(found[1]), found[2]
    if not unit:
        raise UsageError(f"{option}: found '{text}' without a unit, {expected}")
    factor = next((value for name, value in units.items() if name.lower() == unit.lower()), None)
    if factor is None:
        raise UsageError(f"{option}: found the unit '{unit}' in '{text}', {expected}")
    if not math.isfinite(number * factor) or number * factor <= 0:
        raise UsageError(f"{option}: found '{text}', {expected}")
    return number * factor


@dataclass(frozen=True)
class Measured:
    """The figures of a candidate.

    Attributes:
        name: of the candidate.
        time: of an answer, as a share of that of the reference file, which was measured in turns with it.
        latency_ms: median milliseconds of an answer, string to answer.
        size_bytes: of the file and its tokenizer.
        drop: what it loses against the run on validation, in points, or in percent of perplexity; negative: it gains.
    """

    name: str
    time: float
    latency_ms: float
    size_bytes: int
    drop: float


@dataclass(frozen=True)
class Budget:
    """What a file may lose, weigh and take.

    Attributes:
        max_drop: points of accuracy, F1 or BLEU, or percent of perplexity, on validation.
        max_size: bytes of model and tokenizer; None: any.
        max_latency: median milliseconds of an answer; None: any.

    Raises:
        OptionError: `max_drop` is negative, or no number.
    """

    max_drop: float = 0.5
    max_size: int | None = None
    max_latency: float | None = None

    def __post_init__(self) -> None:
        if not (math.isfinite(self.max_drop) and self.max_drop >= 0):
            raise OptionError(f"max_drop: found {self.max_drop:g}, expected a number from 0, such as 0.5", "max_drop")

    def excess(self, row: Measured) -> dict[str, float]:
        """By how much a candidate passes each limit; what is not above 0 keeps it."""
        found = {"drop": row.drop - self.max_drop}
        if self.max_size is not None:
            found["size"] = row.size_bytes / self.max_size - 1
        if self.max_latency is not None:
            found["latency"] = row.latency_ms / self.max_latency - 1
        return found

    def keeps(self, row: Measured) -> bool:
        """Whether a candidate keeps every limit."""
        return all(value <= 0 for value in self.excess(row).values())

    def faults(self, row: Measured, unit: str) -> list[str]:
        """The limits that a candidate passes, in words.

        Args:
            row: its figures.
            unit: of the drop, such as `points of accuracy`.
        """
        above, words = self.excess(row), []
        if above["drop"] > 0:
            words.append(f"loses {row.drop:.2f} {unit}, more than {self.max_drop:g}")
        if above.get("size", 0) > 0 and self.max_size is not None:
            words.append("has {}, more than {}".format(*_told_apart(row.size_bytes, self.max_size)))
        if above.get("latency", 0) > 0:
            words.append(f"takes {row.latency_ms:.3f} ms, more than {self.max_latency:g} ms")
        return words

    def nearest(self, rows: Sequence[Measured]) -> Measured:
        """The candidate that passes the limits by the least; of sizes and times the logarithm of their ratio counts.

        Args:
            rows: at least one.
        """

        def distance(row: Measured) -> float:
            above = self.excess(row)
            lost = max(0.0, above.pop("drop")) / max(self.max_drop, 0.5)
            return lost + sum(math.log1p(max(0.0, value)) for value in above.values())

        return min(rows, key=lambda row: (distance(row), row.time))

    def words(self) -> str:
        """`a drop of 0.5, 5.0 MB, 3 ms`: the limits."""
        limits = [f"a drop of {self.max_drop:g}"]
        limits += [size_words(self.max_size)] if self.max_size is not None else []
        limits += [f"{self.max_latency:g} ms"] if self.max_latency is not None else []
        return ", ".join(limits)


def _told_apart(one: int, other: int) -> tuple[str, str]:
    """Two sizes in words, with as many digits as tell one from the other."""
    for digits in range(1, 4):
        words = size_words(one, digits), size_words(other, digits)
        if words[0] != words[1]:
            return words
    return f"{one:,} B", f"{other:,} B"


def limited(figures: Mapping[str, Any]) -> str:
    """The name of the figure that a budget limits.

    Raises:
        UsageError: there is none.
    """
    found = next((name for name in MAIN if name in figures), None)
    if found is None:
        raise UsageError(f"found the figures {', '.join(figures)}, expected one of {', '.join(MAIN)}")
    return found


def drop(measure: str, before: float, after: float) -> float:
    """What is lost: points, or for a measure that is better when lower percent of what it was.

    Args:
        measure: its name.
        before, after: its values.

    Example: `drop("accuracy", 90.0, 89.5)` is 0.5, and `drop("perplexity", 10.0, 10.2)` 2.
    """
    return 100 * (after / before - 1) if measure in FALLING else before - after


def change_words(lost: float, unit: str) -> str:
    """A change of quality in words.

    Args:
        lost: see `drop`.
        unit: of it.

    Example: `change_words(0.5, "points of accuracy")` is `0.50 points of accuracy worse`.
    """
    if round(lost, 2) == 0:
        return "as the run"
    return f"{abs(lost):.2f} {unit} {'worse' if lost > 0 else 'better'}"


def beats(one: Measured, other: Measured) -> bool:
    """Whether a candidate is at least as good in time, size and quality, and better in one of them.

    Times within 5 % are equal, as a machine has that much noise.

    Args:
        one, other: the two.
    """
    if one.time > TIE * other.time or one.size_bytes > other.size_bytes or one.drop > other.drop:
        return False
    return TIE * one.time < other.time or one.size_bytes < other.size_bytes or one.drop < other.drop


def front(rows: Sequence[Measured]) -> list[Measured]:
    """Those that none of the others beats, the fastest first; of equal ones the first."""
    best = [row for row in rows if not any(beats(other, row) for other in rows)]
    unique = {(row.time, row.size_bytes, row.drop): row for row in reversed(best)}
    return sorted(unique.values(), key=lambda row: row.time)


def fastest(rows: Sequence[Measured], budget: Budget) -> Measured | None:
    """The fastest that keeps a budget, among those within 5 % of it the smallest; None if none keeps it.

    Args:
        rows: the candidates.
        budget: the limits.
    """
    kept = [row for row in rows if budget.keeps(row)]
    if not kept:
        return None
    least = min(row.time for row in kept)
    return min((row for row in kept if row.time <= TIE * least), key=lambda row: (row.size_bytes, row.drop))


def reason(row: Measured, rows: Sequence[Measured], best: Measured | None, budget: Budget, unit: str) -> str:
    """Why a candidate was not taken; an empty text for the one that was.

    Args:
        row: the candidate.
        rows: all of them.
        best: the one that was taken, if any.
        budget: the limits.
        unit: of the drop.
    """
    if best is not None and row.name == best.name:
        return ""
    faults = budget.faults(row, unit)
    if faults or best is None:
        return " and ".join(faults)
    winners = [other for other in rows if beats(other, row)]
    if any(other.name == best.name for other in winners):
        return f"no faster, smaller or better than {best.name}"
    if winners:
        other = min(winners, key=lambda each: each.time)
        return f"no faster, smaller or better than {other.name}"
    if row.time <= best.time:
        return f"as fast as {best.name} within 5 %, but larger"
    gains = []
    if row.size_bytes < best.size_bytes:
        gains.append(f"{100 * (1 - row.size_bytes / best.size_bytes):.0f} % smaller")
    if row.drop < best.drop:
        gains.append(f"{best.drop - row.drop:.2f} {unit} better")
    gained = f"{' and '.join(gains)}, but " if gains else ""
    return f"{gained}takes {row.time / best.time:.2f} times as long as {best.name}"
