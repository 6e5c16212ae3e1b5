"""What the figures say, in sentences, and which variants no other one beats. Nothing here is known beforehand."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from textapp.metrics.names import FALLING, MAIN
from textapp.metrics.size import size_words
from textapp.report.facts import Facts, RunFacts, Variant, intervals, mapping, numbers

SAME_SIZE = 1.05  # ratios below it are no difference
SAME_SPEED = 1.10  # what a busy machine may add
MANY_ZEROS = 0.6  # share of the parameters that are not zero; below it, zeros are worth a word
_OF_STEP = ("sparsity", "m_by_n", "clusters", "keep", "heads", "architecture")  # keys that tell a step best


@dataclass(frozen=True)
class Finding:
    """What one variant brought against another one.

    Attributes:
        subject: the method or the number format, and the two.
        gained: clauses of what is better.
        not_gained: clauses of what is the same or worse.
        cost: what it cost in quality; empty if that is not known.
    """

    subject: str
    gained: Sequence[str]
    not_gained: Sequence[str]
    cost: str = ""

    def sentence(self) -> str:
        """In plain words: `Brought: .. . Did not bring: .. . accuracy 90.1 against 90.4 ..`."""
        parts = [f"Brought: {'; '.join(self.gained) or 'nothing that was measured'}."]
        parts += [f"Did not bring: {'; '.join(self.not_gained)}."] if self.not_gained else []
        return " ".join([*parts, *([f"{self.cost}."] if self.cost else [])])


def findings(facts: Facts) -> list[Finding]:
    """What each export and each compression brought, as far as it was measured."""
    found = [compared(subject, new, old, facts.measures) for subject, new, old in _pairs(facts)]
    for run in facts.runs:
        if run.compression and _parent(run, facts) is None:
            found.append(_told(run, facts.measures))
    return [each for each in found if each.gained or each.not_gained or each.cost]


def compared(subject: str, new: Variant, old: Variant, measures: Mapping[str, str]) -> Finding:
    """Compares two variants of a model.

    Args:
        subject: what led from one to the other.
        new, old: the two.
        measures: figure -> title, the main one first.
    """
    gained, missed = [], []
    for key, what in (("file_bytes", "file"), ("gzip_bytes", "file packed by gzip")):
        if key in new.sizes and key in old.sizes:
            better, words = _smaller(what, old.sizes[key], new.sizes[key])
            (gained if better else missed).append(words)
    if new.p50 and old.p50 and _together(new, old):
        better, words = faster(old.p50, new.p50)
        (gained if better else missed).append(words + _why(new, better))
    return Finding(subject, gained, missed, quality_words(new, old, measures))


def _smaller(what: str, before: int, after: int) -> tuple[bool, str]:
    """Whether a size fell, and the words: `the file is 3.1 times smaller (1.2 MB, before 3.7 MB)`."""
    sizes = f"({size_words(after)}, before {size_words(before)})"
    ratio = before / max(after, 1)
    if ratio >= SAME_SIZE:
        return True, f"the {what} is {ratio:.1f} times smaller {sizes}"
    if ratio <= 1 / SAME_SIZE:
        return False, f"a smaller {what}: it is {1 / ratio:.1f} times larger {sizes}"
    return False, f"a smaller {what} {sizes}"


def faster(before: float, after: float) -> tuple[bool, str]:
    """Whether an answer takes less time, and the words.

    Args:
        before, after: milliseconds.

    Example: `faster(2.0, 1.0)` is `(True, "answers are 2.0 times as fast (1 ms, before 2 ms)")`.
    """
    times, ratio = f"({ms_words(after)}, before {ms_words(before)})", before / after
    if ratio >= SAME_SPEED:
        return True, f"answers are {ratio:.1f} times as fast {times}"
    if ratio <= 1 / SAME_SPEED:
        return False, f"faster answers: they take {1 / ratio:.1f} times as long {times}"
    return False, f"faster answers {times}"


def quality_words(new: Variant, old: Variant, measures: Mapping[str, str]) -> str:
    """The main figure of both, and whether chance explains the difference; empty if it is not known of both.

    Args:
        new, old: variants that were measured on the same data.
        measures: figure -> title, the main one first.
    """
    name = main_measure([new, old], measures)
    if name is None or new.data != old.data:
        return ""
    found, before = new.quality[name], old.quality[name]
    after_words, before_words = figure(name, found), figure(name, before)
    if after_words == before_words:
        return f"The same {measures[name]}, {after_words}"
    words = f"{measures[name][:1].upper()}{measures[name][1:]} {after_words}, before {before_words}"
    low, high = old.intervals.get(name, (before, before))
    if low < high and low <= found <= high:
        interval = f"{figure(name, low)} to {figure(name, high)}"
        return f"{words}: inside the interval of {interval} that chance in the choice of examples gives"
    better = (found < before) == (name in FALLING)
    return f"{words}: {'better' if better else 'worse'} by {figure(name, abs(found - before))}"


def figure(name: str, value: float) -> str:
    """A figure of quality as text: `90.12`, a perplexity `1.087`."""
    return f"{value:.{3 if name in FALLING else 2}f}"


def main_measure(variants: Sequence[Variant], measures: Mapping[str, str]) -> str | None:
    """The measure that a search limits, else the first of the task, of those that all of the variants have."""
    common = [name for name in measures if variants and all(name in each.quality for each in variants)]
    return next((name for name in (*MAIN, *common) if name in common), None)


def pareto_front(points: Sequence[tuple[float, float]]) -> list[int]:
    """The points that no other one beats: none is as low in the first value and higher in the second, or the reverse.

    Args:
        points: a cost, such as milliseconds, and a quality, of which more is better.

    Returns:
        Indices of the points, the lowest cost first; of equal points all.

    Example: `pareto_front([(1, 80), (2, 90), (3, 85)])` is `[0, 1]`.
    """
    front = [
        index
        for index, (cost, good) in enumerate(points)
        if not any(c <= cost and g >= good and (c, g) != (cost, good) for c, g in points)
    ]
    return sorted(front, key=lambda index: points[index])


def method_words(steps: Sequence[Any]) -> str:
    """The methods of a recipe: `prune (sparsity 0.8), then cluster (clusters 16)`."""
    words = []
    for step in map(mapping, steps):
        settings = {**step, **mapping(step.get("model"))}
        named = [
            f"{key.replace('_', ' ')} {_value(settings[key])}" for key in _OF_STEP if settings.get(key) is not None
        ]
        words.append(f"{step.get('method', 'a method')}" + (f" ({', '.join(named)})" if named else ""))
    return ", then ".join(words)


def recipe_of(run: RunFacts) -> str:
    """What a compressed run was made by, in words."""
    steps = mapping(run.compression.get("recipe")).get("steps")
    return method_words(steps if isinstance(steps, list) else [])


def ms_words(ms: float) -> str:
    """Three significant digits: `0.0451 ms`, `12.3 ms`."""
    return f"{ms:.3g} ms" if ms < 1000 else f"{ms:,.0f} ms"


def _pairs(facts: Facts) -> Iterator[tuple[str, Variant, Variant]]:
    """What led to a variant, the variant, and the one to compare it with."""
    for run in facts.runs:
        for each in run.variants[1:]:
            same = f"{each.name.split()[0]} float32"
            plain = next((other for other in run.variants[1:] if other.name.startswith(same)), run.variants[0])
            other = run.variants[0] if each is plain else plain
            # Much of what is faster than Keras is the runtime, whatever the number format.
            why = ", as there is no float32 file" if plain is run.variants[0] else ""
            yield f"{each.title}, against {other.name}{why}", each, other
        parent = _parent(run, facts)
        if parent is None:
            continue
        before = {each.name: each for each in parent.variants}
        for each in run.variants:
            if each.name in before:
                yield (
                    f"{recipe_of(run) or 'further training'}: {each.title}, against {parent.name}",
                    each,
                    before[each.name],
                )


def _parent(run: RunFacts, facts: Facts) -> RunFacts | None:
    """The run of a report that a run was made from, if both were measured on the same data, as far as that is known."""
    sha256 = run.parent.get("sha256", "")
    found = next((each for each in facts.runs if each.sha256 == sha256 and each is not run), None)
    return None if found is None or (found.data and run.data and found.data != run.data) else found


def _told(run: RunFacts, measures: Mapping[str, str]) -> Finding:
    """What a compression itself measured before and after; its parent is not in the report, or was of other data."""
    done = run.compression
    split = next((name for name in ("test", "validation") if mapping(mapping(done.get("before")).get(name))), "")
    before, parent = mapping(done.get("before")), run.parent.get("run", "its parent")
    examples = mapping(run.metrics.get(split)).get("examples")
    pair = [
        Variant("", "", numbers(sizes), numbers(quality), intervals({**quality, "examples": examples}), split)
        for sizes, quality in (
            (
                done.get("sizes"),
                {name: value for name, value in mapping(run.metrics.get(split)).items() if name in measures},
            ),
            (before.get("sizes"), mapping(before.get(split))),
        )
    ]
    found = compared(f"{recipe_of(run)}: {run.name}, against {parent} as keras float32", *pair, measures)
    return Finding(found.subject, found.gained, [*found.not_gained, *_zeros(pair[0])], found.cost)


def _zeros(variant: Variant) -> list[str]:
    """A clause about zeros where there are many, but no speed was measured."""
    return (
        ["speed was not measured: textapp report --measure with both runs"]
        if nonzero_share(variant) < MANY_ZEROS
        else []
    )


def _why(new: Variant, better: bool) -> str:
    """Why there is no speed, where zeros may have raised the hope of it."""
    share = nonzero_share(new)
    if better or share >= MANY_ZEROS:
        return ""
    return f", although {100 * (1 - share):.0f} % of the parameters are zero, since this runtime multiplies zeros, too"


def nonzero_share(variant: Variant) -> float:
    """The share of the parameters that are not zero; 1 if that is not known."""
    total = variant.sizes.get("parameters")
    return variant.sizes["nonzero"] / total if total and "nonzero" in variant.sizes else 1.0


def _together(new: Variant, old: Variant) -> bool:
    """Whether the two took turns in one measurement, so that a busy machine slowed down both."""
    return new.measured.get("measured") == old.measured.get("measured")


def _value(value: Any) -> str:
    return ":".join(map(str, value)) if isinstance(value, list) else str(value)
