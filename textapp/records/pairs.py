"""Sentence pairs for translation, from parallel files or from tables."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator
from itertools import chain, zip_longest
from pathlib import Path

from textapp.errors import DataError, plural, visible
from textapp.records.files import expand, kind_of, read_source
from textapp.records.layout import Layout
from textapp.records.markup import KINDS as MARKUP
from textapp.records.markup import refuse_markup
from textapp.records.markup_pairs import markup_rows, pairs_of_sides, segments_of_side
from textapp.records.readers import KINDS, read_rows, scan_rows
from textapp.records.rows import Row, RowError, all_lines, raised
from textapp.records.sources import Source, describe, parallel_sides

FIELDS = ("source", "target")

_ROWS = (".csv", ".tsv", ".json", ".jsonl")
_PEEKED = 1000  # lines, by which the form of a side is judged
_WRAPPED = re.compile(r"<([A-Za-z][\w:.-]*)(?:\s[^<>]*)?>.*</\1\s*>")
_TAG = re.compile(r"</?[A-Za-z][\w:.-]*(?:\s+[A-Za-z][\w:.-]*\s*=[^<>]*)?\s*/?>")

_logger = logging.getLogger("textapp")


def load_pairs(source: Source, layout: Layout, data_dir: Path) -> list[dict]:
    """Loads the sentence pairs of one source, `{"source": ..., "target": ...}`, stripped of surrounding whitespace.

    Args:
        source: tables, translation memories or test sets with references, or parallel files (of lines or segments).
        layout: the columns of tables, the languages of translation memories.
        data_dir: the folder that relative paths start at.

    Raises:
        DataError: parallel files differ in their number of lines, a column is missing, or a row cannot be read.

    Example: `load_pairs({"source": "a.zh", "target": "a.en"}, layout, folder)[0]` is
    `{"source": "你好。", "target": "Hello."}`.
    """
    return list(read_pairs(source, layout, data_dir))


def read_pairs(source: Source, layout: Layout, data_dir: Path) -> Iterator[dict]:
    """Yields what `load_pairs` returns, while it reads.

    Args:
        source, layout, data_dir: as for `load_pairs`.

    Raises:
        DataError: as for `load_pairs`.
    """
    sides = parallel_sides(source)
    if sides is not None:
        yield from _parallel(*sides, layout, data_dir)
        return
    for path in expand(source, data_dir):
        markup = kind_of(path) in MARKUP
        for row in raised(markup_rows(path, layout, FIELDS)) if markup else read_rows(path, layout, FIELDS):
            yield {field: row.values[field].strip() for field in FIELDS}


def scan_pairs(source: Source, layout: Layout, data_dir: Path) -> Iterator[tuple[int, dict | RowError]]:
    """Yields `(line, record)` for each text to translate, in order; the target may be missing.

    Args:
        source: tables, or files with one text per line, including empty lines: a `.txt` without tabs, or one side of
            parallel files (`test.zh`, `test.sgm`), or a translation memory.
        layout: the columns of tables.
        data_dir: the folder that relative paths start at.
    """
    for path in expand(source, data_dir):
        for row in _rows(path, layout):
            if isinstance(row, Row):
                pair = {field: text for field, text in row.values.items() if field in FIELDS}
                yield row.line, {field: text for field, text in pair.items() if field == "source" or text.strip()}
            else:
                yield row.line, row


def _rows(path: Path, layout: Layout) -> Iterator[Row | RowError]:
    if kind_of(path) in MARKUP:
        return markup_rows(path, layout, ("source",))
    if kind_of(path) in KINDS:
        return scan_rows(path, layout, ("source",))
    return _plain_lines(path, "source", layout.encoding)


def _plain_lines(path: Path, field: str, encoding: str) -> Iterator[Row | RowError]:
    source = read_source(path, encoding)
    refuse_markup(source)
    return all_lines(path, source, field)


def without_empty(records: list[dict], source: Source) -> list[dict]:
    """Drops the pairs with an empty side, and warns how many these are.

    Raises:
        DataError: no pair has text on both sides.
    """
    filled = [record for record in records if record["source"] and record["target"]]
    if len(filled) < len(records):
        dropped = len(records) - len(filled)
        _logger.warning(
            "%s: dropped %d of %d training pairs: one side is empty", describe(source), dropped, len(records)
        )
    if not filled:
        raise DataError(f"{describe(source)}: no pair has text on both sides; expected a translation of each line")
    return filled


def _parallel(source: str | list[str], target: str | list[str], layout: Layout, data_dir: Path) -> Iterator[dict]:
    sources, targets = expand(source, data_dir), expand(target, data_dir)
    if len(sources) != len(targets):
        raise DataError(
            f"{describe(source)}: found {len(sources)} source files, but {len(targets)} target files"
            f" ({describe(target)}); expected the same number, in the same order"
        )
    for source_path, target_path in zip(sources, targets, strict=True):
        if kind_of(source_path) in MARKUP and kind_of(target_path) in MARKUP:
            yield from pairs_of_sides(source_path, target_path, layout)
            continue
        sides = _Side(source_path, "source", layout), _Side(target_path, "target", layout)
        for source_line, target_line in zip_longest(*sides):
            if source_line is not None and target_line is not None:  # else one file is shorter: the rest is counted
                yield {"source": source_line, "target": target_line}
        if sides[0].count != sides[1].count:
            raise DataError(_unequal(*sides))


class _Side:
    """Every line of one of two parallel files, stripped, including empty ones, as lines are paired; or every segment.

    Args:
        path: the file.
        side: `source` or `target`.
        layout: with its encoding, and the languages of segments.

    Attributes:
        count: number of lines that were read.
        first_empty: number of the first empty one; None if none is.
    """

    def __init__(self, path: Path, side: str, layout: Layout) -> None:
        self.path, self._side, self._layout = path, side, layout
        self.count, self.first_empty = 0, None

    def __iter__(self) -> Iterator[str]:
        for line in self._lines():
            self.count += 1
            if not line and self.first_empty is None:
                self.first_empty = self.count
            yield line

    def _lines(self) -> Iterator[str]:
        path, side = self.path, self._side
        if kind_of(path) in MARKUP:
            return (segment.text for segment in segments_of_side(path, side, self._layout))
        if kind_of(path) in _ROWS:
            raise DataError(_no_side(path, side, f"the extension {kind_of(path)}"))
        rows = raised(_plain_lines(path, side, self._layout.encoding))
        return _plain(path, side, (row.values[side].strip() for row in rows))


def _plain(path: Path, side: str, lines: Iterator[str]) -> Iterator[str]:
    """The lines of one side, after a check of the first that they are texts alone; warns of lines that are tags."""
    head: list[tuple[int, str]] = []
    begun, filled = [], 0
    for number, line in enumerate(lines, start=1):
        begun.append(line)
        filled += bool(line)
        head += [(number, line)] if line else []
        if filled == _PEEKED:
            break
    _check_plain(path, side, head)
    count, tags, first = 0, 0, (0, "")
    for count, line in enumerate(chain(begun, lines), start=1):
        if line.startswith("<") and _TAG.fullmatch(line):
            first = first if tags else (count, line)
            tags += 1
        yield line
    if tags:
        _logger.warning(
            "%s: of %d lines %d hold a tag alone, such as line %d, '%s', which is read as a text: delete them in both"
            " files if they are none",
            path, count, tags, first[0], visible(first[1][:40]),
        )  # fmt: skip


def _check_plain(path: Path, side: str, filled: list[tuple[int, str]]) -> None:
    """Checks that the first lines with text are texts alone."""
    if not filled:
        return
    number, first = filled[0]
    head = [line for _, line in filled]
    form = "JSON" if all(map(_is_json, head)) else "a tab" if all("\t" in line for line in head) else None
    if form is not None:
        raise DataError(_no_side(path, side, f"{form} in each line, such as '{visible(first[:40])}' in line {number}"))
    if 2 * sum(_WRAPPED.fullmatch(line) is not None for line in head) > len(head):
        raise DataError(
            f"{path}:{number}: found '{visible(first[:40])}', expected a text per line: delete the tags around the"
            f" texts, such as with sed -E 's/<[^>]*>//g'"
        )


def _is_json(line: str) -> bool:
    if line[0] not in "{[":
        return False
    try:
        return isinstance(json.loads(line), dict | list)
    except (ValueError, RecursionError):
        return False


def _no_side(path: Path, side: str, found: str) -> str:
    return (
        f"{path}: found {found}, expected a text per line, because the files of two sides are paired by line: write the"
        f" {side} texts into a .txt file, or give one table with both sides: train: PAIRS.tsv, columns: {{source: NAME,"
        f" target: NAME}}"
    )


def _unequal(source: _Side, target: _Side) -> str:
    longer = source if source.count > target.count else target
    hint = f"; line {longer.first_empty} of {longer.path.name} is empty" if longer.first_empty else ""
    return (
        f"{source.path} has {plural(source.count, 'line')}, {target.path} has {target.count:,}; expected the same "
        "number: line n of"
        f" one is the translation of line n of the other{hint}"
    )
