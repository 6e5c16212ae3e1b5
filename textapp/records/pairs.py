"""Sentence pairs for translation: parallel files line by line, or a table, checked and without empty ones."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

from textapp.errors import DataError
from textapp.records.files import expand, kind_of, read_source
from textapp.records.layout import Layout
from textapp.records.readers import KINDS, read_rows, scan_lines, scan_rows
from textapp.records.rows import Row, RowError
from textapp.records.sources import Source, describe, parallel_sides

_logger = logging.getLogger("textapp")


def load_pairs(source: Source, layout: Layout, data_dir: Path) -> list[dict]:
    """The sentence pairs of one source, `{"source": ..., "target": ...}`, without the blanks around them.

    Raises:
        DataError: parallel files differ in their number of lines, a column is missing, or a row cannot be read.

    Example: `load_pairs({"source": "a.zh", "target": "a.en"}, layout, folder)[0]` is
    `{"source": "你好。", "target": "Hello."}`.
    """
    sides = parallel_sides(source)
    if sides is not None:
        return list(_parallel(*sides, data_dir))
    return [
        {field: row.values[field].strip() for field in ("source", "target")}
        for path in expand(source, data_dir)
        for row in read_rows(path, layout.columns, layout.header, None, ("source", "target"))
    ]


def scan_pairs(source: Source, layout: Layout, data_dir: Path) -> Iterator[tuple[int, dict | RowError]]:
    """Texts to be translated, in order, with their lines; the target may be missing.

    A `.txt` without tabs, and a side of parallel files (`test.zh`), is one text a line, the empty lines too.
    """
    for path in expand(source, data_dir):
        for row in _rows(path, layout):
            if isinstance(row, Row):
                given = {field: text for field, text in row.values.items() if field in ("source", "target")}
                yield row.line, {field: text for field, text in given.items() if field == "source" or text.strip()}
            else:
                yield row.line, row


def _rows(path: Path, layout: Layout) -> Iterator[Row | RowError]:
    if kind_of(path) in KINDS:
        return scan_rows(path, layout.columns, layout.header, None, ("source",))
    return scan_lines(path, "source")


def without_empty(records: list[dict], source: Source) -> list[dict]:
    """The pairs with something on both sides, with a warning that counts the others."""
    kept = [record for record in records if record["source"] and record["target"]]
    if len(kept) < len(records):
        dropped = len(records) - len(kept)
        _logger.warning(
            "%s: dropped %d of %d training pairs: a side of them is empty", describe(source), dropped, len(records)
        )
    if not kept:
        raise DataError(f"{describe(source)}: no pair has text on both sides; expected a translation of each line")
    return kept


def _parallel(source: str | list[str], target: str | list[str], data_dir: Path) -> Iterator[dict]:
    sources, targets = expand(source, data_dir), expand(target, data_dir)
    if len(sources) != len(targets):
        raise DataError(
            f"{describe(source)}: {len(sources)} files of sources, but {len(targets)} files of targets"
            f" ({describe(target)}); expected as many, in the same order"
        )
    for source_path, target_path in zip(sources, targets, strict=True):
        lines = _lines(source_path), _lines(target_path)
        if len(lines[0]) != len(lines[1]):
            raise DataError(_unequal(source_path, target_path, *lines))
        for one, other in zip(*lines, strict=True):
            yield {"source": one, "target": other}


def _lines(path: Path) -> list[str]:
    """Every line, the empty ones too, without the blanks around it: line n of one file belongs to line n of another."""
    source = read_source(path)
    if source.broken:
        line, fault = next(iter(source.broken.items()))
        raise DataError(f"{path}:{line}: {fault}")
    return [line.strip() for line in source.text.removesuffix("\n").split("\n")]


def _unequal(source_path: Path, target_path: Path, sources: list[str], targets: list[str]) -> str:
    more = (source_path, sources) if len(sources) > len(targets) else (target_path, targets)
    first_empty = next((line for line, text in enumerate(more[1], start=1) if not text), None)
    hint = f"; {more[0].name} has an empty line {first_empty}" if first_empty else ""
    return (
        f"{source_path} has {len(sources)} lines, {target_path} has {len(targets)}; expected as many: line n of one is"
        f" the translation of line n of the other{hint}"
    )
