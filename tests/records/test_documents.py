"""Running text and documents, with and without prompts."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from textapp.catalog import parse_config, recipe_of
from textapp.errors import DataError
from textapp.recipes.splits import load_splits
from textapp.records.documents import load_documents, scan_prompts, split_end
from textapp.records.layout import Layout
from textapp.records.splits import Splits

LAYOUT = Layout({"text": ["text", "paragraphs"], "prompt": ["prompt"]}, optional=frozenset({"prompt"}))


def splits(folder: Path, **data: object) -> Splits:
    raw = {"task": "generation", "run": "r", "data": data, "model": {"architecture": "lstm"}}
    return load_splits(recipe_of("generation"), parse_config(raw), folder)


def test_a_txt_is_one_document_as_it_stands(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbf  One.\r\n\r\nTwo,\tand\n")
    assert load_documents("a.txt", LAYOUT, tmp_path) == [{"text": "  One.\n\nTwo,\tand\n"}]


def test_a_share_of_running_text_is_its_end(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("abcdefghijklmnopqrst", encoding="utf-8")
    found = splits(tmp_path, train="a.txt", validation=0.25, test=0.2)
    assert (found.train, found.validation, found.test) == (
        [{"text": "abcdefghijkl"}], [{"text": "mnop"}], [{"text": "qrst"}]
    )  # fmt: skip
    assert found.origin == {"train": "a.txt", "test": "20 % of train", "validation": "25 % of train"}


@given(st.lists(st.text("ab\n", min_size=1), min_size=1), st.floats(0.05, 0.95))
def test_the_end_is_cut_by_characters(texts: list[str], share: float) -> None:
    rest, taken = split_end([{"text": text} for text in texts], share)
    whole = "".join(texts)
    assert "".join(record["text"] for record in [*rest, *taken]) == whole
    assert abs(sum(len(record["text"]) for record in taken) - share * len(whole)) <= 1


def test_a_line_that_is_not_utf8_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"one\ntwo \xff\n")
    with pytest.raises(DataError, match=r"a\.txt:2: byte 5 .*0xff"):
        load_documents("a.txt", LAYOUT, tmp_path)


def test_poems_are_joined_line_by_line(tmp_path: Path) -> None:
    poems = [{"title": "春曉", "paragraphs": ["春眠不覺曉，", "處處聞啼鳥。"]}, {"title": "x", "paragraphs": []}]
    (tmp_path / "a.json").write_text(json.dumps(poems, ensure_ascii=False), encoding="utf-8")
    assert load_documents("a.json", LAYOUT, tmp_path)[0] == {"text": "春眠不覺曉，\n處處聞啼鳥。"}


def test_empty_documents_are_dropped_from_train(tmp_path: Path, caplog) -> None:
    rows = "".join(json.dumps({"text": text}) + "\n" for text in ("a", " ", "b", "c"))
    (tmp_path / "a.jsonl").write_text(rows, encoding="utf-8")
    with caplog.at_level(logging.WARNING, "textapp"):
        found = splits(tmp_path, train="a.jsonl", validation=0.3)
    assert len(found.train) == 2 and len(found.validation) == 1
    assert "a.jsonl: dropped 1 of 4 documents" in caplog.text
    (tmp_path / "a.jsonl").write_text('{"text": "\\n"}\n', encoding="utf-8")
    with pytest.raises(DataError, match="every document is empty"):
        splits(tmp_path, train="a.jsonl")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", "prompt,text\nA,1\nB,2\n,3\n"),
        ("a.csv", "text,other,prompt\n1,x,A\n2,x,B\n3,x,\n"),
        ("a.tsv", "A\t1\nB\t2\n\t3\n"),
        ("a.jsonl", '{"prompt": "A", "text": "1"}\n{"instruction": "B", "completion": 2}\n{"text": "3\\r\\n"}\n'),
    ],
)
def test_prompts_where_the_data_have_them(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content, encoding="utf-8")
    found = splits(tmp_path, train=name, validation=0.3)
    assert sorted([*found.train, *found.validation], key=lambda record: record["text"]) == [
        {"prompt": "A", "text": "1"}, {"prompt": "B", "text": "2"}, {"text": "3"}
    ]  # fmt: skip


def test_one_column_is_the_text(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("one\ntwo\n", encoding="utf-8")
    found = splits(tmp_path, train="a.csv", validation=0.5)
    assert {record["text"] for record in [*found.train, *found.validation]} == {"one", "two"}


def test_equal_documents_stay_on_one_side(tmp_path: Path) -> None:
    rows = "".join(json.dumps({"text": f"text {number % 20}"}) + "\n" for number in range(60))
    (tmp_path / "a.jsonl").write_text(rows, encoding="utf-8")
    found = splits(tmp_path, train="a.jsonl", validation=0.2)
    assert len(found.validation) == 12
    assert not {record["text"] for record in found.train} & {record["text"] for record in found.validation}


def test_beginnings_to_go_on_from(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("春天的景色。\n\n__label__x\n", encoding="utf-8")
    (tmp_path / "b.jsonl").write_text('{"prompt": "A", "text": "1"}\n{"text": "B"}\n{"x": 1}\n', encoding="utf-8")
    assert list(scan_prompts("a.txt", LAYOUT, tmp_path)) == [
        (1, {"prompt": "春天的景色。"}), (2, {"prompt": ""}), (3, {"prompt": "__label__x"})
    ]  # fmt: skip
    (_, first), (_, second), (line, third) = scan_prompts("b.jsonl", LAYOUT, tmp_path)
    assert (first, second) == ({"prompt": "A", "text": "1"}, {"prompt": "B"})
    assert line == 3 and "neither prompt nor text" in str(third)


def test_real_texts(data_dir: Path) -> None:
    found = splits(data_dir, train="tinyshakespeare/input.txt.gz")
    assert (len(found.train[0]["text"]), len(found.validation[0]["text"])) == (1003854, 111540)
    poems = load_documents("chinese_poetry/quan_tang_shi/poet.tang.0.json.gz", LAYOUT, data_dir)
    assert poems[0]["text"].startswith("秦川雄帝宅，函谷壯皇居。\n")
