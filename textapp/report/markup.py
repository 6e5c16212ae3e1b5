"""Pieces of HTML. All of them escape their texts, but for cells and headings, which are HTML already."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any, NamedTuple

from textapp.metrics.size import size_words
from textapp.untrusted import NUMBER

DASH = "–"  # in a cell without a value
_STRONGEST = 0.5  # of the colour of a cell, on which text stays readable


class Column(NamedTuple):
    """A column of a table: its title, and the cell of a row as HTML; empty if the row has none."""

    title: str
    cell: Callable[[Any], str]


def table(
    first: str, head: Callable[[Any], str], columns: Sequence[Column], rows: Sequence[Any], caption: str = ""
) -> str:
    """A table whose rows have headings; columns without any cell are left out.

    Args:
        first: title of the column of headings.
        head: the heading of a row as HTML.
        columns: the others.
        rows: anything that `head` and the columns take.
        caption: above the table.
    """
    cells = [(column, [column.cell(row) for row in rows]) for column in columns]
    cells = [(column, found) for column, found in cells if any(found)]
    titles = "".join(f'<th scope="col">{bdi(column.title)}</th>' for column, _ in cells)
    body = "".join(
        f'<tr><th scope="row">{head(row)}</th>' + "".join(_cell(found[index]) for _, found in cells) + "</tr>"
        for index, row in enumerate(rows)
    )
    top = f'<thead><tr><th scope="col" class="text">{text(first)}</th>{titles}</tr></thead>'
    told = f'<p class="note">{bdi(caption)}</p>' if caption else ""
    return told + scrolled(f"<table>{top}<tbody>{body}</tbody></table>", caption or first)


def text_table(rows: Sequence[Mapping[str, str]], name: str) -> str:
    """A table of texts of any script.

    Args:
        rows: column -> text; a row may lack some.
        name: of the table, for screen readers.
    """
    names = list(dict.fromkeys(each for row in rows for each in row))
    head = "".join(f'<th scope="col" class="text">{text(each)}</th>' for each in names)
    cells = [[f'<td class="text long" dir="auto">{text(row.get(each, ""))}</td>' for each in names] for row in rows]
    body = "".join(f"<tr>{''.join(row)}</tr>" for row in cells)
    return scrolled(f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>", name)


def facts_table(rows: Mapping[str, str]) -> str:
    """A table of names and values, which are HTML; empty ones are left out."""
    body = "".join(
        f'<tr><th scope="row">{text(name)}</th><td>{value}</td></tr>' for name, value in rows.items() if value
    )
    return f'<table class="facts"><tbody>{body}</tbody></table>'


def scrolled(content: str, name: str) -> str:
    """A table that scrolls by itself where the screen is narrow, also by the keyboard."""
    return f'<div class="scroll" role="region" tabindex="0" aria-label="{escape(name)}">{content}</div>'


def heat(share: float, words: str) -> str:
    """A cell whose colour tells a share, from 0 to 1."""
    strength = _STRONGEST * min(max(share, 0.0), 1.0)
    return f'<td style="background: rgba(var(--heat), {strength:.2f})">{text(words)}</td>'


def text(value: Any) -> str:
    """A value as text."""
    return escape(str(value))


def bdi(value: Any) -> str:
    """A text of any script, whose direction does not change that of what is around it."""
    return f"<bdi>{escape(str(value))}</bdi>"


def note(words: str) -> str:
    """A paragraph in small print; nothing without words."""
    return f'<p class="note">{text(words)}</p>' if words else ""


def number(value: Any, digits: int) -> str:
    """A number with so many digits after the point; empty for anything else."""
    return f"{value:,.{digits}f}" if NUMBER.fits(value) else ""


def count(value: Any) -> str:
    """A whole number: `1,234`; empty for anything else."""
    return f"{value:,}" if isinstance(value, int) else ""


def size(value: Any) -> str:
    """A number of bytes: `1.2 MB`; empty for anything else."""
    return f'<span class="nowrap">{size_words(value)}</span>' if NUMBER.fits(value) else ""


def _cell(content: str) -> str:
    return content if content.startswith("<td") else f"<td>{content or DASH}</td>"
