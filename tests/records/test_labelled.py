from __future__ import annotations

import json
import logging

import pytest

from textapp.catalog import parse_config, recipe_of
from textapp.commands.examples import layout_of
from textapp.errors import ConfigError, DataError, UsageError
from textapp.recipes.splits import load_splits, settled_layout
from textapp.records.label_columns import distinct_names
from textapp.records.layout import Layout

RECIPE = recipe_of("classification")
NAMES = ["toxic", "obscene", "insult"]


def config_of(**data):
    raw = {"task": "classification", "run": "r", "data": data, "model": {"architecture": "mlp"}}
    return parse_config(raw)


def write(tmp_path, **files):
    for name, content in files.items():
        stem, _, kind = name.rpartition("_")
        (tmp_path / f"{stem}.{kind}").write_text(content, encoding="utf-8")


def labels(tmp_path, files, split="train", **data):
    write(tmp_path, **files)
    train = f"train.{next(iter(files)).rpartition('_')[2]}"
    data = {"train": train, "labels": "multiple", "validation": train, **data}
    splits = load_splits(RECIPE, config_of(**data), tmp_path)
    return {record["text"]: record["label"] for record in getattr(splits, split)}


def columns(rows, header="id,comment_text,toxic,obscene,insult"):
    return "\n".join([header, *rows]) + "\n"


# --- columns of 0 and 1 ------------------------------------------------------------------------------------------


FLAGS = columns(["1,a,1,0,0", "2,b,1.0,0.0,1", "3,c,,,", "4,d,true,yes,No", "5,e,0,1,0"])
FLAGGED = {"a": ["toxic"], "b": ["toxic", "insult"], "c": [], "d": ["toxic", "obscene"], "e": ["obscene"]}
COLUMNS = {"columns": {"text": "comment_text", "label": NAMES}}


def test_columns_of_0_and_1_are_labels(tmp_path) -> None:
    assert labels(tmp_path, {"train_csv": FLAGS}, **COLUMNS) == FLAGGED
    rows = [
        {"comment_text": "a", "toxic": 1, "obscene": 0, "insult": 0.0},
        {"comment_text": "b", "toxic": True, "obscene": False, "insult": 1.0},
        {"comment_text": "c", "toxic": None, "obscene": "", "insult": 0},
    ]
    lines = "\n".join(map(json.dumps, rows))
    expected = {"a": ["toxic"], "b": ["toxic", "insult"], "c": []}
    assert labels(tmp_path, {"train_jsonl": lines}, **COLUMNS) == expected
    assert labels(tmp_path, {"train_json": json.dumps(rows)}, **COLUMNS) == expected


def test_their_names_are_those_of_the_config(tmp_path) -> None:
    named = {"text": "comment_text", "label": ["Toxic", " obscene ", "insult", "INSULT"]}
    found = labels(tmp_path, {"train_csv": FLAGS}, columns=named)
    assert found["b"] == ["Toxic", "insult"] and found["e"] == ["obscene"]
    assert distinct_names(["a", "A ", "b"]) == ["a", "b"]


def test_all_files_of_a_run_are_read_by_the_columns(tmp_path) -> None:
    test = "insult,text,comment_text,toxic,obscene\n1,x,f,0,0\n"
    assert labels(tmp_path, {"train_csv": FLAGS, "test_csv": test}, "test", test="test.csv", **COLUMNS) == {
        "f": ["insult"]
    }
    layout = settled_layout(RECIPE, config_of(train="train.csv", labels="multiple", **COLUMNS), tmp_path)
    assert layout.label_columns == tuple(NAMES)
    manifest = {"task": "classification", "labels": NAMES, **json.loads(json.dumps(layout.to_manifest()))}
    again = layout_of(manifest)
    assert RECIPE.load("test.csv", again, tmp_path) == [{"text": "f", "label": ["insult"]}]
    write(tmp_path, bare_csv="comment_text\nx\n\ny\n", odd_csv="comment_text,toxic\nx,?\n")
    assert [record for _, record in RECIPE.scan("bare.csv", again, tmp_path)][:1] == [{"text": "x"}]
    assert [record for _, record in RECIPE.scan("odd.csv", again, tmp_path)] == [{"text": "x"}]
    write(tmp_path, lines_txt="__label__toxic x __label__insult\n", one_csv="comment_text,kind\nx,toxic|insult\n")
    one = layout_of(manifest, "label=kind")
    for name, found in (("lines.txt", again), ("one.csv", one)):
        assert RECIPE.load(name, found, tmp_path) == [{"text": "x", "label": ["toxic", "insult"]}]


@pytest.mark.parametrize(
    ("row", "found"), [("6,f,-1,0,0", "'-1'.*'toxic'"), ("6,f,0,2,0", "'2'.*'obscene'"), ("6,f,0,0,x", "'x'.*'insult'")]
)
def test_other_values_are_errors(tmp_path, row, found) -> None:
    with pytest.raises(DataError, match=rf"train\.csv:7: found {found}, expected 0 or 1"):
        labels(tmp_path, {"train_csv": FLAGS + row + "\n"}, **COLUMNS)


def test_every_column_has_to_be_there(tmp_path) -> None:
    wrong = {"text": "comment_text", "label": [*NAMES, "threat"]}
    with pytest.raises(DataError, match=r"train\.csv: no column for the label 'threat'"):
        labels(tmp_path, {"train_csv": FLAGS}, columns=wrong)
    test = "comment_text,toxic,obscene\nf,0,0\n"
    with pytest.raises(DataError, match=r"test\.csv: no column for the label .insult..*set columns: \{label: NAME\}"):
        labels(tmp_path, {"train_csv": FLAGS, "test_csv": test}, "test", test="test.csv", **COLUMNS)


def test_a_label_that_no_text_has_is_told(tmp_path, caplog) -> None:
    content = columns(["a,1,0", "b,1,0", "c,0,0"], "text,toxic,obscene")
    with caplog.at_level(logging.WARNING, "textapp"):
        assert labels(tmp_path, {"train_csv": content}, columns={"label": NAMES[:2]})["b"] == ["toxic"]
    assert "no training example has a 1 in the column 'obscene'" in caplog.text


def test_one_of_the_names_is_an_alternative(tmp_path) -> None:
    content = columns(["a,x|y", "b,x"], "comment_text,insult")
    assert labels(tmp_path, {"train_csv": content}, **COLUMNS) == {"a": ["x", "y"], "b": ["x"]}


def test_several_columns_for_one_label(tmp_path, caplog) -> None:
    with pytest.raises(DataError, match=r"3 columns with 0/1 for label \('toxic', .*data\.labels: multiple"):
        labels(tmp_path, {"train_csv": FLAGS}, labels="single", **COLUMNS)
    content = columns(["a,x,p", "b,y,q", "c,x,q", "d,y,p"], "text,insult,toxic")
    with caplog.at_level(logging.WARNING, "textapp"):
        found = labels(tmp_path, {"train_csv": content}, labels="single", columns={"label": NAMES})
    assert found == {"a": "p", "b": "q", "c": "q", "d": "p"}
    assert "the label is read from the column 'toxic', and not from 'insult'" in caplog.text


# --- lists in a cell ---------------------------------------------------------------------------------------------


def cells(*cells):
    lines = [f'"{cell}",{text}'.replace("\n", " ") for text, cell in zip("abcdefgh", cells, strict=False)]
    return "\n".join(["label,text", *lines]) + "\n"


def test_lists_in_cells(tmp_path) -> None:
    content = cells("['pos', 'all']", '[""pos"",""all""]', "[pos, all]", "{pos,all}", "['pos' 'all']", "pos", "[]")
    assert list(labels(tmp_path, {"train_csv": content}).values()).count(["pos", "all"]) == 5
    assert labels(tmp_path, {"train_csv": content})["f"] == ["pos"]
    assert labels(tmp_path, {"train_csv": content})["g"] == []


@pytest.mark.parametrize("cell", ["['a', 'b", "[['a'], ['b']]", "{'a': 1, 'b': 0}", "array(['a', 'b'])"])
def test_lists_that_cannot_be_read(tmp_path, cell) -> None:
    with pytest.raises(DataError, match=r"train\.csv:3: .*look like a list"):
        labels(tmp_path, {"train_csv": cells("a,b", cell)})


def test_a_vector_has_no_names(tmp_path) -> None:
    for files in ({"train_csv": cells("[0, 1]", "[0, 1, 0]")}, {"train_jsonl": '\n{"text": "a", "label": [0, 0, 1]}'}):
        with pytest.raises(DataError, match=r":[23]: .*a 0/1 for each label"):
            labels(tmp_path, files)


def test_lists_where_one_label_is_expected(tmp_path) -> None:
    for cell in ("['a', 'b']", "[a, b]", "{a,b}"):
        with pytest.raises(DataError, match=r"train\.csv:3: found several labels \(a, b\).*data\.labels: multiple"):
            labels(tmp_path, {"train_csv": cells("a", cell)}, labels="single")
    with pytest.raises(DataError, match=r"train\.csv:3: the label of 'b' is empty"):
        labels(tmp_path, {"train_csv": cells("a", "[]")}, labels="single")
    found = labels(tmp_path, {"train_csv": cells("['a']", "a", "[other]", "[other]")}, labels="single")
    assert found == {"a": "a", "b": "a", "c": "[other]", "d": "[other]"}


def test_items_of_a_json_list_are_not_divided(tmp_path) -> None:
    lines = ['{"text": "a", "label": ["Toys, Games"]}', '{"text": "b", "label": ["x;y", "z"]}']
    assert labels(tmp_path, {"train_jsonl": "\n".join(lines)}) == {"a": ["Toys, Games"], "b": ["x;y", "z"]}


# --- the divider -------------------------------------------------------------------------------------------------


def test_the_divider_of_the_training_files_holds_for_all(tmp_path, caplog) -> None:
    files = {"train_csv": cells("Toys, Games;Books", "Toys, Games", "Books"), "test_csv": cells("Toys, Games")}
    with caplog.at_level(logging.INFO, "textapp"):
        assert labels(tmp_path, files) == {"a": ["Toys, Games", "Books"], "b": ["Toys, Games"], "c": ["Books"]}
    assert "labels are divided by ';'" in caplog.text
    assert "',' also occurs in 1 label, such as 'Toys, Games'" in caplog.text
    assert labels(tmp_path, files, "test", test="test.csv") == {"a": ["Toys, Games"]}
    layout = settled_layout(RECIPE, config_of(train="train.csv", labels="multiple"), tmp_path)
    manifest = {"task": "classification", "labels": ["Toys", "Games", "Books"], **layout.to_manifest()}
    assert manifest["label_separator"] == ";"
    with pytest.raises(DataError, match=r"test\.csv:2: found the label 'Toys, Games'"):
        RECIPE.load("test.csv", layout_of(manifest), tmp_path)


def test_the_divider_is_looked_for_in_all_training_files(tmp_path) -> None:
    write(tmp_path, one_csv=cells("Toys, Games"), two_csv=cells("x;y").replace(",a", ",z"))
    splits = load_splits(
        RECIPE, config_of(train=["one.csv", "two.csv"], labels="multiple", validation="one.csv"), tmp_path
    )
    found = [record["label"] for record in splits.train]
    assert sorted(found) == [["Toys, Games"], ["x", "y"]]


def test_a_divider_of_the_config(tmp_path) -> None:
    content = cells("Toys, Games", "a/b", "a")
    assert labels(tmp_path, {"train_csv": content}, label_separator="/") == {
        "a": ["Toys, Games"], "b": ["a", "b"], "c": ["a"]
    }  # fmt: skip
    assert labels(tmp_path, {"train_csv": content}, label_separator="")["b"] == ["a/b"]
    with pytest.raises(ConfigError, match="set labels: multiple"):
        config_of(train="train.csv", label_separator=";")


def test_a_manifest_of_an_earlier_version_has_no_divider() -> None:
    manifest = {"task": "classification", "columns": {}, "header": "auto", "pattern": None, "multiple": True}
    layout = layout_of(manifest)
    assert (layout.label_separator, layout.label_columns) == (None, ())
    with pytest.raises(UsageError):
        layout_of(manifest, "stars")


# --- names that look alike -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("label", "words"),
    [
        ("Boots\u200b", r"found the label 'Boots\u200b'.*one of Bags, Boots; it looks like 'Boots', but .*U\+200B"),
        ("boots", "it looks like 'Boots', but they differ in case"),
        ("B\u043e\u043ets", r"differ in U\+006F against U\+043E"),
        ("Boost", "did you mean 'Boots'"),
    ],
)
def test_an_unknown_label_shows_how_it_differs(tmp_path, label, words) -> None:
    write(tmp_path, a_csv=cells(label))
    layout = Layout({"text": "text", "label": "label"}, labels=("Bags", "Boots"))
    with pytest.raises(DataError, match=words.replace(r"\u", r"\\u")):
        RECIPE.load("a.csv", layout, tmp_path)


def test_a_missing_column_shows_how_one_differs(tmp_path) -> None:
    write(tmp_path, a_csv="te\ufeffxt,label,x\na,b,c\n")
    with pytest.raises(DataError, match=r"found 'te\\ufeffxt', .*looks like 'text', but they differ in U\+FEFF"):
        RECIPE.load("a.csv", Layout({"text": "text", "label": "label"}), tmp_path)


def test_texts_are_scanned_while_they_are_read(tmp_path, monkeypatch) -> None:
    from textapp.records import labelled
    from textapp.records.rows import Row

    def endless(path, layout, required=()):
        line = 0
        while True:
            line += 1
            yield Row(line, {"text": f"text {line}", "label": "a"})

    write(tmp_path, a_csv="text\n")
    monkeypatch.setattr(labelled, "scan_rows", endless)
    scanned = RECIPE.scan("a.csv", Layout({"text": "text", "label": "label"}, multiple=True), tmp_path)
    assert [next(scanned), next(scanned)] == [(1, {"text": "text 1"}), (2, {"text": "text 2"})]


# --- labels that may be none -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["NA", "nan", "None", "null", "N/A", "#N/A", "<NA>"])
def test_a_label_as_tools_write_a_missing_one_is_told(tmp_path, caplog, form) -> None:
    rows = "".join(f"good {i},pos\nbad {i},neg\n" for i in range(3))
    found = labels(tmp_path, {"train_csv": f"text,label\n{rows}x,{form}\ny,{form}\n"}, labels="single")
    assert found["x"] == found["y"] == form
    assert f"train.csv: the label of 2 rows is '{form}', the first is line 8: it is read as a class" in caplog.text


def test_other_labels_are_not_told(tmp_path, caplog) -> None:
    labels(tmp_path, {"train_csv": "text,label\na,Nana\nb,nothing\nc,no\nd,unknown\n"}, labels="single")
    assert "missing" not in caplog.text


# --- labels with a text glued to them --------------------------------------------------------------------------------


def glued(count: int, of: int, label: str = "财经世界{}好") -> str:
    rows = [f"__label__财经 好 {i}\n__label__体育 坏 {i}\n" for i in range(of // 2)]
    return "".join([*rows, *(f"__label__{label.format(i)} VR\n" for i in range(count))])


def test_texts_glued_to_a_known_label_are_an_error_with_their_line(tmp_path) -> None:
    found = r"train\.txt:25: found the label '财经世界0好', .* begins with the label '财经', as on 11 more lines: if a"
    with pytest.raises(DataError, match=found):
        labels(tmp_path, {"train_txt": glued(12, 24)}, labels="single")


def test_few_labels_that_begin_with_another_are_told(tmp_path, caplog) -> None:
    found = labels(tmp_path, {"train_txt": glued(1, 24)}, labels="single")
    assert found["VR"] == "财经世界0好"
    assert "train.txt:25: found the label '财经世界0好', which no other line has" in caplog.text
    assert "(1 such line): if a text is glued to the label, put a space between: '__label__财经 '" in caplog.text


def test_labels_that_occur_again_or_begin_otherwise_are_not_told(tmp_path, caplog) -> None:
    content = glued(0, 8) + "__label__财经新闻 a\n__label__财经新闻 b\n__label__文化 c\n"
    assert len(labels(tmp_path, {"train_txt": content}, labels="single")) == 11
    assert "glued" not in caplog.text


@pytest.mark.parametrize(
    ("known", "found", "expected"),
    [
        (["pos"], f"a.tsv:3: found the label '{'[' * 60}…', which", "expected one of pos ("),
        (["[" * 3000], "a.tsv:2: found the label 'pos', which", f"expected one of {'[' * 60}… ("),
    ],
)
def test_a_text_that_is_taken_for_a_label_is_cut_in_messages(tmp_path, known, found, expected) -> None:
    (tmp_path / "a.tsv").write_text(f"text\tlabel\ngood\tpos\nfine\t{'[' * 3000}\n", encoding="utf-8")
    with pytest.raises(DataError) as error:
        RECIPE.load("a.tsv", Layout({"text": ["text"], "label": ["label"]}, labels=known), tmp_path)
    assert found in str(error.value) and expected in str(error.value) and len(str(error.value)) < 400
