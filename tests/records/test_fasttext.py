from __future__ import annotations

import logging
from dataclasses import replace

import pytest

from textapp.errors import DataError
from textapp.records.fasttext import taken_apart
from textapp.records.labelled import load_labelled, scan_texts
from textapp.records.layout import Layout

SINGLE = Layout({"text": ["text"], "label": ["label"]})
SEVERAL = Layout(SINGLE.columns, multiple=True)


def load(tmp_path, content, layout=SEVERAL):
    (tmp_path / "a.txt").write_text(content, encoding="utf-8", newline="")
    return [(record["label"], record["text"]) for record in load_labelled("a.txt", layout, tmp_path)]


@pytest.mark.parametrize(
    ("line", "text", "labels"),
    [
        ("__label__a good film", "good film", ["a"]),
        ("good film __label__a", "good film", ["a"]),
        ("__label__a good film __label__b", "good film", ["a", "b"]),
        ("good __label__a film", "good film", ["a"]),
        ("__label__a,__label__b good film", "good film", ["a", "b"]),
        ("__label__a, __label__b good film", "good film", ["a", "b"]),
        ("__label__a__label__b good film", "good film", ["a", "b"]),
        ("__label__a\tgood\tfilm\v\f", "good\tfilm", ["a"]),
        ("__label__财经 世界\u3000杯", "世界\u3000杯", ["财经"]),
        ("see(__label__a) good", "see(__label__a) good", []),
        ("\u3000good __label__a", "\u3000good", ["a"]),
        ("  as it is  ", "  as it is  ", []),
        ("__label__Yahoo! mail", "mail", ["Yahoo!"]),
        ("__label__掩饰、隐瞒犯罪所得罪 被告人", "被告人", ["掩饰、隐瞒犯罪所得罪"]),
    ],
)
def test_labels_wherever_they_stand(line, text, labels) -> None:
    assert taken_apart(line) == (text, labels, None)


@pytest.mark.parametrize(
    "line",
    [
        "__label__财经,世界 VR", "__label__财经，世界 VR", "__label__正面\u3000很好看", "__label__pos\xa0good film",
        f"__label__{'财经世界' * 11} VR", f"__label__{'x' * 101} VR", "__label__Toys,Games fun", "__label__ good film",
    ],
)  # fmt: skip
def test_what_cannot_be_told_apart_is_an_error_with_its_line(tmp_path, line) -> None:
    for layout in (SINGLE, SEVERAL):
        with pytest.raises(DataError, match=r"a\.txt:2: .*__label__good"):
            load(tmp_path, f"__label__a x\n{line}\n", layout)
    answers = [record for _, record in scan_texts("a.txt", SINGLE, tmp_path)]
    assert answers[0] == {"text": "x"} and isinstance(answers[1], DataError)


def test_the_first_lines_need_no_label(tmp_path) -> None:
    assert load(tmp_path, "\n \n__label__a x\n") == [(["a"], "x")]
    with pytest.raises(DataError, match=r"a\.txt:1: the label of 'a heading' is empty"):
        load(tmp_path, "a heading\n__label__a x\n", SINGLE)
    with pytest.raises(DataError, match="found no labels"):
        load(tmp_path, "a heading\nx\n")


def test_lines_without_a_label_where_there_may_be_none_are_told(tmp_path, caplog) -> None:
    with caplog.at_level(logging.WARNING, "textapp"):
        assert load(tmp_path, "__label__a x\ny\n") == [(["a"], "x"), ([], "y")]
    assert "1 of 2 lines have no __label__, such as line 2" in caplog.text


def test_several_labels_of_a_single_one(tmp_path) -> None:
    with pytest.raises(DataError, match=r"a\.txt:1: found several labels \(a, b\).*data\.labels: multiple"):
        load(tmp_path, "__label__a x __label__b\n", SINGLE)
    assert load(tmp_path, "__label__a x __label__a\n", SINGLE) == [("a", "x")]


def test_labels_glued_to_texts(tmp_path) -> None:
    glued = "".join(f"__label__财经{word}很好看\n" for word in ("电影", "书", "歌"))
    with pytest.raises(DataError, match=r"a\.txt:1: found no text.*财经电影很好看.*glued"):
        load(tmp_path, glued, SINGLE)
    with pytest.raises(DataError, match=r"a\.txt:1: found a label that no other line has.*posgood0.*glued"):
        load(tmp_path, "".join(f"__label__posgood{number} film\n" for number in range(10)), SINGLE)
    known = replace(SINGLE, labels=[f"pos{number}" for number in range(10)])
    honest = "".join(f"__label__pos{number} film\n" for number in range(10))
    assert [label for label, _ in load(tmp_path, honest, known)] == list(known.labels)
    assert load(tmp_path, "__label__a x\n__label__a \n", SINGLE) == [("a", "x"), ("a", "")]


def test_every_line_is_answered_without_its_labels(tmp_path) -> None:
    (tmp_path / "a.txt").write_text("\ngood __label__a film\n\nplain\n__label__b bad\n", encoding="utf-8")
    assert list(scan_texts("a.txt", SINGLE, tmp_path)) == [
        (1, {"text": ""}), (2, {"text": "good film"}), (3, {"text": ""}), (4, {"text": "plain"}), (5, {"text": "bad"})
    ]  # fmt: skip
