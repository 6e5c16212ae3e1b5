"""Charts as inline SVG, drawn for a narrow screen and scaled up; their colours are those of the page's style."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise

WIDTH, HEIGHT = 400, 300  # of a plot, in units of about a pixel
LEFT, RIGHT, TOP, BOTTOM = 64, 16, 14, 44
_LOGARITHMIC_FROM = 8.0  # ratio of the largest to the smallest value
_LOW = 200  # height of a plot of a curve
_ROW = 38  # height of a row of bars
_LONGEST = 46  # characters of a name


@dataclass(frozen=True)
class Point:
    """A variant in a scatter plot.

    Attributes:
        number: drawn beside it.
        name: told when the mouse rests on it, and to screen readers.
        x, y: its place.
        area: of its circle, in any unit.
        on_front: whether no other point beats it.
    """

    number: int
    name: str
    x: float
    y: float
    area: float
    on_front: bool


def scatter(points: Sequence[Point], x_title: str, y_title: str, title: str, falling: bool = False) -> str:
    """A scatter plot of variants; those on the front are joined by a line.

    Args:
        points: at least one.
        x_title, y_title: of the axes.
        title: of the chart, for screen readers.
        falling: whether less of `y` is better, which is then drawn upwards.
    """
    values = [p.x for p in points]
    logarithmic = min(values) > 0 and max(values) / min(values) > _LOGARITHMIC_FROM
    scale = math.log10 if logarithmic else float
    x = _axis([scale(value) for value in values], LEFT, WIDTH - RIGHT)
    y = _axis([p.y for p in points], HEIGHT - BOTTOM, TOP, falling)
    marks = [(x(scale(value)), value) for value in (_log_ticks(x.low, x.high) if logarithmic else ticks(x.low, x.high))]
    parts = _frame(HEIGHT, marks, y, (x_title + (" (log scale)" if logarithmic else ""), y_title))
    front = sorted((p for p in points if p.on_front), key=lambda p: p.x)
    for one, other in pairwise(front):  # a step: between two points the cheaper one is the best there is
        path = f"M{x(scale(one.x)):.1f} {y(one.y):.1f}H{x(scale(other.x)):.1f}V{y(other.y):.1f}"
        parts.append(f'<path class="front" d="{path}"/>')
    largest, taken = max(p.area for p in points) or 1.0, list[tuple[float, float]]()
    for point in sorted(points, key=lambda p: -p.area):
        place, radius = (x(scale(point.x)), y(point.y)), 4 + 14 * math.sqrt(max(point.area, 0) / largest)
        parts.append(_circle(*place, radius, "best" if point.on_front else "other", point.name))
        label = (place[0], place[1] + 4)
        while any(abs(label[0] - a) < 14 and abs(label[1] - b) < 12 for a, b in taken):
            label = (label[0] + 14, label[1])
        taken.append(label)
        parts.append(_text(*label, str(point.number), "middle", "number"))
    return _svg(WIDTH, HEIGHT, parts, title)


def interval_rows(rows: Sequence[tuple[str, float, Sequence[float]]], title: str) -> str:
    """A figure of several variants, each a dot with its interval.

    Args:
        rows: name, value and `[low, high]`, which may be empty.
        title: of the chart, for screen readers.
    """
    height = _ROW * len(rows) + 30
    x = _axis([value for _, value, ends in rows for value in (value, *ends)], 12, WIDTH - 12)
    parts = []
    for value in ticks(x.low, x.high):
        parts += [
            _line(x(value), 4, x(value), height - 22, "grid"),
            _text(x(value), height - 8, _number(value), "middle"),
        ]
    for index, (name, value, ends) in enumerate(rows):
        middle = _ROW * index + 28
        parts.append(_text(12, middle - 12, _short(name), "start"))
        if ends:
            parts.append(_line(x(ends[0]), middle, x(ends[1]), middle, "whisker"))
        told = f"{name}: {value:,.5g}" + (f", 95 % interval {ends[0]:,.5g} to {ends[1]:,.5g}" if ends else "")
        parts.append(_circle(x(value), middle, 4, "best", told))
    return _svg(WIDTH, height, parts, title)


def bars(rows: Sequence[tuple[str, Sequence[tuple[str, float, str]]]], title: str) -> str:
    """Horizontal bars, one or more for each variant, all from zero on one scale.

    Args:
        rows: name of the variant; of each bar its class in the style, its length, and its label.
        title: of the chart, for screen readers.
    """
    most = max((length for _, each in rows for _, length, _ in each), default=0) or 1.0
    parts, top = [], 4.0
    for name, each in rows:
        parts.append(_text(4, top + 12, _short(name), "start"))
        top += 18
        for kind, length, label in each:
            width = max(1.0, (WIDTH - 96) * length / most)
            place = f'x="4" y="{top:.0f}" width="{width:.1f}" height="11" rx="2"'
            parts.append(f'<rect class="{kind}" {place}><title>{escape(f"{name}: {label}")}</title></rect>')
            parts.append(_text(width + 10, top + 10, label, "start"))
            top += 15
        top += 8
    return _svg(WIDTH, round(top), parts, title)


def curve(values: Sequence[tuple[float, float]], x_title: str, y_title: str, title: str) -> str:
    """A line through points, such as a figure after each epoch.

    Args:
        values: x and y of each point, at least two.
        x_title, y_title: of the axes.
        title: of the chart, for screen readers.
    """
    x = _axis([value for value, _ in values], LEFT, WIDTH - RIGHT, room=0)
    y = _axis([value for _, value in values], _LOW - BOTTOM, TOP)
    parts = _frame(_LOW, [(x(value), value) for value in ticks(x.low, x.high)], y, (x_title, y_title))
    path = " ".join(f"{x(one):.1f},{y(other):.1f}" for one, other in values)
    return _svg(WIDTH, _LOW, [*parts, f'<polyline class="curve" points="{path}"/>'], title)


def ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Round numbers from `low` to `high`, about `most` of them.

    Args:
        low, high: the ends.
        most: how many are enough.

    Example: `ticks(81.2, 90.1)` is `[82.0, 84.0, 86.0, 88.0, 90.0]`.
    """
    if not high > low:
        return [low]
    rough = (high - low) / most
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough)
    first = math.ceil(low / step - 1e-9)
    return [round(index * step, 10) for index in range(first, math.floor(high / step + 1e-9) + 1)]


@dataclass(frozen=True)
class _Axis:
    """Maps values to places."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        return self.start + (self.end - self.start) * (value - self.low) / (self.high - self.low)


def _axis(values: Sequence[float], start: float, end: float, falling: bool = False, room: float = 0.12) -> _Axis:
    """An axis for values, with some room at its ends; `falling`: the smallest value is at the end."""
    low, high = min(values), max(values)
    spare = room * (high - low) if high > low else (abs(high) * 0.05 or 1.0)
    low, high = low - spare, high + spare
    return _Axis(low, high, end, start) if falling else _Axis(low, high, start, end)


def _log_ticks(low: float, high: float) -> list[float]:
    """1, 2 and 5 times powers of ten inside an axis of logarithms."""
    powers = range(math.floor(low), math.ceil(high) + 1)
    found = [factor * 10.0**power for power in powers for factor in (1, 2, 5)]
    inside = [value for value in found if low <= math.log10(value) <= high]
    return inside if len(inside) <= 6 else [value for value in inside if str(value).strip("0.").startswith("1")]


def _number(value: float) -> str:
    return f"{value:,.6g}"


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST else name[: _LONGEST - 1] + "…"


def _frame(height: int, x_marks: Sequence[tuple[float, float]], y: _Axis, titles: tuple[str, str]) -> list[str]:
    """The axes of a plot with their grid and titles.

    Args:
        height: of the plot.
        x_marks: place and value of each mark of the lower axis.
        y: the other axis.
        titles: of the two.
    """
    bottom, right = height - BOTTOM, WIDTH - RIGHT
    parts = [_line(LEFT, bottom, right, bottom, "axis"), _line(LEFT, TOP, LEFT, bottom, "axis")]
    for place, value in x_marks:
        parts += [_line(place, TOP, place, bottom, "grid"), _text(place, bottom + 15, _number(value), "middle")]
    for value in ticks(y.low, y.high):
        parts += [_line(LEFT, y(value), right, y(value), "grid"), _text(LEFT - 6, y(value) + 4, _number(value), "end")]
    turned = f"translate(12 {(TOP + bottom) / 2:.0f}) rotate(-90)"
    return [
        *parts,
        _text((LEFT + right) / 2, height - 8, titles[0], "middle", "title"),
        f'<text class="title" text-anchor="middle" transform="{turned}">{escape(titles[1])}</text>',
    ]


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _text(x: float, y: float, text: str, anchor: str, kind: str = "label") -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _circle(x: float, y: float, radius: float, kind: str, told: str) -> str:
    """A circle that tells what it stands for when the mouse rests on it."""
    return f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}"><title>{escape(told)}</title></circle>'


def _svg(width: int, height: int, parts: Sequence[str], title: str) -> str:
    opening = f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape(title)}">'
    return f"{opening}<title>{escape(title)}</title>{''.join(parts)}</svg>"
