"""What is decided about the labels of a run from its training files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from textapp.errors import DataError
from textapp.records.label_layout import settle_labels
from textapp.records.labelled import load_labelled
from textapp.records.layout import Layout

USUAL = {"text": ("text",), "label": ("label",)}


def settled(folder: Path, name: str, content: str, label: list[str] | None = None) -> Layout:
    (folder / name).write_text(content, encoding="utf-8")
    layout = Layout({"text": ["text"], "label": label or ["label"]}, multiple=True, usual=USUAL)
    return settle_labels(name, layout, folder)


def table(cells: list[str], label: str = "label") -> str:
    return f"text\t{label}\n" + "".join(f"text {number}\t{cell}\n" for number, cell in enumerate(cells))


@pytest.mark.parametrize("cells", [["[0, 1]", "[1, 0]"], ["[1 0]", "[0 1]"], ["1,0", "0,1", "1,0"], ["[0, 1]"] * 3])
def test_a_zero_or_one_for_each_of_two_labels_is_refused(tmp_path: Path, cells: list[str]) -> None:
    with pytest.raises(
        DataError, match=r"a.tsv: found labels such as \[[01], [01]\] in every row, a 0/1 for each label"
    ):
        settled(tmp_path, "a.tsv", table(cells))
    rows = [json.dumps({"text": "a", "label": label}) for label in ([0, 1], [1, 0])]
    with pytest.raises(DataError, match=r"a.jsonl: found labels such as \[0, 1\] in every row"):
        settled(tmp_path, "a.jsonl", "\n".join(rows))


@pytest.mark.parametrize("cells", [["[0, 1]", "[1]"], ["[0, 2]", "[0, 1]"], ["1", "0"], ["[1, 0]", "[]"]])
def test_ids_of_labels_are_read(tmp_path: Path, cells: list[str]) -> None:
    layout = settled(tmp_path, "a.tsv", table(cells))
    assert len(load_labelled("a.tsv", layout, tmp_path)) == 2


@pytest.mark.parametrize("cells", [["1", "0", "1"], ["1.0", "", "1"], ["true", "False", "TRUE"], ["yes", "no", "y"]])
def test_one_column_of_flags_is_a_label(tmp_path: Path, cells: list[str], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "textapp")
    layout = settled(tmp_path, "a.tsv", table(cells, "toxic"), label=["toxic"])
    labels = [record["label"] for record in load_labelled("a.tsv", layout, tmp_path)]
    assert labels == [["toxic"], [], ["toxic"]]
    assert "a.tsv: the column 'toxic' is read as a label, 0 or 1" in caplog.text


def test_flags_without_a_name_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    layout = settled(tmp_path, "a.tsv", table(["1", "0", "1"]))
    assert [record["label"] for record in load_labelled("a.tsv", layout, tmp_path)] == [["1"], ["0"], ["1"]]
    assert "a.tsv: the labels are '0', '1': if they say whether a text has a label, call the column by" in caplog.text


def test_other_columns_hold_names_of_labels(tmp_path: Path) -> None:
    layout = settled(tmp_path, "a.tsv", table(["1", "2", "0"], "topic"), label=["topic"])
    assert [record["label"] for record in load_labelled("a.tsv", layout, tmp_path)] == [["1"], ["2"], ["0"]]


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        (["a b", "b c", "a"], ["' ' occurs in 2 labels, such as 'a b': data.label_separator: ' ' sets it as the div"]),
        (["a - b", "b - c", "a"], ["'-' occurs in 2 labels, such as 'a - b'"]),
        (["a/b", "b/c", "a"], ["'/' occurs in 2 labels, such as 'a/b'"]),
        (["财经，体育", "财经", "体育、财经"], ["'，' occurs in 1 label, such as '财经，体育'", "'、' occurs in 1"]),
        (["a b", "['a', 'b']"], []), (["Toys & Games", "Books", "C++"], []), (["New York", "New Jersey"], []),
        (["a/b", "a|b"], []),
    ],
)  # fmt: skip
def test_what_may_divide_labels_is_told(
    tmp_path: Path, cells: list[str], words: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    settled(tmp_path, "a.tsv", table(cells))
    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert len(warnings) == len(words), warnings
    for warning, word in zip(warnings, words, strict=True):
        assert warning.startswith("no text has several labels, but ") and word in warning


def test_wide_dividers_beside_the_one_found(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert settled(tmp_path, "a.tsv", table(["a,b", "财经，体育"])).label_separator == ","
    assert "'，' also occurs in 1 label, such as '财经，体育', and does not divide them" in caplog.text
