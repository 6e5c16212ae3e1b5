"""Whether a table has a header, and which column is which; no row is taken for a header without a word."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from textapp.catalog import parse_config, recipe_of
from textapp.errors import DataError
from textapp.recipes.splits import settled_layout
from textapp.records.layout import Layout
from textapp.records.readers import read_rows, scan_rows

KEYS = recipe_of("classification").keys
USUAL = {field: names for field, names in KEYS.columns.items() if names}
DEFAULT = {field: list(names) for field, names in USUAL.items()}
NUMBERS = {"text": 0, "label": 1}
BOTH = ("text", "label")


@pytest.fixture
def told(caplog) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, "textapp")
    return caplog


def texts(
    folder: Path,
    content: str,
    columns: dict = DEFAULT,
    required: Sequence[str] = ("text",),
    name: str = "a.csv",
    **layout: object,
) -> list[str]:
    """The texts of a file, read to predict unless the label is required."""
    (folder / name).write_text(content, encoding="utf-8")
    rows = scan_rows(folder / name, Layout(columns, usual=USUAL, **layout), required)
    return [row.values["text"] for row in rows]


def settled(folder: Path, train: str, task: str = "classification", name: str = "train.csv", **data: object) -> Layout:
    """The layout of a run that was trained on a file, as its manifest keeps it."""
    (folder / name).write_text(train, encoding="utf-8")
    raw = {"task": task, "run": "r", "data": {"train": name, **data}, "model": {"architecture": "lstm"}}
    recipe = recipe_of(task)
    manifest = settled_layout(recipe, parse_config(raw), folder).to_manifest()
    return Layout.of_manifest({**manifest, "labels": ["pos", "neg", "Target"]}, recipe.keys)


# --- by number -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("required", [BOTH, ("text",)])
@pytest.mark.parametrize(
    "first", ["love the new store,Target", "love it,unique", "review,pos", "title,sentiment analysis"]
)
def test_with_numbers_no_row_is_taken_for_a_header(tmp_path: Path, required: Sequence[str], first: str) -> None:
    content = f"{first}\ngood,pos\nfine,pos\nbad,neg\nugly,neg\n"
    assert texts(tmp_path, content, NUMBERS, required) == [first.split(",")[0], "good", "fine", "bad", "ugly"]


def test_with_numbers_what_can_only_be_a_header_is_no_example_of_training(tmp_path: Path, told) -> None:
    content = "Text,Label\ngood,pos\nbad,neg\n"
    with pytest.raises(DataError, match=r"a\.csv: the first row \(Text \| Label\) looks like a header.*header: true"):
        texts(tmp_path, content, NUMBERS, BOTH)
    assert texts(tmp_path, content, NUMBERS) == ["Text", "good", "bad"]
    assert "looks like a header" in told.text and "header: true, or --columns text=Text,label=Label" in told.text
    told.clear()
    assert texts(tmp_path, "text\ngood\n", NUMBERS) == ["text", "good"] and "--columns text=text" in told.text
    with pytest.raises(DataError, match=r"\(label \| text\) looks like a header.*--columns text=text,label=label"):
        texts(tmp_path, "label,text\npos,good\n", NUMBERS, BOTH)
    assert texts(tmp_path, content, NUMBERS, BOTH, header=True) == ["good", "bad"]
    assert texts(tmp_path, content, NUMBERS, BOTH, header=False) == ["Text", "good", "bad"]


def test_with_numbers_a_label_of_one_row_alone_is_told(tmp_path: Path, told) -> None:
    assert len(texts(tmp_path, "comment,stars\na,5\nb,5\nc,1\nd,1\n", NUMBERS, BOTH)) == 5
    assert "the first row (comment | stars) has a label that no other row has" in told.text


def test_with_a_number_for_the_text_alone_every_row_is_answered(tmp_path: Path, told) -> None:
    mixed = {"text": 0, "label": DEFAULT["label"]}
    assert texts(tmp_path, "love the new store,Target\nbad,neg\n", mixed) == ["love the new store", "bad"]
    assert "(love the new store | Target) is taken as an example: the columns are given by number" in told.text
    assert texts(tmp_path, "love the new store,x\nbad,neg\n", mixed) == ["love the new store", "bad"]
    told.clear()
    assert texts(tmp_path, "review,label\nbad,neg\n", mixed) == ["bad"] and told.text == ""
    assert texts(tmp_path, "comment,label\nbad,neg\n", mixed, BOTH) == ["bad"]
    assert "the first row (comment | label) is taken as the header" in told.text
    assert texts(tmp_path, "comment,stars\nbad,neg\n", {"text": 0, "label": ["stars"]}) == ["bad"]
    with pytest.raises(DataError, match="no column for label: found 'love', 'x'"):
        texts(tmp_path, "love,x\nbad,neg\n", mixed, BOTH)


# --- by name ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "columns"),
    [
        ("text,label\ngood,pos\n", DEFAULT),
        ("id,Label,Review\n1,pos,good\n", DEFAULT),
        ("content,stars\ngood,5\ntext,5\n", DEFAULT),
        ("a,b\ngood,pos\n", {"text": ["a"], "label": ["b"]}),
    ],
)
@pytest.mark.parametrize("required", [BOTH, ("text",)])
def test_an_ordinary_header_makes_no_noise(tmp_path: Path, told, content: str, columns: dict, required) -> None:
    assert texts(tmp_path, content, columns, required)[0] == "good"
    assert told.text == ""


def test_a_header_that_has_the_names_of_two_fields_is_no_guess(tmp_path: Path, told) -> None:
    columns = {"question": ["question"], "context": ["context"], "answer": ["answer"]}
    (tmp_path / "a.csv").write_text("question,context\nWho?,Ada.\n")
    layout = Layout(columns, usual={field: tuple(names) for field, names in columns.items()})
    rows = list(read_rows(tmp_path / "a.csv", layout, ("question", "context")))
    assert [row.values for row in rows] == [{"question": "Who?", "context": "Ada."}]
    assert told.text == ""


def test_a_header_without_the_label_is_told(tmp_path: Path, told) -> None:
    assert texts(tmp_path, "id,text\n1,good\n") == ["good"]
    assert "a.csv: the first row (id | text) is taken as the header" in told.text


@pytest.mark.parametrize("first", ["love the new store", "review"])
@pytest.mark.parametrize("form", ["{0},{1}\n", "{1},{0}\n"])
@pytest.mark.parametrize("required", [BOTH, ("text",)])
def test_a_name_that_other_rows_have_as_a_label_is_no_header(tmp_path: Path, told, first: str, form, required) -> None:
    rows = [(first, "Target"), ("good food", "Target"), ("so bad", "pos"), ("quite fine", "pos"), ("not so", "pos")]
    assert texts(tmp_path, "".join(form.format(*row) for row in rows), DEFAULT, required)[0] == first
    assert "is taken as an example: other rows have the same" in told.text


@pytest.mark.parametrize("required", [BOTH, ("text",)])
def test_a_name_that_is_a_known_label_is_no_header(tmp_path: Path, told, required) -> None:
    layout = settled(tmp_path, "good food,pos\nbad,neg\nfine,pos\nugly,neg\nwell,pos\nill,neg\n")
    (tmp_path / "a.csv").write_text("love the new store,Target\nreview,pos\n", encoding="utf-8")
    rows = list(scan_rows(tmp_path / "a.csv", layout, required))
    assert [(row.values["text"], row.values["label"]) for row in rows] == [
        ("love the new store", "Target"), ("review", "pos")
    ]  # fmt: skip
    assert "is taken as an example: it has a label of the model" in told.text


def test_a_header_may_have_the_name_of_a_label(tmp_path: Path, told) -> None:
    assert texts(tmp_path, "question,label\nwhy,question\n", labels=("question", "answer")) == ["why"]
    assert told.text == ""


HEADERLESS = "good food,pos\nbad,neg\nfine,pos\nugly,neg\nwell,pos\nill,neg\n"


def test_a_run_without_headers_answers_a_first_row_that_is_a_name(tmp_path: Path, told) -> None:
    layout = settled(tmp_path, HEADERLESS)
    (tmp_path / "a.csv").write_text("Review\ngood\n", encoding="utf-8")
    assert [row.values["text"] for row in scan_rows(tmp_path / "a.csv", layout, ("text",))] == ["Review", "good"]
    assert "a.csv: the first row (Review) is taken as an example" in told.text
    assert "--columns text=Review" in told.text


def test_a_run_without_headers_reads_a_file_with_one(tmp_path: Path) -> None:
    layout = settled(tmp_path, HEADERLESS)
    (tmp_path / "a.csv").write_text("label,text\npos,good\n", encoding="utf-8")
    assert [row.values for row in read_rows(tmp_path / "a.csv", layout, BOTH)] == [{"text": "good", "label": "pos"}]


def test_a_run_on_stories_without_header_goes_on_from_each_row(tmp_path: Path, told) -> None:
    layout = settled(tmp_path, "Once upon a time\nThere was\n", "generation")
    (tmp_path / "a.csv").write_text("Story\ngreat, really\n", encoding="utf-8")
    rows = [row.values for row in scan_rows(tmp_path / "a.csv", layout)]
    assert rows == [{"text": "Story"}, {"text": "great, really"}]


def test_a_header_guessed_from_its_labels_is_told(tmp_path: Path, told) -> None:
    content = "dish,kind\n" + HEADERLESS
    assert len(texts(tmp_path, content, required=BOTH)) == 6
    assert "the first row (dish | kind) is taken as the header" in told.text
    told.clear()
    layout = settled(tmp_path, content)
    assert "the header dish | kind; column 0 is taken as the text" in told.text
    assert len(list(read_rows(tmp_path / "train.csv", layout, BOTH))) == 6
    # To predict, a row goes only if all the others have labels of the model.
    assert texts(tmp_path, "a dish of the day,odd\n" + HEADERLESS)[0] == "a dish of the day"
    assert texts(tmp_path, "dish,kind\n" + HEADERLESS, labels=("pos", "neg"))[0] == "good food"


def test_two_columns_of_one_name(tmp_path: Path, told) -> None:
    with pytest.raises(DataError, match="the columns 0 and 2 are both named 'text', and their cells differ: rename"):
        texts(tmp_path, "text,label,Text\ngood,pos,fine\n")
    assert texts(tmp_path, "text,label,text\ngood,pos,good\n") == ["good"]
    assert "the columns 0 and 2 are both named 'text': the first is taken" in told.text
    assert texts(tmp_path, "text,label,label\ngood,pos,neg\n") == ["good"]
    with pytest.raises(DataError, match="both named 'label'"):
        texts(tmp_path, "text,label,label\ngood,pos,neg\n", required=BOTH)
    assert texts(tmp_path, "text,label,text\ngood,pos,fine\n", {"text": 2, "label": 1}, header=True) == ["fine"]


# --- headerless files to predict -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", "great,but pricey\nbad,and slow\n"),
        ("a.csv", "id,comment\n1,great\n2,bad\n"),
        ("a.tsv", "1\tgreat\n2\tbad\n"),
    ],
)
def test_of_two_columns_without_names_and_labels_none_is_taken(tmp_path: Path, name: str, content: str) -> None:
    with pytest.raises(
        DataError, match=r"cannot decide which column is the text: .* --columns text=0, or a first line"
    ):
        texts(tmp_path, content, name=name, labels=("pos", "neg"))


def test_a_run_without_headers_takes_no_part_of_a_text(tmp_path: Path) -> None:
    layout = settled(tmp_path, HEADERLESS)
    (tmp_path / "a.csv").write_text("great,but pricey\nbad,and slow\n", encoding="utf-8")
    with pytest.raises(DataError, match="cannot decide which column is the text"):
        list(scan_rows(tmp_path / "a.csv", layout, ("text",)))
    given = replace(layout, columns={**layout.columns, "text": 0})
    assert [row.values["text"] for row in scan_rows(tmp_path / "a.csv", given, ("text",))] == ["great", "bad"]
    for content in ("great,\nbad,\n", "great,pos\nbad,other\n"):
        (tmp_path / "a.csv").write_text(content, encoding="utf-8")
        assert [row.values["text"] for row in scan_rows(tmp_path / "a.csv", layout, ("text",))] == ["great", "bad"]


def test_labels_of_the_model_show_which_column_is_the_text(tmp_path: Path) -> None:
    for content in ("great\tpos\ngreat\tneg\ngreat\tpos\n", "pos\tgreat\nneg\tgreat\n"):
        assert set(texts(tmp_path, content, name="a.tsv", labels=("pos", "neg"))) == {"great"}
    several = {"labels": ("a", "b"), "multiple": True, "label_separator": "|"}
    assert texts(tmp_path, "x\ta|b\nx\ta\n", name="a.tsv", **several) == ["x", "x"]


def test_a_headerless_csv_with_spaces_is_not_said_to_be_one_column(tmp_path: Path, told) -> None:
    rows = "".join(f"good {i}, pos\nbad {i}, neg\n" for i in range(8))
    settled(tmp_path, rows)
    assert "column 0 is taken as the text" in told.text and "one column" not in told.text


# --- languages -------------------------------------------------------------------------------------------------------

PAIRS = "guten tag\thello there\ndas wetter\tthe weather\ndanke sehr\tthank you\n"


def pairs(folder: Path, first: str, name: str = "train.tsv", **data: str) -> list[tuple[str, str]]:
    layout = settled(folder, f"{first}\n{PAIRS}", "translation", name, **data)
    rows = read_rows(folder / name, layout, ("source", "target"))
    return [(row.values["source"], row.values["target"]) for row in rows]


@pytest.mark.parametrize(
    "first", ["Chinese\tEnglish", "zh\ten", "German\tEnglish", "DE\tEN", "中文\t英文", "zh-CN\ten-US"]
)
def test_names_of_languages_are_a_header(tmp_path: Path, told, first: str) -> None:
    assert pairs(tmp_path, first)[0] == ("guten tag", "hello there")
    assert f"the header {first.replace(chr(9), ' | ')}; column 0 is taken as the source" in told.text


@pytest.mark.parametrize("name", ["train.tsv", "train.txt"])
@pytest.mark.parametrize("first", ["German\tEnglish", "de\ten", "Deutsch\tEnglisch", "de-AT\teng"])
@pytest.mark.parametrize("both", [True, False])
def test_names_of_languages_decide_the_direction(tmp_path: Path, first: str, name: str, both: bool) -> None:
    languages = {"source_language": "en", "target_language": "de"} if both else {"source_language": "en"}
    assert pairs(tmp_path, first, name, **languages) == [
        ("hello there", "guten tag"), ("the weather", "das wetter"), ("thank you", "danke sehr")
    ]  # fmt: skip


def test_names_of_languages_among_other_columns(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,German,English\n1,guten tag,hello\n", encoding="utf-8")
    layout = settled(
        tmp_path, "id,German,English\n1,ja,yes\n", "translation", source_language="en", target_language="de"
    )
    (row,) = read_rows(tmp_path / "a.csv", layout, ("source", "target"))
    assert row.values == {"source": "hello", "target": "guten tag"}


def test_names_of_other_languages_than_those_of_the_run(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"names the languages fr and en \(French \| English\), expected en and de"):
        pairs(tmp_path, "French\tEnglish", source_language="en", target_language="de")


@pytest.mark.parametrize("first", ["Hi\tYo", "the\tdie", "German food\tEnglish food", "so\tnice"])
def test_words_are_no_names_of_languages(tmp_path: Path, first: str) -> None:
    assert pairs(tmp_path, first)[0] == tuple(first.split("\t"))


def test_codes_that_are_words_are_a_pair_of_other_languages(tmp_path: Path) -> None:
    languages = {"source_language": "en", "target_language": "de"}
    assert pairs(tmp_path, "it\tes", **languages)[0] == ("it", "es")


# --- rows ------------------------------------------------------------------------------------------------------------


def test_every_row_is_answered(tmp_path: Path) -> None:
    assert texts(tmp_path, 'text\ngood\n""\nbad') == ["good", "", "bad"]
    assert texts(tmp_path, "text,label\ngood,pos\n,\nbad,neg\n") == ["good", "", "bad"]
    assert texts(tmp_path, "text,label\ngood,pos\n,\nbad,neg\n", required=BOTH) == ["good", "bad"]
    assert texts(tmp_path, "great, really\nbad\n") == ["great, really", "bad"]
    assert texts(tmp_path, "great, really\nnice, cheap\n") == ["great, really", "nice, cheap"]


def test_a_first_row_with_more_cells_than_others_is_the_one_at_fault(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a\.csv:1: found 3 cells, but most rows have 2: put a text"):
        (tmp_path / "a.csv").write_text("great, really,pos\nbad,neg\nfine,pos\n", encoding="utf-8")
        list(read_rows(tmp_path / "a.csv", Layout(NUMBERS, usual=USUAL), BOTH))


def test_a_header_at_fault(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a\.csv:1: text follows a closing quote"):
        texts(tmp_path, '"text"x,label\ngood,pos\n', required=BOTH)
    with pytest.raises(DataError, match="has no rows"):
        texts(tmp_path, "sep=;\n")


@pytest.mark.parametrize("content", ["great, really\nbad\n", "great, really\nnice, cheap\n"])
def test_texts_with_commas_are_no_prompts_and_no_sentence_pairs(tmp_path: Path, content: str) -> None:
    (tmp_path / "a.csv").write_text(content, encoding="utf-8")
    layout = settled(tmp_path, content, "generation")
    expected = [{"text": line} for line in content.splitlines()]
    assert [row.values for row in read_rows(tmp_path / "a.csv", layout, ("text",))] == expected
    layout = settled(tmp_path, "source,target\na,b\n", "translation")
    rows = [row.values for row in scan_rows(tmp_path / "a.csv", layout, ("source",))]
    assert rows == [{"source": line} for line in content.splitlines()]


def test_a_stray_tab_in_texts_to_translate(tmp_path: Path, told) -> None:
    layout = settled(tmp_path, "source,target\na,b\n", "translation")
    (tmp_path / "a.txt").write_text("one\ttwo\nthree\n\nfour\n", encoding="utf-8")
    rows = [row.values["source"] for row in scan_rows(tmp_path / "a.txt", layout, ("source",))]
    assert rows == ["one\ttwo", "three", "", "four"]
    assert "a.txt: line 1 has a tab, most have none" in told.text


def test_shipped_layouts_on_real_data(data_dir: Path, told) -> None:
    for name, labels in (("chnsenticorp/train.tsv.gz", {"0", "1"}), ("sst2_phrases_67k/test.tsv.gz", {"0", "1"})):
        rows = list(read_rows(data_dir / name, Layout(DEFAULT, usual=USUAL), BOTH))
        assert {row.values["label"] for row in rows} == labels and rows[0].line == 2
    assert told.text == ""
