"""The labels of one cell of a table: a list as JSON, Python, NumPy or PostgreSQL print it, a divider, or 0/1."""

from __future__ import annotations

import ast
import json
import re
import warnings
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from itertools import islice

from textapp.errors import visible

DIVIDERS = ("\n", "|", ";", ",")  # in the order in which they are looked for
_WIDE = ("，", "、", "；", "｜")  # they hardly stand in a name
_IN_NAMES = ("/", "&", "+", "#", ":", "·", "・", "\\", "_", "-", " ")  # they often do
MAX_CELL = 100_000  # characters of a list
_YES = frozenset({"1", "1.0", "true", "yes", "t", "y"})
_NO = frozenset({"", "0", "0.0", "false", "no", "f", "n"})
_ZERO_ONE = frozenset({"0", "1", "0.0", "1.0", "true", "false", "True", "False"})
_MISSING = frozenset({"None", "null", "NULL", "nan", "NaN"})  # without quotes, in a list
_CLOSING = {"[": "]", "{": "}", "(": ")"}
# One item of a list, in quotes or without, and what divides it from the next: a comma, or spaces as NumPy prints them.
_ITEM = re.compile(
    r"""\s*(?:(?P<quoted>'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")|(?P<bare>[^,'"\[\]{}()\s][^,\[\]{}]*))(?P<divider>\s*,|\s+|\s*$)""",
    re.DOTALL,
)
_NUMBERS = re.compile(r"[-+]?[0-9]+\.?[0-9]*(?:\s+[-+]?[0-9]+\.?[0-9]*)*")


def flag(value: str) -> bool | None:
    """Whether a label whose column holds this value is one of the text; None if the value says neither.

    Example: `1`, `1.0`, `true` and `yes` are True; `0`, `no` and an empty cell are False; `2` is None.
    """
    word = value.strip().casefold()
    return True if word in _YES else False if word in _NO else None


def broken_list(cell: str) -> bool:
    """Whether a cell, or a part of one, looks like a list but cannot be read as one: `['a'`, or `b]`."""
    begins = re.match(r"[\[{(]\s*['\"]", cell) is not None
    return begins or cell.count("[") != cell.count("]") or cell.count("{") != cell.count("}")


def listed(cell: str) -> list[str] | None:
    """The items of a cell that is a list; None if it is none.

    Args:
        cell: without spaces at its ends.

    Returns:
        The items in order, without missing ones (`None`, `null`, `nan` without quotes).

    Example: `["a", "b"]`, `['a', 'b']`, `['a' 'b']`, `{'a', 'b'}`, `('a', 'b')`, `[a, b]` and `{a,b}` are all `a`, `b`.
    """
    if cell == "set()":
        return []
    if len(cell) > MAX_CELL or len(cell) < 2 or _CLOSING.get(cell[0]) != cell[-1]:
        return None
    inside = cell[1:-1].strip()
    if not inside:
        return None if cell[0] == "(" else []
    if cell[0] != "(" and _NUMBERS.fullmatch(inside):  # as NumPy prints numbers
        return inside.split()
    items, quoted, position = [], False, 0
    while position < len(inside):
        match = _ITEM.match(inside, position)
        if match is None:
            return None
        if match["quoted"] is not None:
            quoted = True
            items.append(_unquoted(match["quoted"]))
        elif (bare := match["bare"].strip()) not in _MISSING:
            items.append(bare)
        position = match.end()
    if cell[0] == "(" and not quoted:
        return None
    divider = None if quoted or len(items) != 1 else next((each for each in ("|", ";") if each in items[0]), None)
    return items if divider is None else [item.strip() for item in items[0].split(divider)]


def divided(cell: str, divider: str) -> list[str]:
    """The parts of a cell between its dividers, without spaces at their ends; with an empty divider the whole cell."""
    return cell.split(divider) if divider else [cell]


def divider_of(cells: Collection[str]) -> str | None:
    """The divider of labels in a column: the first of newline | ; , that occurs in a cell which is no list.

    Args:
        cells: of the column.

    Returns:
        None if none of them occurs.
    """
    characters = set("".join(cell for cell in cells if listed(cell) is None))
    return next((divider for divider in DIVIDERS if divider in characters), None)


def other_dividers(cells: Iterable[str], divider: str) -> dict[str, list[str]]:
    """The dividers that also occur in the parts of cells, and the parts.

    Args:
        cells: of the column.
        divider: the one that divides.

    Example: for the cells `Toys, Games;Books` and `;` it is `{",": ["Toys, Games"]}`.
    """
    parts = {part.strip() for cell in cells if listed(cell) is None for part in divided(cell, divider)}
    found = {other: sorted(part for part in parts if other in part) for other in DIVIDERS + _WIDE}
    return {other: examples for other, examples in found.items() if examples and other != divider}


def possible_dividers(cells: Iterable[str]) -> dict[str, list[str]]:
    """The characters that are not looked for and may divide labels, and the cells that have them.

    A character that names often have is one only if most parts of these cells occur in other cells too.

    Args:
        cells: of the column, without `DIVIDERS`.

    Example: for the cells `a/b`, `b/c` and `a` it is `{"/": ["a/b", "b/c"]}`, and empty for `Toys/Games` and `Books`.
    """
    distinct = sorted({cell.strip() for cell in cells if listed(cell) is None})
    found = {divider: [cell for cell in distinct if divider in cell] for divider in _WIDE + _IN_NAMES}
    wide = {divider: found[divider] for divider in _WIDE if found[divider]}
    others = (divider for divider in _IN_NAMES if found[divider] and _parts_recur(distinct, divider))
    return wide or {divider: found[divider] for divider in islice(others, 1)}


def _parts_recur(cells: Sequence[str], divider: str) -> bool:
    counts = Counter(part for cell in cells for part in {part.strip() for part in cell.split(divider)})
    parts = {part.strip() for cell in cells if divider in cell for part in cell.split(divider)}
    return 2 * sum(counts[part] > 1 for part in parts) > len(parts)


def is_vector(items: Sequence[str]) -> bool:
    """Whether the items of a list are a 0/1 for each label, `[0, 1, 0]`, instead of names: names do not repeat."""
    return len(set(items)) < len(items) and set(items) <= _ZERO_ONE


def all_vectors(lists: Collection[Sequence[str]]) -> bool:
    """Whether all lists of a column are a 0/1 for each label: of one length above 1, as `[0, 1]` and `[1, 0]` are."""
    return len({len(items) for items in lists}) == 1 and all(
        len(items) > 1 and set(items) <= _ZERO_ONE for items in lists
    )


def named(divider: str) -> str:
    """The divider as a message shows it."""
    return "line breaks" if divider == "\n" else f"'{visible(divider)}'"


def _unquoted(literal: str) -> str:
    if "\\" not in literal:
        return literal[1:-1]
    if literal[0] == '"':
        try:
            return str(json.loads(literal))
        except ValueError:  # an escape that only Python has
            pass
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of an escape that Python does not have
            return str(ast.literal_eval(literal.replace("\n", "\\n")))
    except (ValueError, SyntaxError):  # a broken escape: as it is written
        return literal[1:-1]
