"""Rows of JSON files: the forms that people have, and what is no JSON."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from itertools import product
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from textapp.errors import DataError, did_you_mean
from textapp.records.json_text import _elements, _Window
from textapp.records.label_layout import settle_labels
from textapp.records.labelled import load_labelled
from textapp.records.layout import Layout
from textapp.records.readers import scan_rows
from textapp.records.rows import RowError

A, B = '{"text": "a", "label": "x"}', '{"text": "b", "label": "y"}'
PRETTY = "\n".join(json.dumps(json.loads(each), indent=1) for each in (A, B))
COLUMNS = {"text": ["text", "sentence"], "label": ["label"]}
BOTH = ("text", "label")
HEAVY = "1" * 5000


def scan(
    folder: Path, name: str, content: str, columns: dict = COLUMNS, required: Sequence[str] = BOTH
) -> list[tuple[int, ...] | RowError]:
    (folder / name).write_text(content, encoding="utf-8")
    rows = scan_rows(folder / name, Layout(columns), required)
    return [row if isinstance(row, RowError) else (row.line, *row.values.values()) for row in rows]


def error(folder: Path, name: str, content: str, **options: object) -> str:
    with pytest.raises(DataError) as caught:
        scan(folder, name, content, **options)
    return str(caught.value).replace(f"{folder}/", "")


def only_error(folder: Path, content: str, **options: object) -> str:
    """The error of the second row, of three of which the others are read."""
    first, second, third = scan(folder, "a.jsonl", f"{A}\n{content}\n{B}\n", **options)
    assert (first, third) == ((1, "a", "x"), (3, "b", "y")) and isinstance(second, RowError)
    assert second.input == content[:199] + "…" if len(content) > 200 else content
    return str(second).replace(f"{folder}/", "")


# --- forms -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "lines"),
    [
        (f"{A}\n{B}\n", (1, 2)),
        (f"\n{A}\n\n{B}", (2, 4)),
        (f"[{A},{B}]", (1, 1)),
        (f"[{A},\n{B}]\n", (1, 2)),
        (f"[\n{A},\n{B}\n]", (2, 3)),
        (f"[\n {PRETTY.replace('}', '},', 1)}]", (2, 6)),
        (PRETTY, (1, 5)),
        (f'{{"data": [{A},\n{B}]}}', (1, 2)),
        (f'{{\n"version": "1.0",\n"examples": [\n{A},\n{B}\n], "count": 2}}', (4, 5)),
        (f'{{"features": [{{"name": "text"}}], "rows": [{A},\n\n{B}]}}', (1, 3)),
        (f'{{"note: [": "]}} \\" [", "shape": [2, 2], "data": [\n{A},\n{B}\n]}}', (2, 3)),
    ],
)
@pytest.mark.parametrize("name", ["a.json", "a.jsonl"])
def test_forms(tmp_path: Path, name: str, content: str, lines: tuple[int, int]) -> None:
    assert scan(tmp_path, name, content) == [(lines[0], "a", "x"), (lines[1], "b", "y")]


def test_objects_without_a_space_between(tmp_path: Path) -> None:
    assert scan(tmp_path, "a.json", A + B) == [(1, "a", "x"), (1, "b", "y")]


@pytest.mark.parametrize("name", ["a.json", "a.jsonl"])
def test_a_single_row_with_an_array_of_objects_is_a_row(tmp_path: Path, name: str) -> None:
    assert scan(tmp_path, name, '{"text": "a", "label": "x", "spans": [{"from": 0}]}') == [(1, "a", "x")]


def test_the_chosen_array_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "textapp")
    scan(tmp_path, "a.json", f'{{"rows": [{A}], "features": [{{"n": 1}}]}}')
    assert "a.json: the rows are the objects of 'rows' (not those of 'features')" in caplog.text


@given(
    st.lists(
        st.dictionaries(
            st.text(), st.text() | st.floats(allow_nan=False, allow_infinity=False) | st.lists(st.none()), max_size=3
        )
    )
)
def test_an_array_in_pieces(rows: list[dict]) -> None:
    text = json.dumps(rows, indent=1, ensure_ascii=False)
    window = _Window(Path("a.json"), iter(text))  # a character at a time
    assert [value.content for value in _elements(window)] == rows and window.next() == ""


def test_an_array_is_read_in_pieces() -> None:
    chunks = iter([f"[{A}", *[f",\n{A}"] * 10_000, ", broken"])
    values = _elements(_Window(Path("a.json"), chunks))
    assert [next(values).line for _ in range(3)] == [1, 2, 3]
    assert sum(1 for _ in chunks) > 5000, "all was read for three rows"


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (f'{{"data": {{"rows": [{A},\n{B}], "n": 2}}}}', "data.rows"),
        (f'{{"v": "]", "nlu": {{"common_examples": [{A},\n{B}], "synonyms": []}}}}', "nlu.common_examples"),
        (f'{{"a": {{"b": {{"c": {{"d": [{A},\n{B}]}}}}}}}}', "a.b.c.d"),
        (f'{{"errors": [{{"code": 1}}], "response": {{"items": [{A},\n{B}]}}}}', "response.items"),
        (f'{{"features": [{{"name": "text"}}], "results": [{A},\n{B}]}}', "results"),
    ],
)
def test_rows_within_objects(tmp_path: Path, caplog: pytest.LogCaptureFixture, content: str, name: str) -> None:
    caplog.set_level("INFO", "textapp")
    assert scan(tmp_path, "a.json", content) == [(1, "a", "x"), (2, "b", "y")]
    assert f"a.json: the rows are the objects of '{name}'" in caplog.text


# --- no JSON ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (f"[{A},\n{B}]\n[{A}]", ["a.json:3: found '[{", "behind the closing ']'", "all objects into one array"]),
        (f"[{A}]]", ["a.json:1: found ']' behind the closing ']'"]),
        (f"[{A}\n{B}]", ["a.json:2: found '{", "behind object 1", "put a comma"]),
        (f"[{A},\n,{B}]", ["a.json:2: found ','", "expected an object"]),
        ("[,]", ["a.json:1: found ','"]),
        (f"[{A},\n]", ["a.json:2: found ']' behind a comma"]),
        (f"[{A},\n{B}\n", ["a.json:3: the file ends after 2 objects", "starts in line 1", "expected ']'"]),
        (f"[\n{A},\n", ["a.json:3: the file ends after 1 objects"]),
        (f'[{A},\n{{"text": "b', ["a.json:2: the file ends inside the value that starts here", "cut off"]),
        (f'[{A},\n{{"text": "b",\n "label"', ["a.json:2: the file ends inside the value"]),
        (f'[{A},\n{{"text":\n b}}]', ["a.json:3: not JSON (Expecting value at 'b}]')"]),
        (f"{A},\n{B}", ["a.json:1: found a comma between two objects", "put [ before the first and ]"]),
        ('{"data": []}', ["no column for text: found 'data'"]),
        ("[]", ["a.json: has no rows"]),
        (f'{{"data": [{A}]}}\n{{"data": [{B}]}}', ["no column for text: found 'data'"]),
        (f'{{"data": [{A},\n{B}]', ["a.json:1: the file ends inside the value that starts here"]),
        (f'{{"data": [{A}], "data": [{B}]}}', ["a.json:1: the key 'data' occurs twice"]),
        ('"text"', ["a.json:1: found '\"text\"', expected an array of objects, or one object per line"]),
        (f'{{"train": [{A}], "test": [{B}]}}', ["several arrays of objects ('train', 'test')", "a file of its own"]),
        ('{"text": {"0": "a", "1": "b"}, "label": {"0": 0, "1": 1}}', ["a.json: ", 'orient="records"']),
        (f'{{"0": {A}, "1": {B}}}', ['orient="records"']),
        ('{"text": ["a", "b"], "label": [0, 1]}', ["all values of 'text', 'label'", 'orient="records"']),
        ('{"columns": ["text"], "index": [0], "data": [["a"]]}', ['orient="records"']),
        (
            '{"pos": ["a", "b"], "neg": ["c", "d"]}',
            [
                "a.json: found one object with lists of texts ('pos', 'neg'), expected an object for each example",
                'such as {"text": "...", "label": "..."}: write one per line',
            ],
        ),
        ('{"pos": ["a"], "neg": ["c", "d"]}', ["one object with lists of texts ('pos', 'neg')"]),
        ('{"train": [["a", "x"], ["b", "y"]], "test": [["c", "x"]]}', ["lists of arrays ('train', 'test')"]),
        (f'{{"a": {{"b": [{A}]}}, "c": {{"d": [{B}]}}}}', ["several arrays of objects ('a.b', 'c.d'), expected one"]),
        (f'{{"d": {{"rows": [{A}], "rows": [{B}]}}}}', ["a.json:1: the key 'rows' occurs twice, expected once"]),
    ],
)
def test_what_loses_rows_is_an_error(tmp_path: Path, content: str, words: list[str]) -> None:
    message = error(tmp_path, "a.json", content)
    assert all(word in message for word in words), message


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (f"{A} {B}", 'a.jsonl:2: found \'{"text": "b", "label": "y"}\' behind the object, expected one object per'),
        (f"{A},", "a.jsonl:2: found ',' behind the object, expected one object per line: remove the comma"),
        (f"[{A}, {B}]", "a.jsonl:2: found an array of 2 objects, expected an object"),
        ("[]", "a.jsonl:2: found an array of 0 values, expected an object"),
        ('["b", "y"]', 'found an array of 2 values, expected an object: write {"text": "...", "label": "..."}'),
        ('"b"', 'a.jsonl:2: found a string, expected an object: write {"text": "...", "label": "..."}'),
        ("null", "a.jsonl:2: found null, expected an object: write"),
        (
            '{"text": "b\\u0000", "label": 1}',
            "a.jsonl:2: found \\u0000 in 'text', a zero byte, which no text has: delete",
        ),
        ('{"text": "b", "label": ["y\\u0000"]}', "a.jsonl:2: found \\u0000 in 'label', a zero byte"),
        ('{"text": "b\\ud83d!", "label": 1}', "a.jsonl:2: found \\ud83d in 'text', half of a character: write both"),
        ('{"text": "b", "label": "\\ude00"}', "a.jsonl:2: found \\ude00 in 'label', half of a character"),
        (
            '{"text": "b", "label": {"a": 1, "b.c": false}}',
            "set labels: multiple and columns: {label: [label.a, label.b.c]}, if each is a 0/1",
        ),
        ('{"text": "b", "label": {"name": "c"}}', "set columns: {label: label.name}"),
        ("{'text': 1}", "a.jsonl:2: not JSON (Expecting property name enclosed in double quotes at \"'text': 1}\")"),
        ('{"text": "b", "label": ' + HEAVY + "}", "a.jsonl:2: found a number with more digits than can be read"),
        ('{"text": "b", "text": "c", "label": 1}', "a.jsonl:2: the key 'text' occurs twice in an object"),
        ('{"id": 1, "id": 2, "text": "b", "label": 1}', "a.jsonl:2: the key 'id' occurs twice in an object"),
        ('{"text": "b", "label": 1, "label": true}', "a.jsonl:2: the key 'label' occurs twice"),
        ('{"Text": "b", "TEXT": "c", "label": 1}', "a.jsonl:2: found the keys 'Text' and 'TEXT' with different values"),
        ('{"text": {"body": "b"}, "label": 1}', "text is an object with the keys 'body'; expected a string, a number"),
        (
            '{"text": [{"role": "user", "body": "b"}], "label": 1}',
            "text is a list of objects with the keys 'role', 'body'; expected a string, a number or a list of them, and"
            " paths do not enter lists: write an object for each text, with the text at a key of its own",
        ),
        ('{"body": "b", "label": 1}', "no column for text: found 'body', 'label'; expected one of text, sentence"),
    ],
)
def test_a_row_at_fault(tmp_path: Path, content: str, words: str) -> None:
    assert words in only_error(tmp_path, content)


@pytest.mark.parametrize(
    ("value", "field"),
    product(["[%s]", '{"a":%s}', '[{"a": %s}]', '{"text": %s, "text": 1}'], ["text", "label", "other"]),
)
@pytest.mark.parametrize("name", ["a.json", "a.jsonl"])
def test_depth_never_ends_a_file(tmp_path: Path, name: str, value: str, field: str) -> None:
    rows = [A]
    for depth in (30, 320, 480, 960, 2000, 50_000):
        before, after = value.split("%s")
        row = {"text": '"t"', "label": '"l"', field: before * depth + "0" + after * depth}
        rows.append("{" + ", ".join(f'"{key}": {text}' for key, text in row.items()) + "}")
    rows.append(B)
    content = "\n".join(rows) if name == "a.jsonl" else f"[{', '.join(rows)}]"
    first, *deep, last = scan(tmp_path, name, content)
    assert (first[1:], last[1:]) == (("a", "x"), ("b", "y")) and len(deep) == 6
    for row in deep:
        assert (
            (len(str(row)) < 500 and len(row.input) <= 200) if isinstance(row, RowError) else "0" in row or "t" in row
        )
    assert all(isinstance(row, RowError) for row in deep[-2:])


def test_a_broken_byte_in_an_array_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(b'[{"text": "a", "label": "x"},\n{"text": "\xff"},\n{"text": "b", "label": "y"}]')
    with pytest.raises(DataError, match=r"a\.json:2: byte 11 of the line is 0xff"):
        list(scan_rows(tmp_path / "a.json", Layout(COLUMNS), BOTH))


def test_long_lines(tmp_path: Path) -> None:
    """Longer than what is looked at to tell the form."""
    long = json.dumps({"text": "z" * 300_000, "label": "x"})
    for name, content in (
        ("a.jsonl", f"{long}\n{B}\n"), ("b.jsonl", f"[{long},{B}]"), ("a.json", f"{long}\n{B}\n"),
        ("b.json", f"{A}\n{long}\n{B}\n"), ("c.json", f"[{long}, {B}]"), ("d.json", f'{{"data": [{long},\n{B}]}}'),
    ):  # fmt: skip
        *_, last, end = scan(tmp_path, name, content)
        assert (len(last[1]), end[1:]) == (300_000, ("b", "y")), name


# --- values ----------------------------------------------------------------------------------------------------------


def test_numbers(tmp_path: Path) -> None:
    numbers = [
        "1",
        "1.0",
        "0.1",
        "-0.5",
        "123456789012345678901234567890",
        "NaN",
        "Infinity",
        "-Infinity",
        "1e999",
        "null",
    ]
    rows = scan(tmp_path, "a.json", "[" + ",\n".join(f'{{"text": "a", "label": {each}}}' for each in numbers) + "]")
    assert [row[2] for row in rows] == ["1", "1", "0.1", "-0.5", numbers[4], "", "", "", "", ""]


@pytest.mark.parametrize("label", ["NaN", "null", "-Infinity"])
def test_a_missing_label_is_an_error_in_training(tmp_path: Path, label: str) -> None:
    (tmp_path / "a.jsonl").write_text(f'{A}\n{{"text": "b", "label": {label}}}\n', encoding="utf-8")
    with pytest.raises(DataError, match=r"a\.jsonl:2: the label of 'b' is empty"):
        load_labelled("a.jsonl", Layout(COLUMNS), tmp_path)


def test_the_exact_key_and_equal_values_are_no_fault(tmp_path: Path) -> None:
    rows = ['{"Text": "c", "text": "a", "label": 1, "label": 1}', '{"TEXT": "b", "Text": "b", "label": 1}']
    assert scan(tmp_path, "a.jsonl", "\n".join(rows)) == [(1, "a", "1"), (2, "b", "1")]


PATHS = {"text": ["review.body"], "label": ["review.info.stars"]}


def test_paths(tmp_path: Path) -> None:
    rows = [
        '{"review": {"body": "a", "info": {"stars": 1}}}',
        '{"Review": {"Body": "b", "info.stars": 2}}',
        '{"review": {"body": "x", "info": {"stars": 3}}, "review.body": "c"}',
        '{"review": null}',
        '{"review": {"body": "d", "body": "e", "info": {"stars": 4}}}',
        '{"review": {"body": "f", "other": 1, "other": 2, "info": {"stars": 4}}}',
        '{"review": {"title": "g", "info": {"stars": 4}}}',
    ]
    *read, twice, other, none = scan(tmp_path, "a.jsonl", "\n".join(rows), columns=PATHS)
    assert read == [(1, "a", "1"), (2, "b", "2"), (3, "c", "3"), (4, "", "")]
    assert other == (6, "f", "4")
    assert "a.jsonl:5: the key 'body' occurs twice" in str(twice)
    assert "a.jsonl:7: no column for text: found 'review.title', 'review.info.stars'; expected 'review.body'" in str(
        none
    )
    content, columns = f'{{"rows": [{{"row": {A}}}]}}', {"text": ["row.text"], "label": ["row.label"]}
    assert scan(tmp_path, "b.json", content, columns=columns) == [(1, "a", "x")]


def test_a_missing_column_names_the_nested_keys(tmp_path: Path) -> None:
    content = '{"id": 1, "user": {"body": "a", "title": "b"}, "label": 1}\n' * 2
    assert error(tmp_path, "a.jsonl", content) == (
        "a.jsonl: no column for text: found 'id', 'user.body', 'user.title', 'label'; expected one of text, sentence"
        " (set columns: {text: NAME}, or --columns text=NAME)"
    )


SIDES = {"source": ["source", "src", "zh-CN"], "target": ["target", "translation", "en"]}


@pytest.mark.parametrize("name", ["a.json", "a.jsonl"])
def test_pairs_of_hugging_face(tmp_path: Path, name: str) -> None:
    content = '{"id": 0, "translation": {"zh": "一", "en": "one"}}\n{"translation": {"en": "two", "zh": "二"}}\n'
    options = {"columns": SIDES, "required": ("source", "target")}
    assert scan(tmp_path, name, content, **options) == [(1, "一", "one"), (2, "二", "two")]
    assert scan(tmp_path, name, content.splitlines()[0], **options) == [(1, "一", "one")]
    options["columns"] = {"source": ["source"], "target": ["target", "translation"]}
    assert "no column for source: found 'id', 'translation.zh', 'translation.en'" in error(
        tmp_path, name, content, **options
    )


def test_a_path_into_a_list(tmp_path: Path) -> None:
    content = '{"messages": [{"role": "user"}], "label": 1}\n' * 2
    message = error(tmp_path, "a.jsonl", content, columns={"text": ["messages.role"], "label": ["label"]})
    assert message.startswith("a.jsonl: no column for text: found 'messages', 'label'; expected 'messages.role'")
    assert message.endswith(
        "; 'messages' is a list, and paths do not enter lists: write an object for each text, with the text at a key of"
        " its own"
    )


def test_flags_of_an_object_are_columns(tmp_path: Path) -> None:
    """What the error about an object of 0/1 advises."""
    rows = ['{"text": "a", "label": {"x": 1, "y": 0}}', '{"text": "b", "label": {"x": true, "y": 1}}']
    (tmp_path / "a.jsonl").write_text("\n".join(rows), encoding="utf-8")
    layout = Layout({"text": ["text"], "label": ["label.x", "label.y"]}, multiple=True)
    layout = settle_labels("a.jsonl", layout, tmp_path)
    assert [each["label"] for each in load_labelled("a.jsonl", layout, tmp_path)] == [
        ["label.x"],
        ["label.x", "label.y"],
    ]


# --- suggestions -----------------------------------------------------------------------------------------------------


def test_a_million_names_are_told_in_no_time(tmp_path: Path) -> None:
    many = [f"column {number}" for number in range(100_000)]
    started = time.process_time()
    assert did_you_mean("epoch", ["epochs", *many]) == "; did you mean 'epochs'?"
    assert did_you_mean("x" * 1_000_000, ["x" * 1_000_000]) == ""
    for name, content in (("a.json", json.dumps([dict.fromkeys(many, 1)])), ("a.csv", ",".join(many) + "\n1")):
        message = error(tmp_path, name, content)
        assert "no column for text: found 'column 0', 'column 1'" in message and len(message) < 700
    assert time.process_time() - started < 8  # it was a minute
