"""Questions with their contexts and answers: the JSON of SQuAD, or tables with one question a row.

A record is `{"id", "question", "context", "answers": [{"text", "start"}], "where"}`: `start` counts characters, and is
None if the answer is not in the context; `where` names the file and the line or the question, for messages.
"""

from __future__ import annotations

import json
import logging
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from textapp.errors import DataError, is_blank, plural
from textapp.records.files import expand, kind_of, read_source
from textapp.records.json_objects import BROKEN, Repeated, whole
from textapp.records.layout import Layout
from textapp.records.readers import scan_rows
from textapp.records.rows import Row, RowError
from textapp.records.sources import Source, describe

_logger = logging.getLogger("textapp")
FIELDS = ("question", "context")
_MEND = "mend or delete it, or set data.misplaced_answers: skip"
_AROUND = 'write {"data": [{"paragraphs": [{"context": "...", "qas": [...]}]}]}'
_NO_ARTICLES = re.compile(r'"data"\s*:\s*\[\s*\]')


def load_questions(
    source: Source, layout: Layout, data_dir: Path, fields: Sequence[str] = FIELDS
) -> list[dict[str, Any]]:
    """Loads questions with their answers.

    Args:
        source: the files.
        layout: the columns of tables.
        data_dir: the folder that relative paths start at.
        fields: what a row needs besides its answer; without a context it is empty.

    Raises:
        DataError: a file is not in SQuAD's layout, a column is missing, or a row cannot be read.
    """
    records = list(read_questions(source, layout, data_dir, fields))
    _warn_of_equal_ids(records, source)
    return records


def read_questions(
    source: Source, layout: Layout, data_dir: Path, fields: Sequence[str] = FIELDS
) -> Iterator[dict[str, Any]]:
    """Yields what `load_questions` returns, while it reads; equal ids are not looked for.

    Args:
        source, layout, data_dir, fields: as for `load_questions`.

    Raises:
        DataError: as for `load_questions`.
    """
    for _, record in _scan(source, layout, data_dir, (*fields, "answer")):
        if isinstance(record, RowError):
            raise record
        yield record


def scan_questions(
    source: Source, layout: Layout, data_dir: Path, fields: Sequence[str] = FIELDS
) -> Iterator[tuple[int, dict | RowError]]:
    """Yields line number and record of each question; its answers may be missing.

    Args:
        source: the files.
        layout: the columns of tables.
        data_dir: the folder that relative paths start at.
        fields: what a row needs; without a context it is empty.
    """
    yield from _scan(source, layout, data_dir, fields)


def _scan(
    source: Source, layout: Layout, data_dir: Path, required: Sequence[str]
) -> Iterator[tuple[int, dict | RowError]]:
    for path in expand(source, data_dir):
        document = _squad_document(path, layout.encoding) if kind_of(path) in (".json", ".jsonl") else None
        if document is not None:
            yield from enumerate(_of_squad(path, document, answered="answer" in required), start=1)
            continue
        for row in scan_rows(path, layout, required):
            if isinstance(row, RowError):
                yield row.line, row
            else:
                try:
                    yield row.line, _of_row(path, row, "start" in layout.columns)
                except RowError as error:
                    yield row.line, error


def with_answers(records: list[dict], source: Source, strict: bool) -> list[dict]:
    """The records that can be trained on: with a question and a context, and an answer that stands in it, or none.

    An answer whose place is wrong is looked for in the context: it is taken if it occurs once. Others are dropped, with
    a warning that counts and names them.

    Args:
        records: as `load_questions` returned them.
        source: the files, for messages.
        strict: raise an error instead of dropping a record.

    Raises:
        DataError: a record has to be dropped although `strict`, or none is left.
    """
    kept, dropped = [], []
    for record in records:
        reason = _unusable(record)
        if reason is None:
            kept.append(record)
        else:
            dropped.append(f"{record['where']}: {reason}")
    if dropped and strict:
        raise DataError(f"{dropped[0]}: {_MEND}")
    if dropped:
        _logger.warning(
            "%s: dropped %d of %d training questions, such as %s", describe(source), len(dropped), len(records),
            "; ".join(dropped[:3]),
        )  # fmt: skip
    if not kept:
        raise DataError(f"{describe(source)}: no question can be trained on, such as {dropped[0]}")
    return kept


def is_usable(record: Mapping[str, Any], strict: bool) -> bool:
    """Whether a record can be trained on, see `with_answers`.

    Raises:
        DataError: it cannot, and `strict`.
    """
    reason = _unusable(record)
    if reason is not None and strict:
        raise DataError(f"{record['where']}: {reason}: {_MEND}")
    return reason is None


def with_written_answers(records: list[dict], source: Source) -> list[dict]:
    """The records that have an answer, each with the first one as `answer`; the others are skipped, and counted.

    Args:
        records: as `load_questions` returned them.
        source: the files, for messages.

    Raises:
        DataError: none has an answer.
    """
    kept = [{**record, "answer": record["answers"][0]["text"]} for record in records if record["answers"]]
    if records and not kept:
        raise DataError(
            f"{describe(source)}: none of {plural(len(records), 'question')} has an answer, which mode: generative "
            "learns to"
            f" write: give answers, or set mode: extractive"
        )
    if len(kept) < len(records):
        first = next(record["where"] for record in records if not record["answers"])
        _logger.warning(
            "%s: skipped %d of %d questions, which have no answer, such as %s",
            describe(source), len(records) - len(kept), len(records), first,
        )  # fmt: skip
    return kept


def read_written_answers(source: Source, layout: Layout, data_dir: Path) -> Iterator[dict]:
    """Yields the questions that `with_written_answers` keeps, and the others without `answer`, while it reads.

    Args:
        source, layout, data_dir: as for `load_questions`.
    """
    for record in read_questions(source, layout, data_dir, ("question",)):
        yield {**record, "answer": record["answers"][0]["text"]} if record["answers"] else record


def without_empty(records: list[dict], source: Source) -> list[dict]:
    """The records whose question is not empty; the others are dropped, with a warning that counts them.

    Args:
        records: as `load_questions` returned them.
        source: the files, for messages.

    Raises:
        DataError: none is left.
    """
    kept = [record for record in records if not is_blank(record["question"])]
    dropped = [record["where"] for record in records if is_blank(record["question"])]
    if not kept:
        raise DataError(f"{describe(source)}: no question can be trained on, such as {dropped[0]}: all are empty")
    if dropped:
        _logger.warning(
            "%s: dropped %d of %d training questions, which are empty, such as %s",
            describe(source), len(dropped), len(records), dropped[0],
        )  # fmt: skip
    return kept


def _unusable(record: Mapping[str, Any]) -> str | None:
    for field in ("question", "context"):
        if is_blank(record[field]):
            return f"the {field} is empty"
    if record["answers"] and all(answer["start"] is None for answer in record["answers"]):
        text = record["answers"][0]["text"]
        count = record["context"].count(text)
        where = f"occurs {count} times in the context, but not at its start" if count else "is not in the context"
        return f"the answer {text[:60]!r} {where}"
    return None


def _warn_of_equal_ids(records: Sequence[Mapping[str, Any]], source: Source) -> None:
    ids = Counter(record["id"] for record in records if record["id"] is not None)
    repeated = [name for name, count in ids.items() if count > 1]
    if repeated:
        _logger.warning(
            "%s: %d ids occur more than once, such as %r: their answers cannot be told apart by id",
            describe(source), len(repeated), repeated[0],
        )  # fmt: skip


def placed(context: str, text: str, start: int | None) -> int | None:
    """Where an answer stands in its context.

    Args:
        context: the context.
        text: the answer.
        start: where it is said to begin, in characters; None: not known.

    Returns:
        `start` if it is right, else the place of the answer if it occurs once, or None. If no place is said, the first.

    Example: `placed("a cat and a dog", "dog", 3)` is 12; `placed("a cat and a dog", "a", 5)` is None.
    """
    if start is not None and start >= 0 and context.startswith(text, start):
        return start
    first = context.find(text)
    if first < 0 or start is not None and context.find(text, first + 1) >= 0:
        return None
    return first


# --- tables --------------------------------------------------------------------------------------------------------


def _of_row(path: Path, row: Row, spans: bool) -> dict[str, Any]:
    """The record of a row.

    Args:
        path: of the file.
        row: of it.
        spans: whether several answers in a cell, and their starts, are on lines of their own; else a cell is one
            answer, as an answer in writing may have lines.
    """
    values = row.values
    record = {"id": values.get("id") or None, "question": values["question"], "context": values.get("context", "")}
    if "answer" in values:
        texts, starts = (_parts(values.get(field, ""), spans) for field in ("answer", "start"))
        if starts and len(starts) != len(texts):
            raise RowError(
                path, row.line,
                f"found {len(texts)} answers and {len(starts)} starts, expected one start for each answer, or none",
            )  # fmt: skip
        numbers = [_number(path, row.line, start) for start in starts] or [None] * len(texts)
        record["answers"] = _answers(record["context"], zip(texts, numbers, strict=True))
    return {**record, "where": f"{path}:{row.line}"}


def _parts(value: str | list[str], divided: bool) -> list[str]:
    parts = value if isinstance(value, list) else value.split("\n") if divided else [value.replace("\r\n", "\n")]
    return [part for part in parts if part.strip()]


def _number(path: Path, line: int, value: str) -> int:
    try:
        return int(value.removesuffix(".0"))  # programs write 23.0 where a column has gaps
    except ValueError as error:
        raise RowError(path, line, f"start is {value[:40]!r}, expected a number of characters from 0") from error


def _answers(context: str, answers: Any) -> list[dict[str, Any]]:
    return [{"text": text, "start": placed(context, text, start)} for text, start in answers]


# --- SQuAD ---------------------------------------------------------------------------------------------------------


def _squad_document(path: Path, encoding: str) -> dict[str, Any] | None:
    """The content of a file in SQuAD's layout; None if it has rows.

    Raises:
        DataError: it is no JSON, or parts of this layout.
    """
    source = read_source(path, encoding)
    head = source.head.lstrip()
    squad = '"qas"' in head and ('"paragraphs"' in head or '"context"' in head)
    if squad and (kind_of(path) == ".jsonl" or head.startswith("[") or '"data"' not in head):
        raise DataError(f"{path}: found parts of the JSON of SQuAD, expected it as one document in a .json: {_AROUND}")
    if kind_of(path) == ".jsonl" or not head.startswith("{"):
        return None
    if not ('"paragraphs"' in head or _NO_ARTICLES.search(head)):
        return None
    text = "".join(source.pieces())
    try:
        document = whole(text)
    except json.JSONDecodeError as error:
        if error.msg == "Extra data":
            raise DataError(
                f"{path}:{error.lineno}: found {text[error.pos : error.pos + 40]!r} behind the closing '}}', expected"
                f" the end of the file: delete it, or save it as a file of its own"
            ) from error
        at_end = error.pos >= len(text.rstrip()) - 1 or error.msg.startswith("Unterminated string")
        cut = ": the file seems to be cut off, copy it again" if at_end else ""
        raise DataError(f"{path}:{error.lineno}: not JSON ({error.msg}){cut}") from error
    except RecursionError as error:
        raise DataError(f"{path}: nested too deeply for the JSON of SQuAD") from error
    return document


def _of_squad(path: Path, document: Any, answered: bool) -> Iterator[dict[str, Any]]:
    """Yields a record for each question of SQuAD 1.1 (Rajpurkar et al., 2016) or 2.0, CMRC 2018 or XQuAD."""
    articles = _list(path, document, "data", "")
    if not articles:
        raise DataError(f"{path}: data is an empty list, expected articles with paragraphs, as in the JSON of SQuAD")
    for a, article in enumerate(articles):
        for p, paragraph in enumerate(_list(path, article, "paragraphs", f"data[{a}].")):
            at = f"data[{a}].paragraphs[{p}]."
            context = _string(path, paragraph, "context", at)
            for q, question in enumerate(_list(path, paragraph, "qas", at)):
                yield _of_question(path, question, context, f"{at}qas[{q}].", answered)


def _of_question(path: Path, question: Any, context: str, at: str, answered: bool) -> dict[str, Any]:
    text = _string(path, question, "question", at)
    name = _given(path, question, "id", at)
    record = {"id": None if name is None else str(name), "question": text, "context": context}
    if answered or "answers" in question:
        pairs = []
        given = [] if _given(path, question, "is_impossible", at) is True else _list(path, question, "answers", at)
        for index, answer in enumerate(given):
            inside = f"{at}answers[{index}]."
            start = _given(path, answer, "answer_start", inside)
            if start is not None and not (type(start) is int or isinstance(start, float) and start.is_integer()):
                raise DataError(f"{path}: {inside}answer_start is {start!r:.40}, expected a whole number of characters")
            pairs.append((_string(path, answer, "text", inside), None if start is None else int(start)))
        record["answers"] = _answers(context, [pair for pair in pairs if pair[0].strip()])
    return {**record, "where": f"{path}: question {name}" if name is not None else f"{path}: {at.removesuffix('.')}"}


def _given(path: Path, part: Any, key: str, at: str) -> Any:
    """The value of a key; None if there is none.

    Raises:
        DataError: it occurs twice, with different values.
    """
    if isinstance(part, Repeated) and key in part.names:
        raise DataError(f"{path}: {at.removesuffix('.') or 'the document'}: {part.twice()}")
    return part.get(key) if isinstance(part, dict) else None


def _list(path: Path, part: Any, key: str, at: str) -> list[Any]:
    found = _given(path, part, key, at)
    if not isinstance(found, list):
        raise DataError(f"{path}: {at}{key} is {_kind(part, key)}, expected a list, as in the JSON of SQuAD")
    return found


def _string(path: Path, part: Any, key: str, at: str) -> str:
    found = _given(path, part, key, at)
    if not isinstance(found, str):
        raise DataError(f"{path}: {at}{key} is {_kind(part, key)}, expected a text, as in the JSON of SQuAD")
    broken = BROKEN.search(found) if not found.isascii() or "\0" in found else None
    if broken is not None:
        raise DataError(f"{path}: {at}{key} has \\u{ord(broken[0]):04x}, which no text has: delete it")
    return found


def _kind(part: Any, key: str) -> str:
    if not isinstance(part, dict):
        return f"in a {type(part).__name__}"
    return f"{part[key]!r:.40}" if key in part else "missing"
