from __future__ import annotations

import json
import logging
from dataclasses import replace

import pytest

from textapp.catalog import parse_config, recipe_of
from textapp.errors import DataError
from textapp.recipes.splits import load_splits, settled_layout
from textapp.records.layout import Layout

RECIPE = recipe_of("classification")
LAYOUT = Layout({"text": "text", "label": "label"})


def config_of(**data):
    raw = {"task": "classification", "run": "r", "data": data, "model": {"architecture": "mlp"}}
    return parse_config(raw)


def splits(tmp_path, train, test=None, **data):
    (tmp_path / "train.tsv").write_text(train, encoding="utf-8")
    if test is not None:
        (tmp_path / "test.tsv").write_text(test, encoding="utf-8")
        data["test"] = "test.tsv"
    data = {"train": "train.tsv", **data}
    return load_splits(RECIPE, config_of(**data), tmp_path)


TRAIN = "label\ttext\n" + "".join(f"{number % 2}\ttext {number}\n" for number in range(40))


def test_splits_and_origin(tmp_path) -> None:
    found = splits(tmp_path, TRAIN, "label\tcontent\n1\tx\n0\t\n", validation=0.25)
    assert (len(found.train), len(found.validation), len(found.test)) == (30, 10, 2)
    assert found.origin == {"train": "train.tsv", "test": "test.tsv", "validation": "25 % of train"}
    assert found.test == [{"text": "x", "label": "1"}, {"text": "", "label": "0"}]


def test_empty_text_is_dropped_from_train_alone(tmp_path, caplog) -> None:
    with caplog.at_level(logging.WARNING, "textapp"):
        found = splits(tmp_path, TRAIN + "1\t \n")
    assert len(found.train) + len(found.validation) == 40
    assert "dropped 1 of 41" in caplog.text


@pytest.mark.parametrize(
    ("train", "test", "words"),
    [
        ("label\ttext\n1\ta\n1\tb\n", None, ["only the label '1'"]),
        (TRAIN, "label\ttext\n1\ta\n2\tb\n", ["test.tsv:3", "'2'", "one of 0, 1", "correct the label"]),
        (TRAIN + "\tno label\n", None, ["train.tsv:42", "empty"]),
    ],
)
def test_errors(tmp_path, train, test, words) -> None:
    with pytest.raises(DataError) as caught:
        splits(tmp_path, train, test)
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_guessed_columns_hold_for_a_small_test_file(tmp_path) -> None:
    found = splits(tmp_path, TRAIN.partition("\n")[2], "1\talone\n")
    assert found.test == [{"text": "alone", "label": "1"}]


HEADLESS = TRAIN.partition("\n")[2]


@pytest.mark.parametrize(
    ("train", "columns"),
    [(HEADLESS, {}), (HEADLESS, {"columns": {"text": 1, "label": 0}}), ("kind\tdish\n" + HEADLESS, {})],
)
def test_the_first_row_of_a_small_test_file_is_kept(tmp_path, train, columns) -> None:
    found = splits(tmp_path, train, "1\talone\n0\tone\n0\ttwo\n", **columns)
    assert [record["text"] for record in found.test] == ["alone", "one", "two"]
    assert {record["label"] for record in found.train} == {"0", "1"}


def test_guessed_columns_leave_files_that_name_theirs_alone(tmp_path) -> None:
    (tmp_path / "train.tsv").write_text("kind\tdish\n" + HEADLESS, encoding="utf-8")
    layout = replace(settled_layout(RECIPE, config_of(train="train.tsv"), tmp_path), labels=("0", "1"))
    for name, content in {
        "a.csv": "text,label\ngood,1\n",
        "b.tsv": "dish\tkind\ngood\t1\n",
        "c.jsonl": '{"text": "good", "label": 1}\n',
        "d.tsv": "1\tgood\n",
    }.items():
        (tmp_path / name).write_text(content, encoding="utf-8")
        assert RECIPE.load(name, layout, tmp_path) == [{"text": "good", "label": "1"}], name
    (tmp_path / "e.csv").write_text("good\nbad\n", encoding="utf-8")
    assert [record for _, record in RECIPE.scan("e.csv", layout, tmp_path)] == [{"text": "good"}, {"text": "bad"}]


def test_a_column_is_not_of_two_fields(tmp_path) -> None:
    rows = "".join(f"text {number}\t{number % 2}\n" for number in range(40))
    with pytest.raises(DataError, match=r"no column for label: found 'label', 'x'; expected one of labels, class"):
        splits(tmp_path, f"label\tx\n{rows}", columns={"text": "label"})
    found = splits(tmp_path, f"label\tclass\n{rows}", columns={"text": "label"})
    assert {record["label"] for record in found.train} == {"0", "1"}


def test_several_labels(tmp_path) -> None:
    (tmp_path / "a.csv").write_text('label,text\n"a, b|c",x\n,y\n', encoding="utf-8")
    layout = Layout(LAYOUT.columns, multiple=True)
    assert [record["label"] for record in RECIPE.load("a.csv", layout, tmp_path)] == [["a, b", "c"], []]


def test_a_known_label_is_not_divided(tmp_path) -> None:
    rows = [{"text": "x", "label": ["salt, pepper"]}, {"text": "y", "label": ["sugar"]}]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    layout = Layout(LAYOUT.columns, multiple=True, labels=("salt, pepper", "sugar"))
    assert RECIPE.load("a.jsonl", layout, tmp_path) == rows
    (tmp_path / "b.csv").write_text('text,label\nx,"salt, pepper"\ny,"sugar;salt, pepper"\n', encoding="utf-8")
    found = RECIPE.load("b.csv", layout, tmp_path)
    assert [record["label"] for record in found] == [["salt, pepper"], ["sugar", "salt, pepper"]]


def test_pairs(tmp_path) -> None:
    (tmp_path / "a.csv").write_text("q,r,label\nx,y,1\n", encoding="utf-8")
    layout = Layout({"text": "q", "text_pair": "r", "label": "label"})
    assert RECIPE.load("a.csv", layout, tmp_path) == [{"text": "x", "text_pair": "y", "label": "1"}]


def test_input_of_predict_goes_on_behind_a_bad_row(tmp_path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "a"}\nbad\n{"text": ""}\n', encoding="utf-8")
    (tmp_path / "b.txt").write_text("one text\n\nanother\n", encoding="utf-8")
    (line, first), (_, second), (_, third) = RECIPE.scan("a.jsonl", LAYOUT, tmp_path)
    assert (line, first, third) == (1, {"text": "a"}, {"text": ""})
    assert isinstance(second, DataError)
    assert list(RECIPE.scan("b.txt", LAYOUT, tmp_path)) == [
        (1, {"text": "one text"}), (2, {"text": ""}), (3, {"text": "another"})
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("train", "test", "pattern", "sizes", "labels"),
    [
        ("sst2_phrases_67k/train.tsv.gz", "sst2_phrases_67k/test.tsv.gz", None, (67349, 1821), 2),
        ("chnsenticorp/train.tsv.gz", "chnsenticorp/test.tsv.gz", None, (9600, 1200), 2),
        ("trec/TREC.train.gz", "trec/TREC.test.gz", r"(?P<label>\w+):\S+ (?P<text>.*)", (5452, 500), 6),
    ],
)
def test_real_data(data_dir, train, test, pattern, sizes, labels) -> None:
    data = {"train": train, "test": test, "pattern": pattern}
    found = load_splits(RECIPE, config_of(**data), data_dir)
    assert (len(found.train) + len(found.validation), len(found.test)) == sizes
    assert len({record["label"] for record in found.train}) == labels


@pytest.mark.parametrize(
    ("counts", "words"),
    [
        ({"a": 1, "b": 1, "c": 1}, ["0.1 of 3", "no example for validation", "no share does", "a file"]),
        ({"a": 2, "b": 2}, ["0.1 of 4", "expected a larger share, such as 0.15"]),
    ],
)
def test_the_advice_about_a_share_holds(tmp_path, counts, words) -> None:
    train = "label\ttext\n" + "".join(
        f"{label}\t{label} {n}\n" for label, count in counts.items() for n in range(count)
    )
    with pytest.raises(DataError) as caught:
        splits(tmp_path, train)
    assert all(word in str(caught.value) for word in words), str(caught.value)
    if "no share does" in str(caught.value):
        assert "larger" not in str(caught.value)
        with pytest.raises(DataError, match="no share does"):
            splits(tmp_path, train, validation=0.99)
    else:
        assert len(splits(tmp_path, train, validation=0.15).validation) == 1


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (["一\tone"], "0.1 of 1 training examples leaves no example for validation; no share does: there is one"
         " example, which stays in train; expected more examples, or a file"),
        (["一\tone", "一\tone!", "二\tone!"], "no share does: the examples have texts in common, which stay together in"
         " train; expected more examples, or a file"),
    ],
)  # fmt: skip
def test_the_advice_about_pairs_names_no_labels(tmp_path, lines, words) -> None:
    (tmp_path / "train.tsv").write_text("source\ttarget\n" + "\n".join(lines), encoding="utf-8")
    raw = {"task": "translation", "run": "r", "data": {"train": "train.tsv"}, "model": {"architecture": "lstm"}}
    with pytest.raises(DataError) as caught:
        load_splits(recipe_of("translation"), parse_config(raw), tmp_path)
    assert words in str(caught.value)
