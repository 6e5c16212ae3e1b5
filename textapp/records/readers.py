"""Files of examples -> rows of named fields: .csv .tsv .jsonl .json .txt, each also .gz. What a row means is not ours.

A row at fault is an error of its own (`RowError`), so that a caller may go on behind it; what is wrong with a whole
file (`DataError`: empty, a missing column) ends the reading.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from textapp.errors import DataError
from textapp.records.columns import Columns, find_columns, missing_column, names_of, normalised
from textapp.records.files import Source, broken_byte, expand, kind_of, read_source
from textapp.records.tables import Cells, csv_rows, tsv_rows

__all__ = ["KINDS", "Row", "RowError", "expand", "read_rows", "scan_lines", "scan_rows", "scan_stream"]

FASTTEXT_PREFIX = "__label__"
KINDS = (".csv", ".tsv", ".jsonl", ".json", ".txt")


class Row(NamedTuple):
    """One example as it stands in a file.

    Attributes:
        line: where it starts, counted from 1.
        values: field -> string; several values (a list in JSON, fastText labels) are joined by newlines.
    """

    line: int
    values: dict[str, Any]


class RowError(DataError):
    """One row is at fault. `line` is counted from 1; `input` is what could be read of it."""

    def __init__(self, path: Path, line: int, message: str, found: str = "") -> None:
        super().__init__(f"{path}:{line}: {message}")
        self.line = line
        self.input = found


def read_rows(
    path: Path,
    columns: Columns,
    header: str | bool = "auto",
    pattern: str | None = None,
    required: Collection[str] = (),
    known_labels: Collection[str] = (),
) -> Iterator[Row]:
    """Reads the rows of one file.

    Args:
        path: a file of one of `KINDS`, or any file where a pattern is given.
        columns: field -> number of its column counted from 0, or names that may stand for it.
        header: does the first line name the columns? `auto`: told from the file.
        pattern: a regular expression whose groups are the fields, for one line each.
        required: the fields that every row must have.
        known_labels: a first line with one of these is no header; empty where they are still to be found.

    Raises:
        DataError: the file is empty, a required column is missing, or a row cannot be read (with its line).

    Example: a file `label,text` / `1,good` gives `Row(2, {"text": "good", "label": "1"})`.
    """
    for row in scan_rows(path, columns, header, pattern, required, known_labels):
        if isinstance(row, RowError):
            raise row
        yield row


def scan_rows(
    path: Path,
    columns: Columns,
    header: str | bool = "auto",
    pattern: str | None = None,
    required: Collection[str] = (),
    known_labels: Collection[str] = (),
) -> Iterator[Row | RowError]:
    """Like `read_rows`, but gives the error of a row in its place and goes on behind it."""
    kind = kind_of(path)
    if pattern is None and kind not in KINDS:
        found = f"the ending {kind!r}" if kind else "a name without an ending"
        raise DataError(f"{path}: found {found}, expected one of {', '.join(KINDS)} (each also .gz){_instead(columns)}")
    source = read_source(path)
    if pattern is not None:
        rows = _pattern_rows(path, source, pattern, required)
    elif kind == ".txt" and "source" in columns:
        rows = _sentence_rows(path, source, columns, header, required)
    elif kind == ".txt":
        rows = _text_rows(path, source, required)
    elif kind in (".json", ".jsonl"):
        rows = _object_rows(path, source, kind, columns, required)
    else:
        rows = _table_rows(path, source, kind, columns, header, required, known_labels)
    some = False
    for row in rows:
        some = True
        yield row
    if not some:
        raise DataError(f"{path}: has no rows; expected at least one example after the header")


def scan_lines(path: Path, field: str) -> Iterator[Row | RowError]:
    """Every line of any file as one text, the empty ones too, so that answers stand beside their lines."""
    yield from _every_line(path, read_source(path), field)


def scan_stream(stream: Iterable[str], name: str, field: str) -> Iterator[Row | RowError]:
    """The same of lines that come one by one, `sys.stdin` with errors="surrogateescape"; `name` stands in errors."""
    for line, content in enumerate(stream, start=1):
        content = (content.removeprefix("\ufeff") if line == 1 else content).rstrip("\r\n")
        fault = broken_byte(content)
        yield Row(line, {field: content}) if fault is None else RowError(Path(name), line, fault, _readable(content))


def _instead(columns: Columns) -> str:
    """What else serves the task that has these columns, where the ending of a file does not."""
    if "source" in columns:
        return (
            ", or sources and targets in two files: --data SOURCE --data TARGET, in a config {source: .., target: ..}"
        )
    return ", or a pattern for its lines" if "label" in columns else ""


# --- tables --------------------------------------------------------------------------------------------------------


def _table_rows(
    path: Path,
    source: Source,
    kind: str,
    columns: Columns,
    header: str | bool,
    required: Collection[str],
    known_labels: Collection[str] = (),
) -> Iterator[Row | RowError]:
    rows = list(csv_rows(source.text) if kind == ".csv" else tsv_rows(source.text))
    placement = find_columns(path, [row.cells for row in rows], columns, header, required, known_labels)
    width = len(rows[0].cells)
    needed = 1 + max((index for field, index in placement.indices.items() if field in required), default=0)
    # Without a header a .tsv may well have further cells in some rows; in a .csv they are a text with commas.
    most = width if placement.has_header or kind == ".csv" else None
    fields = list(placement.indices.items())
    for row in rows[1:] if placement.has_header else rows:
        cells = row.cells
        fault = row.fault or (_broken(source, row) if source.broken else None)
        if fault is None and len(cells) < needed:
            fault = f"found {len(cells)} cells, expected {width if placement.has_header else needed}{_cut(kind)}"
        elif fault is None and most is not None and len(cells) > most and any(cells[most:]):
            first = "the header" if placement.has_header else "the first row"
            fault = f"found {len(cells)} cells, but {first} has {most}: quote a text that holds the delimiter"
        if fault is not None:
            yield RowError(path, row.line, fault, _readable("\t".join(cells)))
        else:
            yield Row(row.line, {field: cells[index] if index < len(cells) else "" for field, index in fields})


def _cut(kind: str) -> str:
    return " divided by tabs" if kind == ".tsv" else ""


def _broken(source: Source, row: Cells) -> str | None:
    return next((source.broken[line] for line in range(row.line, row.last_line + 1) if line in source.broken), None)


def _readable(text: str) -> str:
    """The text with U+FFFD for what no UTF-8 file can hold."""
    return text.encode("utf-8", errors="replace").decode("utf-8").strip()


# --- lines ---------------------------------------------------------------------------------------------------------


def _lines(path: Path, source: Source) -> Iterator[tuple[int, str] | RowError]:
    """The lines that hold something, without their ends; an error for each that is not UTF-8."""
    for line, content in enumerate(source.text.split("\n"), start=1):
        if line in source.broken:
            yield RowError(path, line, source.broken[line], _readable(content))
        elif content and not content.isspace():
            yield line, content.removesuffix("\r")


def _every_line(path: Path, source: Source, field: str) -> Iterator[Row | RowError]:
    for line, content in enumerate(source.text.removesuffix("\n").split("\n"), start=1):
        if line in source.broken:
            yield RowError(path, line, source.broken[line], _readable(content))
        else:
            yield Row(line, {field: content.removesuffix("\r")})


def _pattern_rows(path: Path, source: Source, pattern: str, required: Collection[str]) -> Iterator[Row | RowError]:
    match = re.compile(pattern).fullmatch
    for item in _lines(path, source):
        if isinstance(item, RowError):
            yield item
            continue
        line, content = item
        found = match(content)
        if found is None and "label" not in required:
            found = re.match(r"(?P<text>.*)", content)  # a line without its label is a text to classify
        values = {field: value for field, value in found.groupdict().items() if value is not None} if found else {}
        if not values or any(field not in values for field in required):
            yield RowError(path, line, f"found {content[:80]!r}, which the pattern {pattern!r} does not match", content)
        else:
            yield Row(line, values)


def _text_rows(path: Path, source: Source, required: Collection[str]) -> Iterator[Row | RowError]:
    """FastText lines where the first line is one, else every line is a text, the empty ones too."""
    fasttext = source.text.lstrip().startswith(FASTTEXT_PREFIX)
    if not fasttext and "label" in required:
        raise DataError(
            f"{path}: found no labels; expected lines such as '{FASTTEXT_PREFIX}good I liked it',"
            f" or a pattern such as '(?P<label>\\S+) (?P<text>.*)'"
        )
    if not fasttext:
        yield from _every_line(path, source, "text")
        return
    for item in _lines(path, source):
        yield item if isinstance(item, RowError) else Row(item[0], _fasttext_values(item[1]))


def _sentence_rows(
    path: Path, source: Source, columns: Columns, header: str | bool, required: Collection[str]
) -> Iterator[Row | RowError]:
    """Sentence pairs divided by tabs; where no target is asked for, one source a line is enough."""
    first = next(line for line in source.text.split("\n") if line.strip())
    if "\t" in first:
        yield from _table_rows(path, source, ".tsv", columns, header, required)
    elif "target" in required:
        raise DataError(
            f"{path}: found one text a line, expected source and target divided by a tab,"
            f" or two files: {{source: train.zh, target: train.en}}"
        )
    else:
        yield from _every_line(path, source, "source")


def _fasttext_values(line: str) -> dict[str, str]:
    labels, rest = [], line.strip()
    while rest.startswith(FASTTEXT_PREFIX):
        word, *others = rest.split(None, 1)
        labels.append(word.removeprefix(FASTTEXT_PREFIX))
        rest = others[0] if others else ""
    return {"text": rest, "label": "\n".join(labels)}


# --- JSON ----------------------------------------------------------------------------------------------------------


def _object_rows(
    path: Path, source: Source, kind: str, columns: Columns, required: Collection[str]
) -> Iterator[Row | RowError]:
    for field, column in columns.items():
        if isinstance(column, int):
            raise DataError(
                f"{path}: found column {column} for {field}; JSON has names: set columns: {{{field}: NAME}}"
            )
    items = list(_json_lines(path, source) if kind == ".jsonl" else _json_array(path, source))
    for field in required:
        _check_key(path, field, names_of(columns[field]), [item[1] for item in items if not isinstance(item, RowError)])
    for item in items:
        if isinstance(item, RowError):
            yield item
            continue
        line, content = item
        try:
            yield Row(line, _object_values(path, line, content, columns, required))
        except RowError as error:
            yield error


def _check_key(path: Path, field: str, names: Sequence[str], objects: Sequence[Any]) -> None:
    """Raises a DataError where no object has a field: then it is the config that is at fault, and not a row."""
    found = [content for content in objects if isinstance(content, dict)]
    wanted = {normalised(name) for name in names}
    if found and not any(normalised(key) in wanted for content in found for key in content):
        raise missing_column(path, field, names, list(found[0]))


def _json_lines(path: Path, source: Source) -> Iterator[tuple[int, Any] | RowError]:
    for item in _lines(path, source):
        if isinstance(item, RowError):
            yield item
            continue
        line, content = item
        try:
            yield line, json.loads(content)
        except (ValueError, RecursionError) as error:
            yield RowError(path, line, f"not JSON ({error}): expected one object a line", content)


def _json_array(path: Path, source: Source) -> Iterator[tuple[int, Any]]:
    """The objects of a `.json` array, each with the line where it starts."""
    if source.broken:
        line, fault = next(iter(source.broken.items()))
        raise DataError(f"{path}:{line}: {fault}")
    decoder, text, space = json.JSONDecoder(), source.text, re.compile(r"[\s,]*")
    position = len(text) - len(text.lstrip())
    if text[position] != "[":
        found = text[position : position + 20]
        raise DataError(f"{path}: found {found!r}, expected an array of objects (objects in lines: name it .jsonl)")
    line, counted, position = 1, 0, position + 1
    while True:
        position = space.match(text, position).end()
        line, counted = line + text.count("\n", counted, position), position
        if text[position : position + 1] == "]":
            return
        try:
            content, position = decoder.raw_decode(text, position)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{path}:{line}: not JSON ({error}): expected an array of objects") from error
        yield line, content


def _object_values(path: Path, line: int, content: Any, columns: Columns, required: Collection[str]) -> dict[str, str]:
    if not isinstance(content, dict):
        raise RowError(path, line, f"found {type(content).__name__}, expected an object", _readable(str(content)))
    found = {normalised(key): value for key, value in content.items()}
    values = {}
    for field, column in columns.items():
        names = names_of(column)
        key = next((normalised(name) for name in names if normalised(name) in found), None)
        if key is not None:
            values[field] = _joined(path, line, field, found[key])
        elif field in required:
            message = str(missing_column(path, field, names, list(content))).removeprefix(f"{path}: ")
            raise RowError(path, line, message, _readable(json.dumps(content, ensure_ascii=False)))
    return values


def _joined(path: Path, line: int, field: str, value: Any) -> str:
    """A JSON value as a string: 1.0 is `1`, true is `true`, null is empty, a list is joined by newlines."""
    if isinstance(value, str):
        # An escaped half of a surrogate pair is no character: no tokenizer could take it.
        return value if value.isascii() else value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, list):
        return "\n".join(_joined(path, line, field, part) for part in value)
    raise RowError(path, line, f"{field} is {json.dumps(value)[:60]}; expected a string, a number or a list of them")
