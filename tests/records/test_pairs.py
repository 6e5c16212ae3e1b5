"""Sentence pairs, from parallel files and from tables."""

from __future__ import annotations

import gzip
import logging
from dataclasses import replace
from pathlib import Path

import pytest

from textapp.catalog import parse_config, recipe_of
from textapp.errors import DataError
from textapp.recipes.splits import load_splits
from textapp.records.layout import Layout
from textapp.records.pairs import load_pairs, scan_pairs
from textapp.records.splits import Splits

LAYOUT = Layout({"source": ["source"], "target": ["target", "en"]})
PARALLEL = {"source": "a.zh", "target": "a.en"}


def write(folder: Path, **files: str | bytes) -> None:
    for name, content in files.items():
        data = content if isinstance(content, bytes) else content.encode("utf-8")
        (folder / name.replace("__", ".")).write_bytes(data)


def splits(folder: Path, **data: object) -> Splits:
    raw = {"task": "translation", "run": "r", "data": data, "model": {"architecture": "lstm"}}
    return load_splits(recipe_of("translation"), parse_config(raw), folder)


def test_line_by_line(tmp_path: Path) -> None:
    write(tmp_path, a__zh="你好。\r\n \u2028谢谢。 \n", a__en="Hello.\nThanks.\n")
    assert load_pairs(PARALLEL, LAYOUT, tmp_path) == [
        {"source": "你好。", "target": "Hello."}, {"source": "谢谢。", "target": "Thanks."}
    ]  # fmt: skip


def test_packed_files_several_on_each_side(tmp_path: Path) -> None:
    write(tmp_path, a__zh__gz=gzip.compress("一\n".encode()), b__zh="二", a__en="one\n", b__en="two\n")
    source = {"source": ["a.zh.gz", "b.zh"], "target": "*.en"}
    assert [record["target"] for record in load_pairs(source, LAYOUT, tmp_path)] == ["one", "two"]
    with pytest.raises(DataError, match=r"found 1 source files, but 2 target files"):
        load_pairs({"source": "b.zh", "target": "*.en"}, LAYOUT, tmp_path)


def test_unequal_files_are_both_named_with_their_lines(tmp_path: Path) -> None:
    write(tmp_path, a__zh="一\n\n二\n三\n", a__en="one\ntwo\nthree\n")
    with pytest.raises(DataError) as caught:
        load_pairs(PARALLEL, LAYOUT, tmp_path)
    for words in ("a.zh has 4 lines", "a.en has 3", "line 2 of a.zh is empty"):
        assert words in str(caught.value)


def test_a_line_that_is_not_utf8_is_named(tmp_path: Path) -> None:
    write(tmp_path, a__zh="一\n二\n", a__en=b"one\n\xff\n")
    with pytest.raises(DataError, match=r"a\.en:2: .*0xff"):
        load_pairs(PARALLEL, LAYOUT, tmp_path)


def test_pairs_with_an_empty_side_are_dropped_from_train_alone(tmp_path: Path, caplog) -> None:
    write(tmp_path, a__zh="一\n\n三\n", a__en="one\ntwo\n \n", b__zh="一\n二\n", b__en="one\n\n")
    with caplog.at_level(logging.WARNING, "textapp"):
        found = splits(tmp_path, train=PARALLEL, validation={"source": "b.zh", "target": "b.en"})
    assert found.train == [{"source": "一", "target": "one"}] and len(found.validation) == 2
    assert "a.zh | a.en: dropped 2 of 3 training pairs" in caplog.text
    assert found.origin == {"train": "a.zh | a.en", "validation": "b.zh | b.en"}


def test_nothing_but_empty_sides(tmp_path: Path) -> None:
    write(tmp_path, a__zh="一\n", a__en=" \nx\n", b__en="\n\nx")
    write(tmp_path, a__zh="一\n\n")
    with pytest.raises(DataError, match="no pair has text on both sides"):
        splits(tmp_path, train=PARALLEL)


@pytest.mark.parametrize(
    ("name", "content", "columns"),
    [
        ("a.tsv", "Hi.\t嗨。\tby A\nRun.\t跑！\tby B\n", {"source": 1, "target": 0}),
        ("a.txt", "Hi.\t嗨。\tby A\nRun.\t跑！\tby B\n", {"source": 1, "target": 0}),
        ("a.tsv", "en\tzh\nHi.\t嗨。\nRun.\t跑！\n", {}),
        ("a.csv", "Target,Source\nHi.,嗨。\nRun.,跑！\n", {}),
        ("a.tsv", "嗨。\tHi.\n跑！\tRun.\n", {}),
        ("a.jsonl", '{"src": "嗨。", "tgt": "Hi."}\n{"src": "跑！", "tgt": "Run."}\n', {}),
        ("a.json", '[{"zh": "嗨。", "en": "Hi."}, {"zh": "跑！", "en": "Run."}]', {}),
        ("a.csv", "a,b\nHi.,嗨。\nRun.,跑！\n", {"source": "b", "target": "a"}),
    ],
)
def test_tables(tmp_path: Path, name: str, content: str, columns: dict) -> None:
    (tmp_path / name).write_text(content, encoding="utf-8")
    found = splits(tmp_path, train=name, validation=0.5, columns=columns, source_language="zh", target_language="en")
    assert sorted(record["source"] for record in [*found.train, *found.validation]) == ["嗨。", "跑！"]
    assert {record["target"] for record in [*found.train, *found.validation]} == {"Hi.", "Run."}


def test_guessed_columns_hold_for_every_file(tmp_path: Path) -> None:
    write(tmp_path, a__tsv="一\tone\n二\ttwo\n", b__tsv="三\tthree\n")
    found = splits(tmp_path, train="a.tsv", validation="b.tsv")
    assert found.validation == [{"source": "三", "target": "three"}]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.tsv", "Hi.\t嗨。\tby A\n", ["no column for source", "'Hi.'", "numbers counted from 0"]),
        ("a.csv", "source,other\na,b\n", ["no column for target"]),
        ("a.txt", "one text a line\n", ["source and target separated by a tab", "{source: train.zh"]),
    ],
)
def test_tables_without_a_side(tmp_path: Path, name: str, content: str, words: list[str]) -> None:
    (tmp_path / name).write_text(content, encoding="utf-8")
    with pytest.raises(DataError) as caught:
        splits(tmp_path, train=name)
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_texts_to_translate(tmp_path: Path) -> None:
    write(
        tmp_path, a__txt="一 \n\n二\n", b__tsv="two\t二\tx\n", c__csv="source\n一\n", d__jsonl='{"source": "一"}\n[]\n'
    )
    numbers = Layout({"source": 1, "target": 0})
    assert list(scan_pairs("a.txt", numbers, tmp_path)) == [
        (1, {"source": "一 "}), (2, {"source": ""}), (3, {"source": "二"})
    ]  # fmt: skip
    assert list(scan_pairs("b.tsv", numbers, tmp_path)) == [(1, {"source": "二", "target": "two"})]
    assert list(scan_pairs("c.csv", LAYOUT, tmp_path)) == [(2, {"source": "一"})]
    (_, first), (line, second) = scan_pairs("d.jsonl", LAYOUT, tmp_path)
    assert first == {"source": "一"} and line == 2 and "expected an object" in str(second)


def test_a_side_of_parallel_files_is_translated_line_by_line(tmp_path: Path) -> None:
    write(tmp_path, a__zh=b"\xef\xbb\xbf\xe4\xb8\x80\r\n\r\n\xff\n", a__png=b"\x89PNG\r\n\x1a\n\0\0")
    first, empty, (line, broken) = scan_pairs("a.zh", LAYOUT, tmp_path)
    assert (first, empty) == ((1, {"source": "一"}), (2, {"source": ""}))
    assert line == 3 and "a.zh:3: byte 1 of the line is 0xff, which is not UTF-8" in str(broken)
    with pytest.raises(DataError, match="a.png: is an image: recognise"):
        list(scan_pairs("a.png", LAYOUT, tmp_path))


@pytest.mark.parametrize(("name", "found"), [("a.zh", "the extension '.zh'"), ("a", "a name without an extension")])
def test_one_side_is_no_pair(tmp_path: Path, name: str, found: str) -> None:
    (tmp_path / name).write_text("一\n", encoding="utf-8")
    with pytest.raises(DataError) as caught:
        load_pairs(name, LAYOUT, tmp_path)
    assert f"found {found}" in str(caught.value) and "one file of sources and one of targets" in str(caught.value)
    assert "pattern" not in str(caught.value)


def test_layout_goes_through_a_manifest() -> None:
    keys = recipe_of("translation").keys
    layout = replace(LAYOUT, usual=keys.columns)
    assert Layout.of_manifest(layout.to_manifest(), keys) == layout


def test_tatoeba(data_dir: Path) -> None:
    found = splits(
        data_dir, train="tatoeba_cmn_eng/cmn.txt.gz", columns={"source": 1, "target": 0}, validation=0.03, test=0.035
    )
    assert (len(found.train), len(found.validation), len(found.test)) == (26627, 824, 996)
    for side in ("source", "target"):
        assert not {pair[side] for pair in found.train} & {pair[side] for pair in found.test}


def test_multi30k(data_dir: Path) -> None:
    files = {side: f"multi30k_en_de/train.{side}.gz" for side in ("en", "de")}
    found = splits(data_dir, train={"source": files["en"], "target": files["de"]}, validation=0.01)
    assert len(found.train) + len(found.validation) == 29000


# --- sides that are no texts ---------------------------------------------------------------------------------------

NO_SIDE = "expected a text per line, because the files of two sides are paired by line: write the source texts into a"


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.jsonl", '{"zh": "一"}\n{"zh": "二"}\n', f"a.jsonl: found the extension .jsonl, {NO_SIDE}"),
        ("a.json.gz", "[]", f"a.json.gz: found the extension .json, {NO_SIDE}"),
        ("a.csv", "text\n一\n", f"a.csv: found the extension .csv, {NO_SIDE}"),
        ("a.tsv", "1\t一\n2\t二\n", f"a.tsv: found the extension .tsv, {NO_SIDE}"),
        ("a.zh", "1\t一\n2\t二\n", f"a.zh: found a tab in each line, such as '1\\x09一' in line 1, {NO_SIDE}"),
        ("a.zh", '\n{"zh": "一"}\n{"zh": "二"}\n', "found JSON in each line, such as '{\"zh\": \"一\"}' in line 2"),
        ("a.zh", '<s id="0">一</s>\n<s id="1">二</s>\n', "delete the tags, such as with sed -E 's/<[^>]*>//g'"),
        ("a.zh", "<p>一</p>\n<p>二</p>\n", "a.zh:1: found '<p>一</p>', expected a text per line: delete the tags"),
    ],
)  # fmt: skip
def test_a_side_in_another_form_is_refused(tmp_path: Path, name: str, content: str, words: str) -> None:
    data = content.encode()
    (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    write(tmp_path, a__en="one\ntwo\n")
    with pytest.raises(DataError) as caught:
        load_pairs({"source": name, "target": "a.en"}, LAYOUT, tmp_path)
    assert words in str(caught.value)


def test_tags_between_texts_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write(tmp_path, a__zh="<CHAPTER ID=1>\n一 < 二\n<3 你\n<P>\n三 <b>\n", a__en="<CHAPTER ID=1>\n1\n2\n<P>\n3\n")
    assert len(load_pairs(PARALLEL, LAYOUT, tmp_path)) == 5
    words = "a.zh: of 5 lines 2 hold a tag alone, such as line 1, '<CHAPTER ID=1>', which is read as a text"
    assert words in caplog.text and "a.en: of 5 lines 2 hold a tag alone" in caplog.text
