"""Sentence pairs for translation, from parallel files or from tables."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator
from pathlib import Path

from textapp.errors import DataError, visible
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
    sides = parallel_sides(source)
    if sides is not None:
        return list(_parallel(*sides, layout, data_dir))
    return [
        {field: row.values[field].strip() for field in FIELDS}
        for path in expand(source, data_dir)
        for row in (
            raised(markup_rows(path, layout, FIELDS)) if kind_of(path) in MARKUP else read_rows(path, layout, FIELDS)
        )
    ]


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
        lines = _lines(source_path, "source", layout), _lines(target_path, "target", layout)
        if len(lines[0]) != len(lines[1]):
            raise DataError(_unequal(source_path, target_path, *lines))
        for source_line, target_line in zip(*lines, strict=True):
            yield {"source": source_line, "target": target_line}


def _lines(path: Path, side: str, layout: Layout) -> list[str]:
    """Every line, stripped, including empty ones, because lines of two files are paired by number; or every segment."""
    if kind_of(path) in MARKUP:
        return [segment.text for segment in segments_of_side(path, side, layout)]
    if kind_of(path) in _ROWS:
        raise DataError(_no_side(path, side, f"the extension {kind_of(path)}"))
    lines = [row.values[side].strip() for row in raised(_plain_lines(path, side, layout.encoding))]
    _check_plain(path, side, lines)
    return lines


def _check_plain(path: Path, side: str, lines: list[str]) -> None:
    """Checks that the lines of one side are texts alone, and warns of lines that are tags."""
    filled = [(number, line) for number, line in enumerate(lines, start=1) if line]
    if not filled:
        return
    number, first = filled[0]
    head = [line for _, line in filled[:_PEEKED]]
    form = "JSON" if all(map(_is_json, head)) else "a tab" if all("\t" in line for line in head) else None
    if form is not None:
        raise DataError(_no_side(path, side, f"{form} in each line, such as '{visible(first[:40])}' in line {number}"))
    if 2 * sum(_WRAPPED.fullmatch(line) is not None for line in head) > len(head):
        raise DataError(
            f"{path}:{number}: found '{visible(first[:40])}', expected a text per line: delete the tags around the"
            f" texts, such as with sed -E 's/<[^>]*>//g'"
        )
    tags = [(number, line) for number, line in filled if _TAG.fullmatch(line)]
    if tags:
        _logger.warning(
            "%s: of %d lines %d hold a tag alone, such as line %d, '%s', which is read as a text: delete them in both"
            " files if they are none",
            path, len(lines), len(tags), tags[0][0], visible(tags[0][1][:40]),
        )  # fmt: skip


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


def _unequal(source_path: Path, target_path: Path, sources: list[str], targets: list[str]) -> str:
    path, lines = (source_path, sources) if len(sources) > len(targets) else (target_path, targets)
    first_empty = next((line for line, text in enumerate(lines, start=1) if not text), None)
    hint = f"; line {first_empty} of {path.name} is empty" if first_empty else ""
    return (
        f"{source_path} has {len(sources)} lines, {target_path} has {len(targets)}; expected the same number: line n of"
        f" one is the translation of line n of the other{hint}"
    )
