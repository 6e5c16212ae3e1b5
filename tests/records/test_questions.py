"""Questions are read from SQuAD's JSON and from tables, with the place of each answer."""

from __future__ import annotations

import gzip
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from textapp.errors import DataError
from textapp.records.layout import Layout
from textapp.records.questions import load_questions, placed, scan_questions, with_answers

REAL = pytest.mark.skipif("TEXTAPP_DATA" not in os.environ, reason="TEXTAPP_DATA is not set: no real data here")
COLUMNS = {"question": ["question"], "context": ["context"], "answer": ["answer"], "start": ["start"], "id": ["id"]}
LAYOUT = Layout(COLUMNS, usual={field: tuple(names) for field, names in COLUMNS.items()},
                optional=frozenset({"id", "start"}))  # fmt: skip
CONTEXT = "春天的景色。😀 The é cat saw a cat."


def squad(questions: list[dict[str, Any]], context: str = CONTEXT) -> str:
    return json.dumps(
        {"version": "v2.0", "data": [{"title": "t", "paragraphs": [{"context": context, "qas": questions}]}]}
    )


def write(folder: Path, content: str, name: str = "a.json") -> str:
    (folder / name).write_text(content, encoding="utf-8")
    return name


@pytest.mark.parametrize(
    ("text", "start", "place"),
    [("景色", 3, 3), ("景色", 9, 3), ("cat", 14, 14), ("cat", 0, None), ("cat", None, 14), ("dog", 3, None),
     ("The", -3, 8), ("😀", 6, 6)],
)  # fmt: skip
def test_placed(text: str, start: int | None, place: int | None) -> None:
    assert placed(CONTEXT, text, start) == place


def test_squad(tmp_path: Path) -> None:
    questions = [
        {"id": "q1", "question": "什么?",
         "answers": [{"text": "景色", "answer_start": 3}, {"text": "景色", "answer_start": 0}]},
        {"id": 2, "question": "Who?", "answers": [], "is_impossible": True},
        {"question": "Where?", "answers": [{"text": "Rome", "answer_start": 1}],
         "plausible_answers": [{"text": "cat", "answer_start": 14}]},
    ]  # fmt: skip
    name = write(tmp_path, squad(questions))
    first, second, third = load_questions(name, LAYOUT, tmp_path)
    assert first == {
        "id": "q1", "question": "什么?", "context": CONTEXT,
        "answers": [{"text": "景色", "start": 3}, {"text": "景色", "start": 3}],
        "where": f"{tmp_path / name}: question q1",
    }  # fmt: skip
    assert (second["id"], second["answers"]) == ("2", [])
    assert third["id"] is None and third["answers"] == [{"text": "Rome", "start": None}]
    assert third["where"].endswith("a.json: data[0].paragraphs[0].qas[2]")


def test_tables(tmp_path: Path) -> None:
    rows = "question,context,answer,start\nWho?,The cat sat.,The cat,0\nWhere?,Rome or Rome,Rome,\nWhy?,No reason.,,\n"
    records = load_questions(write(tmp_path, rows, "a.csv"), LAYOUT, tmp_path)
    assert [record["answers"] for record in records] == [
        [{"text": "The cat", "start": 0}], [{"text": "Rome", "start": 0}], []
    ]  # fmt: skip
    lines = [{"id": "x", "question": "q", "context": "a b a", "answer": ["a", "b"], "start": [4, 2]}]
    name = write(tmp_path, "\n".join(map(json.dumps, lines)), "a.jsonl")
    assert load_questions(name, LAYOUT, tmp_path)[0]["answers"] == [
        {"text": "a", "start": 4},
        {"text": "b", "start": 2},
    ]


def test_a_table_that_a_spreadsheet_saved_as_text(tmp_path: Path) -> None:
    content = "question\tcontext\tanswer\r\nWho?\tThe cat sat.\tThe cat\r\n"
    (tmp_path / "a.txt").write_text(content, encoding="utf-16", newline="")
    (record,) = load_questions("a.txt", replace(LAYOUT, encoding="auto"), tmp_path)
    assert (record["question"], record["answers"]) == ("Who?", [{"text": "The cat", "start": 0}])


def test_a_text_without_columns_is_no_table(tmp_path: Path) -> None:
    name = write(tmp_path, "Who?\nWhere?\n", "a.txt")
    with pytest.raises(DataError, match=r"a\.txt: found text without columns, expected a table with question, context"):
        load_questions(name, LAYOUT, tmp_path)


def test_what_cannot_be_trained_on_is_counted_and_named(tmp_path: Path, caplog) -> None:
    rows = "question,context,answer\n ,a b,a\nq,  ,a\nq,a b,Rome\nq,a b,b\n"
    records = load_questions(write(tmp_path, rows, "a.csv"), LAYOUT, tmp_path)
    assert [record["answers"][0]["text"] for record in with_answers(records, "a.csv", strict=False)] == ["b"]
    assert "a.csv: dropped 3 of 4 training questions, such as " in caplog.text
    assert "a.csv:2: the question is empty; " in caplog.text and "a.csv:3: the context is empty" in caplog.text
    assert "a.csv:4: the answer 'Rome' is not in the context" in caplog.text
    with pytest.raises(DataError, match=r"a\.csv:4: the answer 'Rome' is not .* set data.misplaced_answers: skip"):
        with_answers(records[2:], "a.csv", strict=True)
    with pytest.raises(DataError, match="no question can be trained on"):
        with_answers(records[:1], "a.csv", strict=False)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (squad([{"question": "q", "answers": []}])[:-20], r"a\.json:1: not JSON .*cut off"),
        ('{"data": [{"paragraphs": 3}]}', r"data\[0\].paragraphs is 3, expected a list"),
        ('{"data": [{"paragraphs": [{"qas": []}]}]}', r"data\[0\].paragraphs\[0\].context is missing, expected a text"),
        (squad([{"id": 1, "answers": []}]), r"qas\[0\].question is missing"),
        (squad([{"question": "q"}]), r"qas\[0\].answers is missing, expected a list"),
        (squad([{"question": "q", "answers": [{"text": "The", "answer_start": "8"}]}]), "answer_start is '8'"),
        (squad([{"question": "q", "answers": ["The"]}]), r"answers\[0\].text is in a str, expected a text"),
        (squad([{"question": "q\0", "answers": []}]), r"a\.json: data.*qas\[0\].question has \\u0000, .*: delete it"),
        (squad([], "half \ud83d"), r"a\.json: data\[0\].paragraphs\[0\].context has \\ud83d, which no text has"),
        (squad([]).replace('"qas"', '"context": "other", "qas"'), r"paragraphs\[0\]: the key 'context' occurs twice"),
        (squad([]).replace('"data"', '"data": [], "data"'), r"a\.json: the document: the key 'data' occurs twice"),
    ],
)  # fmt: skip
def test_a_damaged_file_names_the_place(tmp_path: Path, content: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        load_questions(write(tmp_path, content), LAYOUT, tmp_path)


@pytest.mark.parametrize("indent", [None, 1])
def test_json_that_is_cut_off_anywhere_says_so(tmp_path: Path, indent: int | None) -> None:
    question = {"id": "1", "question": "什么?", "answers": [{"text": "景色", "answer_start": 3}]}
    whole = json.dumps(json.loads(squad([question])), indent=indent, ensure_ascii=False)
    for end in range(1, len(whole)):
        with pytest.raises(DataError, match=r"a\.json:\d+: .*cut off"):
            load_questions(write(tmp_path, whole[:end]), LAYOUT, tmp_path)


def test_offsets_that_are_wrong_are_mended_or_reported(tmp_path: Path, caplog) -> None:
    answers = [("景色", 0), ("saw", 25), ("cat", 13), ("景色", 3), ("The", 10_000)]
    questions = [
        {"id": f"q{number}", "question": "?", "answers": [{"text": text, "answer_start": start}]}
        for number, (text, start) in enumerate(answers)
    ]
    records = load_questions(write(tmp_path, squad(questions)), LAYOUT, tmp_path)
    kept = with_answers(records, "a.json", strict=False)
    assert [(record["id"], record["answers"][0]["start"]) for record in kept] == [
        ("q0", 3), ("q1", 18), ("q3", 3), ("q4", 8)
    ]  # fmt: skip
    assert "dropped 1 of 5 training questions" in caplog.text
    assert "question q2: the answer 'cat' occurs 2 times in the context, but not at its start" in caplog.text


@pytest.mark.parametrize(
    ("content", "fault"),
    [(bytes(range(256)) * 20, "is not text"), (b"", "the file is empty"), (b" \n\t", "the file is empty")],
)
@pytest.mark.parametrize("name", ["a.json", "a.csv", "a.jsonl"])
def test_a_file_that_is_no_text_is_an_error(tmp_path: Path, name: str, content: bytes, fault: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=f"{name}: {fault}"):
        load_questions(name, LAYOUT, tmp_path)


@pytest.mark.parametrize(
    ("row", "message"), [("q,a b,a,x", "start is 'x'"), ('q,a b,"a\nb",0', "2 answers and 1 starts")]
)
def test_a_bad_row_names_its_line(tmp_path: Path, row: str, message: str) -> None:
    name = write(tmp_path, f"question,context,answer,start\n{row}\nq,a b,a,0\n", "a.csv")
    with pytest.raises(DataError, match=rf"a\.csv:2: .*{message}"):
        load_questions(name, LAYOUT, tmp_path)
    assert [type(record).__name__ for _, record in scan_questions(name, LAYOUT, tmp_path)] == ["RowError", "dict"]


def test_equal_ids_are_told(tmp_path: Path, caplog) -> None:
    load_questions(write(tmp_path, squad([{"id": "x", "question": "q", "answers": []}] * 2)), LAYOUT, tmp_path)
    assert "1 ids occur more than once, such as 'x'" in caplog.text


def test_answers_may_be_missing_when_predicting(tmp_path: Path) -> None:
    name = write(tmp_path, squad([{"id": "x", "question": "q"}]))
    assert [record for _, record in scan_questions(name, LAYOUT, tmp_path)] == [
        {"id": "x", "question": "q", "context": CONTEXT, "where": f"{tmp_path / name}: question x"}
    ]


@REAL
def test_cmrc_is_mended(tmp_path: Path) -> None:
    folder = Path(os.environ["TEXTAPP_DATA"]) / "cmrc2018"
    records = load_questions("cmrc2018_train.json.gz", LAYOUT, folder)
    assert len(records) == 10142
    dropped = len(records) - len(with_answers(records, "train", strict=False))
    raw = json.loads(gzip.decompress((folder / "cmrc2018_train.json.gz").read_bytes()))
    wrong = sum(
        not part["context"].startswith(question["answers"][0]["text"], question["answers"][0]["answer_start"])
        for article in raw["data"] for part in article["paragraphs"] for question in part["qas"]
    )  # fmt: skip
    assert 0 <= dropped < wrong <= 30


def test_an_answer_of_several_lines_in_json_is_one(tmp_path: Path) -> None:
    context = "The list:\nred\ngreen\nend"
    rows = [
        {"question": "?", "context": context, "answer": "red\ngreen", "start": 10},
        {"question": "?", "context": context, "answer": ["red\ngreen", "end"], "start": [10, 20]},
        {"question": "?", "context": context, "answer": None},
    ]
    name = write(tmp_path, "".join(json.dumps(row) + "\n" for row in rows), "a.jsonl")
    found = [[(answer["text"], answer["start"]) for answer in row["answers"]] for row in
             load_questions(name, LAYOUT, tmp_path)]  # fmt: skip
    assert found == [[("red\ngreen", 10)], [("red\ngreen", 10), ("end", 20)], []]


def test_whole_starts_of_other_programs(tmp_path: Path) -> None:
    document = squad([{"question": "?", "answers": [{"text": "景色", "answer_start": 3.0}]}])
    assert load_questions(write(tmp_path, document), LAYOUT, tmp_path)[0]["answers"][0]["start"] == 3
    name = write(tmp_path, "question,context,answer,start\nq,a b,b,2.0\n", "a.csv")
    assert load_questions(name, LAYOUT, tmp_path)[0]["answers"][0]["start"] == 2


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"version": "1", "data": []}', "data is an empty list, expected articles"),
        ('[{"title": "t", "paragraphs": [{"context": "a", "qas": []}]}]', "found parts of the JSON of SQuAD"),
        (
            '[{"question": "a", "context": "b"}]',
            "no column for answer: found 'question', 'context'; expected 'answer' (s",
        ),
    ],
)
def test_a_layout_that_is_nearly_right(tmp_path: Path, content: str, message: str) -> None:
    with pytest.raises(DataError) as error:
        load_questions(write(tmp_path, content), LAYOUT, tmp_path)
    assert message in str(error.value)


def test_questions_of_invisible_characters_are_empty(tmp_path: Path, caplog) -> None:
    name = write(tmp_path, "question,context,answer\n\u200b,a b,b\nq,a b,b\n", "a.csv")
    assert len(with_answers(load_questions(name, LAYOUT, tmp_path), name, strict=False)) == 1
    assert "the question is empty" in caplog.text


QUESTION = {"id": "1", "question": "Who?", "answers": [{"text": "景色", "answer_start": 3}]}


@pytest.mark.parametrize(
    ("first", "place", "key"),
    [
        ('"context": ', r"data\[0\].paragraphs\[0\]", "context"),
        ('"question": ', r"data\[0\].paragraphs\[0\].qas\[0\]", "question"),
        ('"answers": ', r"data\[0\].paragraphs\[0\].qas\[0\]", "answers"),
        ('"text": ', r"data\[0\].paragraphs\[0\].qas\[0\].answers\[0\]", "text"),
        ('"data": ', "the document", "data"),
    ],
)
def test_neither_of_two_equal_keys_of_squad_wins(tmp_path: Path, first: str, place: str, key: str) -> None:
    name = write(tmp_path, squad([QUESTION]).replace(first, f'{first}"other", {first}', 1))
    with pytest.raises(DataError, match=f"a.json: {place}: the key '{key}' occurs twice .*, expected one: delete or"):
        load_questions(name, LAYOUT, tmp_path)


def test_nan_is_missing_in_squad(tmp_path: Path) -> None:
    text = squad([QUESTION]).replace('"id": "1"', '"id": NaN').replace('"answer_start": 3', '"answer_start": Infinity')
    (record,) = load_questions(write(tmp_path, text), LAYOUT, tmp_path)
    assert (record["id"], record["answers"]) == (None, [{"text": "景色", "start": 3}])


def test_nothing_stands_behind_squad(tmp_path: Path) -> None:
    name = write(tmp_path, squad([QUESTION]) + "\n" + squad([QUESTION]))
    with pytest.raises(DataError, match=r"a\.json:2: found '{\"version\".*' behind the closing '}', expected the end"):
        load_questions(name, LAYOUT, tmp_path)


@pytest.mark.parametrize("name", ["a.json", "a.jsonl"])
def test_parts_of_squad_are_told(tmp_path: Path, name: str) -> None:
    article = json.loads(squad([QUESTION]))["data"][0]
    forms = [[article], article, article["paragraphs"], article["paragraphs"][0]]
    if name == "a.jsonl":
        forms.append({"data": [article]})
    for form in forms:
        with pytest.raises(DataError, match=f'{name}: found parts of the JSON of SQuAD, .*: write {{"data":'):
            load_questions(write(tmp_path, json.dumps(form), name), LAYOUT, tmp_path)
    document = {"meta": {"by": "us"}, "data": [article]}
    assert len(load_questions(write(tmp_path, json.dumps(document)), LAYOUT, tmp_path)) == 1


def test_answers_of_a_row_as_squad_has_them(tmp_path: Path) -> None:
    columns = {**COLUMNS, "answer": ["answer", "answers", "answers.text"], "start": ["start", "answers.answer_start"]}
    row = {"question": "Who?", "context": CONTEXT}
    answers = [{"text": "景色", "answer_start": 3}, {"text": "cat", "answer_start": 14}]
    lines = [{**row, "answers": answers}, {**row, "answers": []}, {**row, "answers": {"text": ["cat"]}}]
    name = write(tmp_path, "\n".join(map(json.dumps, lines)), "a.jsonl")
    found = load_questions(name, replace(LAYOUT, columns=columns), tmp_path)
    assert [[(each["text"], each["start"]) for each in record["answers"]] for record in found] == [
        [("景色", 3), ("cat", 14)], [], [("cat", 14)],
    ]  # fmt: skip


def test_a_written_answer_in_a_cell_may_have_lines(tmp_path: Path) -> None:
    name = write(tmp_path, 'question,answer\nq,"one\r\ntwo"\n', "a.csv")
    columns = {field: COLUMNS[field] for field in ("question", "context", "answer")}
    layout = replace(LAYOUT, columns=columns, optional=frozenset({"context"}))
    (record,) = load_questions(name, layout, tmp_path, ("question",))
    assert record["answers"] == [{"text": "one\ntwo", "start": None}]
