"""Plots of results, drawn without a display and without changing matplotlib's global state."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from textapp.errors import require

MAX_WITH_COUNTS = 25  # classes; with more of them cells do not show their count
MAX_LABEL = 24  # characters


def confusion_plot(confusion: Sequence[Sequence[int]], labels: Sequence[str], path: Path, title: str = "") -> Path:
    """Draws a confusion matrix as a PNG: rows are the true labels, columns the predicted ones.

    Colours show the share of the row, so that rare classes are as visible as frequent ones; numbers show counts.
    Labels are drawn in a font that has all of their characters; if none is installed, they are numbered from 1 in the
    given order, and the title says so.

    Args:
        confusion: counts, `[classes, classes]`.
        labels: one name per class.
        path: path of the PNG file.
        title: a line above the plot.

    Returns:
        `path`.

    Raises:
        ValueError: `confusion` is not square, or its size differs from the number of labels.
        UsageError: matplotlib is not installed.

    Example: `confusion_plot([[8, 2], [1, 9]], ["bad", "good"], Path("confusion.png"))` shows 80 % and 90 % on the
    diagonal.
    """
    counts = np.asarray(confusion, dtype=np.int64)
    if counts.shape != (len(labels), len(labels)):
        raise ValueError(
            f"confusion has the shape {counts.shape}, expected a row and a column for each of {len(labels)} labels"
        )
    figure_module = require("matplotlib.figure", "evaluate")
    canvas_module = require("matplotlib.backends.backend_agg", "evaluate")
    names, font, heading = _drawable([*labels], title)

    inches = min(24.0, max(4.5, 2.5 + 0.55 * len(labels)))
    figure = figure_module.Figure(figsize=(inches, inches), layout="constrained")
    canvas_module.FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)  # [classes, classes]
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    _write_names(axes, names, font)
    if len(labels) <= MAX_WITH_COUNTS:
        _write_counts(axes, counts, shares)
    axes.set_title(heading, fontproperties=font, fontsize=11)
    figure.savefig(path, dpi=120)
    return path


def _write_names(axes: object, names: Sequence[str], font: object) -> None:
    size = 10 if len(names) <= MAX_WITH_COUNTS else 7
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    axes.set_xticks(range(len(names)), names, rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(names)), names)
    for tick in (*axes.get_xticklabels(), *axes.get_yticklabels()):
        tick.set_fontproperties(font)
        tick.set_fontsize(size)


def _write_counts(axes: object, counts: np.ndarray, shares: np.ndarray) -> None:
    for row, column in np.ndindex(counts.shape):
        colour = "white" if shares[row, column] > 0.5 else "black"
        axes.text(column, row, str(counts[row, column]), ha="center", va="center", color=colour, fontsize=9)


def _drawable(labels: list[str], title: str) -> tuple[list[str], object, str]:
    """The names to draw, a font that has their characters, and the heading, which says if labels had to be numbered."""
    # "$" would start a formula.
    names = [_truncated(label).replace("$", r"\$") for label in labels]
    for heading in (title, ""):  # if no font has everything, the heading is left out rather than the labels
        font = _font_with("".join(names) + heading)
        if font is not None:
            return names, font, heading
    numbers = [str(number) for number in range(1, len(labels) + 1)]
    return numbers, _font_with(""), "labels are numbered in order:\nno installed font has their characters"


def _truncated(label: str) -> str:
    line = " ".join(label.split())
    return line if len(line) <= MAX_LABEL else line[: MAX_LABEL - 1] + "…"


def _font_with(text: str) -> object | None:
    """The first installed font that has every character of `text`, starting with matplotlib's own; None if none has."""
    logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)  # "building the font cache"
    manager = require("matplotlib.font_manager", "evaluate")
    loader = require("matplotlib.ft2font", "evaluate").FT2Font
    default = manager.findfont(manager.FontProperties())
    regular = [
        font.fname
        for font in manager.fontManager.ttflist
        # matplotlib's "Last Resort" claims to have every character but draws boxes.
        if font.style == "normal" and font.weight in (400, "normal") and not font.name.startswith("Last Resort")
    ]
    needed = {ord(character) for character in text if not character.isspace()}
    for file in dict.fromkeys([default, *regular]):
        try:
            font = loader(file)
            covered = all(font.get_char_index(code) for code in needed)
        except (OSError, RuntimeError):  # a font file that FreeType cannot read
            continue
        if covered:
            return manager.FontProperties(fname=file)
    return None
