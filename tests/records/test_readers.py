from __future__ import annotations

import csv
import gzip
import io
import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from textapp.catalog import recipe_of
from textapp.config import Data
from textapp.errors import DataError
from textapp.records.files import expand
from textapp.records.layout import Layout
from textapp.records.readers import read_rows, scan_rows
from textapp.records.rows import RowError
from textapp.records.tables import csv_rows, tsv_rows

USUAL = {field: names for field, names in recipe_of("classification").keys.columns.items() if names}
DEFAULT = Data(train="a.tsv").fields(USUAL)
LAYOUT = Layout(DEFAULT, usual=USUAL)
NUMBERS = {"text": 1, "label": 0}
BOTH = ("text", "label")


def rows(tmp_path, name, content, columns=DEFAULT, header="auto", pattern=None, required=BOTH):
    path = tmp_path / name
    data = content if isinstance(content, bytes) else content.encode("utf-8")
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    found = list(read_rows(path, Layout(columns, header, pattern, usual=USUAL), required))
    return [(row.line, row.values["label"], row.values["text"]) for row in found]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", "label,text\n1,good\n0,bad\n"),
        ("a.csv.gz", "label;text\r\n1;good\r\n0;bad\r\n"),
        ("a.csv", "label\ttext\n1\tgood\n0\tbad"),
        ("a.tsv", "\ufeff Label \tTEXT_A\r\n1\tgood\r\n0\tbad\r\n"),
        ("a.jsonl", '\n{"text": "good", "label": 1}\n{"Sentence": "bad", "label": 0.0}\n'),
        ("a.json", '[\n{"text": "good", "label": "1"},\n{"text": "bad", "label": 0}]'),
        ("a.txt.gz", "\n__label__1 good\n__label__0 bad\n"),
    ],
)
def test_every_format(tmp_path, name, content) -> None:
    found = rows(tmp_path, name, content)
    one, zero = (["1"], ["0"]) if name == "a.txt.gz" else ("1", "0")  # a line of fastText may have several labels
    assert found == [(2, one, "good"), (3, zero, "bad")]


cells = st.text(st.characters(exclude_characters="\x00\r", exclude_categories=["Cs"]), min_size=1).filter(str.strip)


@given(st.lists(st.tuples(st.sampled_from(["a", "b"]), cells), min_size=1))
def test_csv_round_trip(table) -> None:
    file = io.StringIO()
    csv.writer(file).writerows([("label", "text"), *table])
    assert [tuple(row.cells) for row in csv_rows(io.StringIO(file.getvalue(), newline="\n"))][1:] == table


@given(st.lists(st.tuples(st.sampled_from(["a", "b"]), cells.filter(lambda c: not {"\n", "\t"} <= set(c)))))
def test_tsv_written_by_a_csv_writer_round_trip(table) -> None:
    file = io.StringIO()
    csv.writer(file, delimiter="\t").writerows([("label", "text"), *table])
    assert [tuple(row.cells) for row in tsv_rows(io.StringIO(file.getvalue(), newline="\n"))][1:] == table


@pytest.mark.parametrize("text", ['"a" is good', '"quoted"', '"open', 'close"', '"a"b"', "it's"])
def test_tsv_keeps_raw_quotes(tmp_path, text) -> None:
    assert rows(tmp_path, "a.tsv", f"label\ttext\n1\t{text}\n0\tb\n") == [(2, "1", text), (3, "0", "b")]


def test_a_tsv_full_of_stray_quotes_is_read_in_no_time() -> None:
    started = time.process_time()
    assert len(list(tsv_rows(["a\tb\tc\n", *['x\t"y\n'] * 5000]))) == 5001
    assert time.process_time() - started < 5  # it was a minute


@pytest.mark.parametrize(
    ("content", "columns", "expected", "first"),
    [
        ("x\tfoo\n1\ta\n1\tb\n0\tc\n0\td\n", NUMBERS, 5, (1, "x", "foo")),
        ("1\tfoo\n1\ta\n1\tb\n0\tc\n0\td\n", NUMBERS, 5, (1, "1", "foo")),
        ("label\tfoo\n1\ta\n0\tb\n", NUMBERS, 3, (1, "label", "foo")),
        ("x\tfoo\n1\ta\n1\tb\n0\tc\n0\td\n1\te\n", DEFAULT, 5, (2, "1", "a")),  # x occurs nowhere else
        ("good\tpos\nbad\tneg\nfine\tpos\nugly\tneg\n", DEFAULT, 4, (1, "pos", "good")),  # guessed: label second
    ],
)
def test_header_auto(tmp_path, content, columns, expected, first) -> None:
    found = rows(tmp_path, "a.tsv", content, columns)
    assert len(found) == expected and found[0] == first
    assert len(rows(tmp_path, "a.tsv", content, NUMBERS, header=False)) == content.count("\n")


def test_pattern(tmp_path) -> None:
    content = "DESC:manner How ?\nNUM:dist How far ?\n"
    found = rows(tmp_path, "TREC.train", content, pattern=r"(?P<label>\w+):\S+ (?P<text>.*)")
    assert found == [(1, "DESC", "How ?"), (2, "NUM", "How far ?")]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.csv", "", ["empty"]),
        ("a.csv", "label,text\n", ["no rows"]),
        ("a.csv", "labell,text,x\n1,a,b\n", ["labell", "did you mean 'labell'"]),
        ("a.csv", "LABELL,text,x\n1,a,b\n", ["did you mean 'LABELL'"]),
        ("a.tsv", "label\ttext\n1\ta\n1\n", ["a.tsv:3", "1 cell,", "expected 2 separated by tabs: add the others"]),
        ("a.csv", 'label,text\n1,"a\n0,b\n', ["a.csv:2", "never closed"]),
        ("a.csv", "label,text\n1,a\n1,b\n0,c, d\n", ["a.csv:4", "3 cells"]),
        ("a.csv", "1,a\n1,b\n0,c\n0,d\n0,e, f\n", ["a.csv:5", "3 cells", "most rows have 2"]),
        ("a.jsonl", '{"text": "a", "label": 1}\n{"text"\n', ["a.jsonl:2", "not JSON"]),
        ("a.jsonl", '{"text": "a", "label": 1}\n{"text": "b"}\n', ["a.jsonl:2", "label"]),
        ("a.json", '{"text": "a"}', ["no column for label: found 'text'"]),
        ("a.txt", "just a text\n", ["__label__", "pattern"]),
        (
            "a.tsv",
            b"label\ttext\n1\tcaf\xe9\n",
            [
                "a.tsv:2",
                "byte 6",
                "0xe9",
                "the line looks like cp1252, perhaps cp1250",
                ": set data.encoding: cp1252, or --encoding",
            ],
        ),
        ("a.tsv", "label\ttext\n".encode("utf-16"), ["is utf-16, not UTF-8: set data.encoding: utf-16"]),
        ("a.doc", "x", [".doc", ".csv"]),
    ],
)
def test_errors(tmp_path, name, content, words) -> None:
    with pytest.raises(DataError) as caught:
        rows(tmp_path, name, content)
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_a_column_beyond_the_last(tmp_path) -> None:
    with pytest.raises(DataError, match="no column 5 for text: the first line has 2 cells.*{text: N}, N from 0 to 1"):
        rows(tmp_path, "a.tsv", "1\ta\n", columns={"text": 5, "label": 0})


def test_a_row_at_fault_does_not_end_the_scan(tmp_path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "a"}\n{oops\n{"text": "b\\u2028"}\n', encoding="utf-8")
    first, second, third = scan_rows(path, LAYOUT, required=["text"])
    assert (first.values["text"], third.values["text"]) == ("a", "b\u2028")
    assert isinstance(second, RowError) and (second.line, second.input) == (2, "{oops")


def test_a_first_row_at_fault_does_not_end_the_scan(tmp_path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"txt": "é"}\n{"text": "b"}\n', encoding="utf-8")
    first, second = scan_rows(path, LAYOUT, required=["text"])
    assert isinstance(first, RowError) and (first.line, first.input) == (1, '{"txt": "é"}')
    assert second.values["text"] == "b"
    path.write_text('{"txt": "a"}\n{oops\n{"txt": "b"}\n', encoding="utf-8")
    with pytest.raises(DataError, match=r"a\.jsonl: no column for text: found 'txt'"):
        list(scan_rows(path, LAYOUT, required=["text"]))


def test_a_megabyte_cell(tmp_path) -> None:
    assert len(rows(tmp_path, "a.csv", f"label,text\n1,{'x' * 2**20}\n")[0][2]) == 2**20


def test_json_values(tmp_path) -> None:
    lines = [json.dumps({"text": ["a", "b"], "label": label}) for label in (1.0, True, ["x", "y"], None)]
    assert [row[1:] for row in rows(tmp_path, "a.jsonl", "\n".join(lines))] == [
        ("1", "a\nb"), ("true", "a\nb"), (["x", "y"], "a\nb"), ("", "a\nb")
    ]  # fmt: skip


def test_expand(tmp_path) -> None:
    for name in ("b.tsv", "a.tsv"):
        (tmp_path / name).write_text("x", encoding="utf-8")
    assert [path.name for path in expand("*.tsv", tmp_path)] == ["a.tsv", "b.tsv"]
    with pytest.raises(DataError, match="no such file"):
        expand("c.tsv", tmp_path)


def test_a_picture_is_no_text(tmp_path) -> None:
    (tmp_path / "a.txt").write_bytes(b"\x89PNG\r\n\x1a\n\0\0\0\r")
    with pytest.raises(DataError, match=r"a\.txt: is an image, though its name ends in \.txt"):
        list(scan_rows(tmp_path / "a.txt", Layout({"text": 0})))


# --- rows of a table -------------------------------------------------------------------------------------------------

HEADERLESS = "good\tpos\nfine\tpos\nbad\tneg\nugly\tneg\nwell\tpos\nill\tneg\n"


@pytest.mark.parametrize("columns", [DEFAULT, {"text": 0, "label": 1}])
@pytest.mark.parametrize("row", ["a\tb\tpos", "a\tneg\tpos"])
def test_a_tab_in_a_text_is_an_error_and_gives_no_label(tmp_path, columns, row) -> None:
    with pytest.raises(DataError, match=r"a\.tsv:7: found 3 cells, but most rows have 2: put a text"):
        rows(tmp_path, "a.tsv", HEADERLESS + row + "\n", columns)
    assert len(rows(tmp_path, "a.tsv", HEADERLESS + "a\tneg\t\n", columns)) == 7  # an empty cell is none


def test_sentence_pairs_may_have_a_third_cell(tmp_path) -> None:
    (tmp_path / "a.tsv").write_text("a\tb\nc\td\ne\tf\tby me\n", encoding="utf-8")
    found = list(read_rows(tmp_path / "a.tsv", Layout({"source": 0, "target": 1}), ("source", "target")))
    assert found[2].values == {"source": "e", "target": "f"}


def test_row_names_of_r(tmp_path) -> None:
    with pytest.raises(DataError, match=r"a\.tsv:2: found 3 cells, but the header has 2: give the first column a name"):
        rows(tmp_path, "a.tsv", '"text"\t"label"\n"1"\t"good"\t"pos"\n"2"\t"bad"\t"neg"\n')


@pytest.mark.parametrize("required", [BOTH, ("text",)])
def test_a_header_that_occurs_again_is_left_out(tmp_path, caplog, required) -> None:
    (tmp_path / "a.csv").write_text(
        "text,label\na,pos\ntext,label\nb,neg\ntext,pos\n\ufefftext,label\n", encoding="utf-8"
    )
    found = list(read_rows(tmp_path / "a.csv", LAYOUT, required))
    assert [(row.line, row.values["text"]) for row in found] == [(2, "a"), (4, "b"), (5, "text")]
    assert "a.csv: the header occurs again, and is left out there: line 3, 6 (2 in all)" in caplog.text
    (tmp_path / "b.csv").write_text("text\na\ntext\n", encoding="utf-8")
    assert [row.values["text"] for row in read_rows(tmp_path / "b.csv", LAYOUT, ("text",))] == ["a", "text"]


# --- files that are something else -----------------------------------------------------------------------------------


@pytest.mark.parametrize("required", [BOTH, ("text",)])
@pytest.mark.parametrize(
    ("name", "content", "found"),
    [
        ("a.csv", "text|label\na|pos\nb|neg\n", "its cells are separated by '|': put the line sep=| above the first"),
        ("a.tsv", "text|label\na|pos\n", "its cells are separated by '|': put the line sep=| above the first"),
        ("a.csv", "text::label\na::pos\n", "its cells are separated by '::': put a tab between them instead"),
        ("a.tsv", 'text,label\n"a, b",pos\n', "its cells are separated by ',', as those of a .csv: rename it to .csv"),
        ("a.tsv", "text;label\na;pos\n", "its cells are separated by ';', as those of a .csv: rename it to .csv"),
        ("a.tsv", "text   label\na    pos\n", "its cells are separated by spaces: put a tab between them"),
        ("a.csv", "# made by x\ntext,label\na,pos\n", "line 2 looks like the header: delete what is above it (line 1)"),
        (
            "a.csv",
            "My reviews\n\ntext,label\na,pos\n",
            "line 3 looks like the header: delete what is above it (lines 1",
        ),
        ("a.csv", "Reviews, 2024\ntext,label\na,pos\n", "line 2 looks like the header: delete what is above it"),
        ("a.tsv", "My reviews\ntext\tlabel\na\tpos\n", "line 2 looks like the header"),
        ("a.csv", '{"text": "a, b", "label": 1}\n' * 2, "looks like JSON, an object a line: rename it to .jsonl"),
        ("a.tsv", '[{"text": "a", "label": 1}]', "looks like JSON: rename it to .json"),
        ("a.csv", '{\n  "text": "a"\n}\n', "looks like JSON: rename it to .json"),
        ("a.csv", '<?xml version="1.0"?>\n<tmx>\n', "looks like XML: rename it to .xml, or a translation memory to"),
        ("a.csv", "| text | label |\n|---|---|\n| a | pos |\n", "looks like a table of Markdown: save it as .csv"),
        ("a.csv", "__label__pos good, yes\n__label__neg bad, no\n", "line 1 is in fastText's form ('__label__X text')"),
        ("a.tsv", "__label__pos good\n__label__neg bad\n", "line 1 is in fastText's form"),
        ("a.jsonl", "text,label\na,pos\n", "its cells are separated by ',', as those of a .csv: rename it to .csv"),
        ("a.json", "text\tlabel\na\tpos\n", "its cells are separated by a tab, as those of a .tsv: rename it to .tsv"),
    ],
)
def test_a_file_that_is_something_else(tmp_path, name, content, found, required) -> None:
    with pytest.raises(DataError) as caught:
        rows(tmp_path, name, content, required=required)
    assert str(caught.value).startswith(f"{tmp_path / name}: {found}")


@pytest.mark.parametrize(
    ("name", "content", "found"),
    [
        ("a.csv", "a|pos\nb|neg\n", "its cells are separated by '|': put the line sep=| above the first"),
        ("a.tsv", "a,pos\nb,neg\n", "its cells are separated by ',', as those of a .csv: rename it to .csv"),
        ("a.txt", "a\tpos\nb\tneg\n", "has no __label__, and its cells are separated by a tab, as those of a .tsv"),
        ("a.txt", "text,label\na,pos\n", "has no __label__, and its cells are separated by ',', as those of a .csv"),
    ],
)
def test_a_file_without_labels_that_seems_to_be_something_else(tmp_path, name, content, found) -> None:
    with pytest.raises(DataError) as caught:
        rows(tmp_path, name, content)
    assert str(caught.value).startswith(f"{tmp_path / name}: {found}")


@pytest.mark.parametrize(
    ("name", "content", "texts"),
    [
        ("a.csv", "sep=|\ntext|label\na|pos\n", ["a"]),
        ("a.csv", "text,label\nreview|label,pos\n", ["review|label"]),
        ("a.tsv", "label\ttext\n__label__pos\tgood food\n__label__neg\tbad\n", ["good food", "bad"]),
        ("a.csv", "__label__a,good food\n__label__a,x\n__label__b,y\n__label__b,z\n", ["good food", "x", "y", "z"]),
        ("a.csv", 'text,label\n"{""a"": 1}",pos\n', ['{"a": 1}']),
    ],
)  # fmt: skip
def test_a_file_that_is_what_it_says(tmp_path, name, content, texts) -> None:
    assert [text for _, _, text in rows(tmp_path, name, content)] == texts
