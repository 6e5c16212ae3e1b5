"""Names tables that are something else, such as JSON or lines of fastText, and says how to have them read."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping

from textapp.records.dialects import sep_line

_LINES = 20  # the first lines, of which the form of a file is seen
_FASTTEXT = re.compile(r'\s*"?__label__[^\s,;|"]+ +[^\s,;|]')
_SEPARATORS = ("\t", ",", ";", "||", "|", "::", "^", "~", "\x01")
_SPACES = re.compile(r" {2,}")
_XML = re.compile(r"\s*<(\?xml|!doctype|tmx|srcset|refset|tstset|mteval)\b", re.IGNORECASE)
_MARKDOWN = re.compile(r"\s*\|?(?:\s*:?-{3,}:?\s*\|)+\s*(?::?-{3,}:?\s*)?")
_USUAL = {".csv": ",;\t", ".tsv": "\t"}
_NAMED = {"\t": "a tab"}
_KINDS = {",": ".csv", ";": ".csv", "\t": ".tsv"}

Names = Mapping[str, Collection[str]]  # field -> names that its column may have, normalised


def misnamed(head: str, kind: str, names: Names) -> str | None:
    """What a file is, if it is certainly not what its extension says, and the mend; None if it may be.

    Args:
        head: its first characters.
        kind: its extension.
        names: of the columns.

    Example: of a `.tsv` whose first line is `text,label` it says that `,` separates its cells: rename it to `.csv`.
    """
    lines = _first_lines(head)
    if kind in (".csv", ".tsv"):
        if lines and sep_line(lines[0][1]) is not None:
            return None
        return _other_form(head, lines, kind, names) or _named_otherwise(lines, kind, names)
    if kind in (".json", ".jsonl") and lines and lines[0][1].lstrip()[:1] not in ("{", "["):
        return _table(lines, kind, names)
    return None


def looks_like(head: str, kind: str, names: Names) -> str | None:
    """What a file seems to be that cannot be read as what its extension says, and the mend; None if that is not known.

    Args:
        head, kind, names: as for `misnamed`.
    """
    lines = _first_lines(head)
    return misnamed(head, kind, names) or _table(lines, kind, names)


def _first_lines(head: str) -> list[tuple[int, str]]:
    """The first lines that are not blank, with their numbers; of a long file not the last, which may be cut."""
    lines = head[: 1 << 16].split("\n")
    lines = lines[:-1] if len(lines) > 1 and len(head) > 1 << 16 else lines
    return [(number, line.rstrip("\r")) for number, line in enumerate(lines, start=1) if line.strip()][:_LINES]


def _other_form(head: str, lines: list[tuple[int, str]], kind: str, names: Names) -> str | None:
    if len(lines) > 1 and _MARKDOWN.fullmatch(lines[1][1]):
        return "looks like a table of Markdown: save it as .csv"
    objects = [line for _, line in lines[:3] if _is_object(line)]
    if objects and len(objects) == len(lines[:3]):
        return "looks like JSON, an object a line: rename it to .jsonl"
    if re.match(r"\s*\[\s*\{\s*\"", head) or (lines and re.match(r'\s*\{\s*(?:"[^"]*"\s*:|$)', lines[0][1])):
        return "looks like JSON: rename it to .json"
    if _XML.match(head):
        return "looks like XML: rename it to .xml, or a translation memory to .tmx"
    fasttext = [number for number, line in lines if _FASTTEXT.match(line)]
    if any(field.startswith("label") for field in names) and fasttext and 2 * len(fasttext) >= len(lines):
        return f"line {fasttext[0]} is in fastText's form ('__label__X text'), as most are: rename the file to .txt"
    return None


def _is_object(line: str) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


def _named_otherwise(lines: list[tuple[int, str]], kind: str, names: Names) -> str | None:
    """For a first line that has names of the columns only if it is split by another delimiter, and one above them."""
    if lines and not any(one in lines[0][1] for one in _USUAL[kind]):
        for separator in _splitting(lines, 1):
            if len(_fields(lines[0][1].split(separator), names)) > 1:
                return _mend(separator, kind)
        if len(_fields(_SPACES.split(lines[0][1]), names)) > 1:
            return "its cells are separated by spaces: put a tab between them, and rename it to .tsv"
    return _header_below(lines, names)


def _header_below(lines: list[tuple[int, str]], names: Names) -> str | None:
    """For a line above the header, such as a comment or a title."""
    for number, line in lines[1:]:
        for separator in _SEPARATORS:
            if len(_fields(line.split(separator), names)) > 1 and not _fields(lines[0][1].split(separator), names):
                above = f"line {lines[0][0]}" if number - lines[0][0] == 1 else f"lines {lines[0][0]} to {number - 1}"
                return f"line {number} looks like the header: delete what is above it ({above})"
    return None


def _table(lines: list[tuple[int, str]], kind: str, names: Names) -> str | None:
    """For lines that a delimiter splits evenly, which is none of the format."""
    if not lines or any(one in lines[0][1] for one in _USUAL.get(kind, "")) or sep_line(lines[0][1]) is not None:
        return None
    separator = next(_splitting(lines, 2), None)
    if separator is None or (kind == ".txt" and separator != "\t" and not _fields(lines[0][1].split(separator), names)):
        return None
    return _mend(separator, kind)


def _splitting(lines: list[tuple[int, str]], least: int) -> Iterator[str]:
    """The delimiters that split all lines, at least so many, into equally many cells."""
    for separator in _SEPARATORS:
        counts = {line.count(separator) for _, line in lines}
        quoted = separator in (",", ";") and any('"' in line for _, line in lines)
        if len(lines) >= least and 0 not in counts and (len(counts) == 1 or quoted):
            yield separator


def _mend(separator: str, kind: str) -> str:
    shown = _NAMED.get(separator, repr(separator))
    found = f"its cells are separated by {shown}"
    other = _KINDS.get(separator)
    if other is not None and other != kind:
        return f"{found}, as those of a {other}: rename it to {other}"
    if len(separator) > 1:
        return f"{found}: put a tab between them instead, and rename it to .tsv"
    if kind not in (".csv", ".tsv"):
        return f"{found}: rename it to .csv, and put the line sep={separator} above the first"
    return f"{found}: put the line sep={separator} above the first"


def _fields(cells: list[str], names: Names) -> set[str]:
    keys = {cell.strip().strip("\"'\ufeff").strip().casefold() for cell in cells}
    return {field for field, known in names.items() if keys & set(known)}
