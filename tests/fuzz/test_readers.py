"""Damaged files give records, errors of rows, or an error of ours: no traceback, no hang, no memory without bounds."""

from __future__ import annotations

import csv
import json
import os
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pytest
from damaged import BYTES, Damaged, damaged, damaged_files, text_cells
from hypothesis import given, settings
from hypothesis import strategies as st

from textapp.catalog import parse_config, recipe_of
from textapp.errors import DataError, TextappError
from textapp.recipes.splits import load_splits, settled_layout
from textapp.records.dialects import DELIMITERS
from textapp.records.files import read_source
from textapp.records.layout import Layout
from textapp.records.rows import RowError

Result = TypeVar("Result")
MOST_SECONDS, MOST_MB = 10, 1000
EXAMPLES = int(os.environ.get("TEXTAPP_FUZZ", "100"))  # of each test; more find more
# Header of a table -> the columns with which it is read.
HEADERS: dict[str, dict[tuple[str, ...], dict[str, Any]]] = {
    "classification": {
        ("text", "label"): {},
        ("label", "text"): {},
        ("id", "review", "label"): {"text": "review"},
        ("text",): {},
        ("text", "toxic", "insult"): {"label": ["toxic", "insult"]},
    },
    "translation": {("source", "target"): {}, ("en", "de"): {"source": "en", "target": "de"}, ("src", "id", "tgt"): {}},
    "generation": {("prompt", "text"): {}, ("text",): {}, ("title", "paragraphs"): {"text": "paragraphs"}},
}
MODELS = {"classification": "mlp", "translation": "transformer", "generation": "transformer"}
OTHER_ENCODINGS = ["utf-8", "auto", "gb18030", "utf-16", "cp1252"]


@st.composite
def settings_of(draw: st.DrawFn, task: str, file: Damaged) -> dict[str, Any]:
    """The `data` of a config, but for its files: mostly what fits the file."""
    right = HEADERS[task][tuple(file.header)]
    wrong = st.dictionaries(st.sampled_from([*right, "text", "source"][:2]), st.integers(0, 3), max_size=2)
    numbers = {field: file.header.index(right.get(field, field)) for field in right if isinstance(right[field], str)}
    data: dict[str, Any] = {
        "columns": draw(st.one_of(st.just(right), st.just(right), st.just(right), st.just(numbers), wrong)),
        "header": draw(st.sampled_from(["auto"] * 6 + [True, False])),
        "encoding": draw(st.sampled_from([*[file.encoding] * 12, *OTHER_ENCODINGS])),
        "validation": draw(st.sampled_from([0.1, 0.5])),
    }  # fmt: skip
    data["columns"] = {name: column for name, column in data["columns"].items() if name in recipe_of(task).keys.columns}
    if task == "classification":
        data["labels"] = "multiple" if "toxic" in file.header else draw(st.sampled_from(["single", "multiple"]))
        if draw(st.integers(0, 15)) == 0:
            data["pattern"] = r"(?P<label>\S+)\s(?P<text>.*)"
        if data["labels"] == "multiple" and draw(st.integers(0, 3)) == 0:
            data["label_separator"] = draw(st.sampled_from(["|", ";", ""]))
    if task == "translation":
        data |= draw(st.sampled_from([{}, {"source_language": "en", "target_language": "de"}]))
    return data


@contextmanager
def bounded() -> Iterator[None]:
    """Checks time and memory of one example."""
    started, before = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    assert time.monotonic() - started < MOST_SECONDS
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < MOST_MB << 10


def ours(call: Callable[[], Result]) -> Result | None:
    """What a call returns; None if it ends with an error of ours, in one line."""
    try:
        return call()
    except TextappError as error:
        assert_readable(str(error))
        return None


def assert_readable(message: str) -> None:
    assert message.strip() and "\n" not in message and len(message) < 2500, message
    message.encode("utf-8")


def answers(rows: Iterator[tuple[int, Any]]) -> list[Any]:
    """The items of a scan: records of strings, and errors of rows."""
    found = []
    for line, row in rows:
        assert line >= 1
        if isinstance(row, RowError):
            assert_readable(str(row))
            row.input.encode("utf-8")
        else:
            assert row and all(isinstance(text, str) for text in row.values())
            "".join(row.values()).encode("utf-8")
        found.append(row)
    return found


def read_in_every_way(task: str, folder: Path, source: Any, data: dict[str, Any], answered: Any) -> None:
    """Reads files as training, evaluation and prediction do."""
    recipe = recipe_of(task)
    raw = {"task": task, "run": "run", "data": {"train": source, **data}, "model": {"architecture": MODELS[task]}}
    config = ours(lambda: parse_config(raw))
    if config is None:  # such as one column for two fields
        return
    layout = Layout.of_config(config, recipe.keys)
    settled = ours(lambda: settled_layout(recipe, config, folder))
    splits = ours(lambda: load_splits(recipe, config, folder))
    assert splits is None or (settled is not None and splits.train and splits.validation)
    if settled is not None:
        labels = recipe.labels(splits.train) if splits else ()
        layout = Layout.of_manifest({**settled.to_manifest(), "labels": list(labels)}, recipe.keys)
    records = ours(lambda: recipe.load(source, layout, folder))
    found = ours(lambda: answers(recipe.scan(answered, layout, folder)))
    if records is not None and settled is not None and isinstance(source, str):
        whole = task == "generation" and ".txt" in source
        assert found is not None and len(found) >= (1 if whole else len(records))
    again = ours(lambda: answers(recipe.scan(answered, replace(layout, labels=()), folder)))
    assert (again is None) == (found is None)


@pytest.mark.parametrize("task", HEADERS)
def test_damaged_files(task: str) -> None:
    @settings(max_examples=EXAMPLES)
    @given(damaged_files(list(HEADERS[task]), task == "translation"), st.data())
    def check(file: Damaged, given: st.DataObject) -> None:
        data = given.draw(settings_of(task, file))
        with tempfile.TemporaryDirectory() as folder, bounded():
            (Path(folder) / file.name).write_bytes(file.content)
            read_in_every_way(task, Path(folder), file.name, data, Path(folder) / file.name)

    check()


# --- right values ----------------------------------------------------------------------------------------------------

characters = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
texts = st.one_of(text_cells, st.text(characters, max_size=20))


def texts_of(task: str, path: Path) -> list[Any]:
    """The answers' texts of a file: what `predict --input` reads."""
    recipe = recipe_of(task)
    config = {"task": task, "run": "run", "data": {"train": "a.csv"}, "model": {"architecture": MODELS[task]}}
    layout = Layout.of_config(parse_config(config), recipe.keys)
    found = [row for _, row in recipe.scan(path, layout, path.parent)]
    return [row if isinstance(row, RowError) else next(iter(row.values())) for row in found]


@pytest.mark.parametrize(("task", "header"), [
    ("classification", ("text", "label")), ("classification", ("label", "text")), ("classification", ("text",)),
    ("translation", ("source", "target")), ("translation", ("source",)), ("generation", ("prompt", "text")),
])  # fmt: skip
def test_what_the_csv_module_writes_is_read_row_by_row(task: str, header: tuple[str, ...]) -> None:
    asked = header.index({"classification": "text", "translation": "source", "generation": "prompt"}[task])

    @settings(max_examples=EXAMPLES)
    @given(
        st.lists(st.tuples(*[texts] * len(header)), min_size=1, max_size=12), st.sampled_from(DELIMITERS),
        st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]), st.sampled_from(["\n", "\r\n"]),
    )  # fmt: skip
    def check(rows: list[tuple[str, ...]], delimiter: str, quoting: int, end: str) -> None:
        if end == "\n" and quoting == csv.QUOTE_MINIMAL:  # before Python 3.13 it does not quote a lone \r then
            rows = [tuple(cell.replace("\r", "") for cell in row) for row in rows]
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "a.csv"
            with path.open("w", encoding="utf-8", newline="") as file:
                writer = csv.writer(file, delimiter=delimiter, quoting=quoting, lineterminator=end)
                writer.writerows([header, *rows])
            assert texts_of(task, path) == [row[asked] for row in rows]

    check()


@pytest.mark.parametrize("task", HEADERS)
def test_what_the_json_module_writes_is_read_object_by_object(task: str) -> None:
    field = {"classification": "text", "translation": "source", "generation": "prompt"}[task]

    @settings(max_examples=EXAMPLES)
    @given(
        st.lists(texts, min_size=1, max_size=12), st.sampled_from([None, 0, 1]), st.booleans(), st.sampled_from("alw")
    )
    def check(rows: list[str], indent: int | None, escaped: bool, form: str) -> None:
        objects = [{"id": number, field: text} for number, text in enumerate(rows)]
        content = {
            "a": lambda: json.dumps(objects, indent=indent, ensure_ascii=escaped),
            "l": lambda: "".join(json.dumps(each, ensure_ascii=escaped) + "\n" for each in objects),
            "w": lambda: json.dumps({"data": objects}, indent=indent, ensure_ascii=escaped),
        }[form]()  # fmt: skip
        with tempfile.TemporaryDirectory() as folder:
            for name in ("a.json", "a.jsonl"):
                path = Path(folder) / name
                path.write_text(content, encoding="utf-8", newline="")
                assert texts_of(task, path) == rows

    check()


@given(
    st.text(st.one_of(characters, st.sampled_from("\r\n\n a酒")), min_size=1, max_size=60).filter(str.strip),
    st.sampled_from(["utf-8", "utf-8-sig", "gb18030", "utf-16", "utf-32"]), st.integers(1, 9),
)  # fmt: skip
@settings(max_examples=EXAMPLES)
def test_lines_and_pieces_lose_nothing(text: str, encoding: str, size: int) -> None:
    text = text.removeprefix("\ufeff")
    expected = text.replace("\r", "\n") if "\r" in text and "\n" not in text else text
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        path = Path(folder) / "a.txt"
        path.write_bytes(text.encode(encoding))
        patch.setattr("textapp.records.files._PIECE", size)
        source = read_source(path, encoding)
        lines = list(source.lines())
        assert lines == expected.splitlines(keepends=True) or "".join(lines) == expected
        assert all(line.endswith("\n") for line in lines[:-1]) and not source.broken
        assert "".join(read_source(path, encoding).pieces()) == expected


@given(damaged(("good\nfine\n酒店\nbad\n" * 3).encode(), BYTES), st.integers(1, 9))
@settings(max_examples=EXAMPLES)
def test_lines_and_pieces_find_the_same_first_fault(data: bytes, size: int) -> None:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        path = Path(folder) / "a.txt"
        path.write_bytes(data)
        patch.setattr("textapp.records.files._PIECE", size)
        try:
            source = read_source(path)
        except DataError:
            return
        lines = list(source.lines())
        faults = [f"{path}:{line}: {fault}" for line, fault in sorted(source.broken.items())]
        try:
            assert "".join(read_source(path).pieces()) == "".join(lines) and not faults
        except DataError as error:
            assert str(error).partition(", which")[0] == faults[0].partition(", which")[0]
