"""Rows of cells: delimiters, quotes, escapes, `sep=` lines, blank lines; each with its line, lazily."""

from __future__ import annotations

import csv
import io
import itertools
import time
import tracemalloc

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from textapp.records.dialects import Expected
from textapp.records.tables import csv_rows, tsv_rows

NAMES = Expected(names=frozenset({"text", "label", "review", "target"}))
TWO = Expected(columns=2)


def lines(text: str) -> io.StringIO:
    return io.StringIO(text, newline="\n")


def read(text: str, expected: Expected = NAMES) -> list[list[str]]:
    rows = list(csv_rows(lines(text), expected))
    assert [row.fault for row in rows] == [None] * len(rows)
    return [row.cells for row in rows]


def notes(text: str, expected: Expected = NAMES) -> list[str]:
    told: list[str] = []
    list(csv_rows(lines(text), expected, told.append))
    return told


# --- one column ------------------------------------------------------------------------------------------------------


def test_a_quoted_empty_cell_is_a_row() -> None:
    assert read('text\ngood\n""\nbad') == [["text"], ["good"], [""], ["bad"]]
    assert read('text,label\n"",pos\n,\n') == [["text", "label"], ["", "pos"], ["", ""]]


def test_blank_lines_are_no_rows_and_told_where_they_may_be_meant_as_one() -> None:
    assert read("text\ngood\n\n\nbad\n\n") == [["text"], ["good"], ["bad"]]
    (told,) = notes("text\ngood\n\n\nbad\n\n")
    assert "left out 2, the first is line 3" in told and 'written as ""' in told
    assert notes("text,label\ngood,pos\n\nbad,neg\n") == []


@pytest.mark.parametrize("reader", [csv_rows, tsv_rows])
def test_blank_lines_of_one_column_are_told_in_both_formats(reader) -> None:
    told: list[str] = []
    assert [row.cells for row in reader(lines("\ngreat\n\n\nbad\n\n"), NAMES, told.append)] == [["great"], ["bad"]]
    assert told == ['blank lines are no rows: left out 3, the first is line 1; an empty text is written as ""']
    told.clear()
    assert len(list(reader(lines("text\ngreat\nbad\n"), NAMES, told.append))) == 3 and told == []


@pytest.mark.parametrize(
    "rows",
    [
        ["great, really", "bad", "nice, cheap"],
        ["great, really", "nice, cheap"],
        ["great, really"],
        ["great,really"],
        ["it costs 1,000 dollars", "or 2,500, at most"],
        ["it costs 1,000 dollars", "or 2,500"],
        ["great, really, truly", "nice, cheap"],
        ["good; fine", "bad; ugly"],
        ["text, or not", "good", "bad"],
        ["bad", "great, really"],
    ],
)
def test_prose_is_not_cut_at_its_commas(rows: list[str]) -> None:
    assert read("\n".join(rows)) == [[row] for row in rows]


def test_what_was_decided_is_told() -> None:
    assert "line 1 has 2 cells, line 2 1" in notes("great, really\nbad\n")[0]
    assert "it may be that of a text" in notes("great, really\nnice, cheap\n")[0]
    assert "rows are split at ','" in notes("great,pos\nnice,neg\n")[0]
    assert notes("text,label\ngreat,pos\n") == notes("text\ngreat, really\n") == []


@pytest.mark.parametrize(
    ("text", "expected", "cells"),
    [
        ("great,pos\nnice,neg\n", NAMES, [["great", "pos"], ["nice", "neg"]]),
        ("text, label\ngood, pos\n", NAMES, [["text", " label"], ["good", " pos"]]),
        ("great, pos\nnice, neg\n", TWO, [["great", " pos"], ["nice", " neg"]]),
        ("great, pos\nnice, neg\n", Expected(labels=frozenset({"pos", "neg"})), [["great", " pos"], ["nice", " neg"]]),
        ('"great, really", x\nnice, y\n', NAMES, [["great, really", " x"], ["nice", " y"]]),
        ("a\tb, c\nd\te\n", NAMES, [["a", "b, c"], ["d", "e"]]),
        ("text,label\ngood\nbad, ugly, x\n", NAMES, [["text", "label"], ["good"], ["bad", " ugly", " x"]]),
    ],
)
def test_a_delimiter_that_is_one(text: str, expected: Expected, cells: list[list[str]]) -> None:
    assert read(text, expected) == cells


# --- quotes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "cells"),
    [
        (r'"27\"",pos' + "\nfine,neg\n", [['27"', "pos"], ["fine", "neg"]]),
        (r'"27\"",pos' + '\n"x",neg\n', [['27"', "pos"], ["x", "neg"]]),
        (r'"27\"",pos' + '\nsize 30",neg\n', [['27"', "pos"], ['size 30"', "neg"]]),
        (r'pos,"27\""' + "\nneg,fine\n", [["pos", '27"'], ["neg", "fine"]]),
        (r'pos,"27\""' + '\nneg,size 30"\n', [["pos", '27"'], ["neg", 'size 30"']]),
        (r'"a \"b, c\" d",pos' + "\nx,neg\n", [['a "b, c" d', "pos"], ["x", "neg"]]),
        (r'"a \"b\" \\",pos' + "\nx,neg\n", [['a "b" \\', "pos"], ["x", "neg"]]),
        (r'"a \"b\" C:\\dir",pos' + "\nx,neg\n", [['a "b" C:\\dir', "pos"], ["x", "neg"]]),
        (r'"a \"b\" C:\dir",pos' + "\nx,neg\n", [['a "b" C:\\dir', "pos"], ["x", "neg"]]),
        ('"a \\"b\\"\\\nc",pos\nx,neg\n', [['a "b"\nc', "pos"], ["x", "neg"]]),
        ('"a \\"b\\"\nc",pos\nx,neg\n', [['a "b"\nc', "pos"], ["x", "neg"]]),
    ],
)
def test_quotes_escaped_by_a_backslash(text: str, cells: list[list[str]]) -> None:
    assert read("text,label\n" + text)[1:] == cells
    assert read(text, TWO) == cells
    assert "escaped by a backslash" in notes("text,label\n" + text)[0]


@pytest.mark.parametrize(
    ("text", "cells"),
    [
        ('"C:\\dir\\",pos\n"fine",neg\n', [["C:\\dir\\", "pos"], ["fine", "neg"]]),
        ('"say \\""hi\\""\nbye",pos\nx,neg\n', [['say \\"hi\\"\nbye', "pos"], ["x", "neg"]]),
        ('27\\",pos\nx,neg\n', [['27\\"', "pos"], ["x", "neg"]]),
        ('5" screen,pos\na "b" c,neg\n', [['5" screen', "pos"], ['a "b" c', "neg"]]),
    ],
)
def test_backslashes_and_quotes_of_the_standard_stay(text: str, cells: list[list[str]]) -> None:
    assert read("text,label\n" + text)[1:] == cells
    assert notes("text,label\n" + text) == []


@pytest.mark.parametrize(
    ("text", "cells"),
    [
        ("'good, cheap','pos'\n'bad','neg'\n", [["good, cheap", "pos"], ["bad", "neg"]]),
        ("'text','label'\n'good, cheap','pos'\n", [["text", "label"], ["good, cheap", "pos"]]),
        ("text,label\n'good, cheap',1\n'bad',0\n", [["text", "label"], ["good, cheap", "1"], ["bad", "0"]]),
        ("text;label\n'it''s; ok';1\n'bad\n\"x\"';0\n", [["text", "label"], ["it's; ok", "1"], ['bad\n"x"', "0"]]),
        ("text,label\n'it\\'s, ok',1\n'bad',0\n", [["text", "label"], ["it's, ok", "1"], ["bad", "0"]]),
        ("text\n'good, cheap'\n'bad'\n", [["text"], ["good, cheap"], ["bad"]]),
        ("text,label\n'good, cheap',pos\nbad,neg\n", [["text", "label"], ["good, cheap", "pos"], ["bad", "neg"]]),
    ],
)
def test_single_quotes_around_every_cell_of_a_column(text: str, cells: list[list[str]]) -> None:
    assert read(text) == cells
    assert notes(text) == ["cells are quoted by '"]


@pytest.mark.parametrize(
    "rows",
    [
        [["'tis good", "pos"], ["it's", "neg"]],
        [["'tis the lads'", "pos"], ["bad", "neg"]],
        [["'good'", "pos"], ["the dogs'", "neg"]],
        [["'tis the 'best'", "pos"], ["'twas", "neg"]],
        [["rock 'n' roll", "pos"], ["'n' roll", "neg"]],
    ],
)
def test_apostrophes_stay(rows: list[list[str]]) -> None:
    assert read("".join(f"{','.join(row)}\n" for row in [["text", "label"], *rows]))[1:] == rows
    assert read("".join(f"{','.join(row)}\n" for row in rows), TWO) == rows


def test_apostrophes_that_look_like_quotes_in_one_row_are_no_reason_to_cut_another() -> None:
    found = list(csv_rows(lines("text,label\n'good, cheap',pos\n'tis bad,neg\nfine,pos\n"), NAMES))
    assert [len(row.cells) for row in found] == [2, 3, 2, 2]  # the row with three is at fault
    assert found[2].cells == ["'tis bad", "neg"]


def test_a_space_before_a_quote() -> None:
    assert read('"good", "pos"\n"bad, worse", "neg"\n', TWO) == [["good", "pos"], ["bad, worse", "neg"]]
    assert read('text,label\nhe said, "no",pos\nb,neg\n')[1] == ["he said", ' "no"', "pos"]
    assert read('he said, "no"\nshe said, "yes"\n') == [['he said, "no"'], ['she said, "yes"']]


@pytest.mark.parametrize(
    ("text", "cells"),
    [
        ('text,label\ngood,  "pos"\nbad, "neg"\n', [["text", "label"], ["good", "pos"], ["bad", "neg"]]),
        ('text, label\ngood, "pos"\nbad, "neg"\n', [["text", "label"], ["good", "pos"], ["bad", "neg"]]),
        ('label, text\npos, "good, so"\nneg, "bad"\n', [["label", "text"], ["pos", "good, so"], ["neg", "bad"]]),
    ],
)
def test_a_header_may_be_without_the_quotes_of_its_column(text: str, cells: list[list[str]]) -> None:
    assert read(text) == cells
    assert notes(text) == [
        'quotes after a delimiter and a space (, ") are those of a cell: they are left out, with the space'
    ]


def test_quotes_after_a_space_in_some_rows_alone_stay() -> None:
    assert read('text, label\ngood, "pos"\nbad, neg\n')[1:] == [["good", ' "pos"'], ["bad", " neg"]]


@pytest.mark.parametrize(
    ("text", "cells", "columns"),
    [
        ('"text"\t"label"\n"a"\t"pos"\n"b"\t"neg"\n', [["text", "label"], ["a", "pos"], ["b", "neg"]], "0, 1"),
        ('"text"\t"label"\n"a"\t1\n"b"\t2\n', [["text", "label"], ["a", "1"], ["b", "2"]], "0"),
        ('text\tlabel\na\t"pos"\nb\t"neg"\n', [["text", "label"], ["a", "pos"], ["b", "neg"]], "1"),
        ('"a \\"b\\" c"\t1\n"a ""b"" c"\t2\n"""d"""\t3\n', [['a "b" c', "1"], ['a "b" c', "2"], ['"d"', "3"]], "0"),
        (
            '"e"\t1\n"a\tb"\t2\n"c\nd"\t3\n"f"\t4\n"g"\t5\n',
            [["e", "1"], ["a\tb", "2"], ["c\nd", "3"], ["f", "4"], ["g", "5"]],
            "0",
        ),
    ],
)
def test_a_tsv_with_quotes_around_every_cell_of_a_column(text: str, cells: list[list[str]], columns: str) -> None:
    told: list[str] = []
    assert [row.cells for row in tsv_rows(lines(text), NAMES, told.append)] == cells
    assert told == [f"every cell of column {columns} is quoted: the quotes are left out"]


@pytest.mark.parametrize("row", ['"b" c', 'b "c"', '"b', "b"])
def test_quotes_of_a_tsv_stay_if_one_cell_of_the_column_has_none(row: str) -> None:
    content = f'text\tlabel\n"a"\tpos\n{row}\tneg\n"x" y\tneg\n'
    told: list[str] = []
    assert [row.cells[0] for row in tsv_rows(lines(content), NAMES, told.append)] == ["text", '"a"', row, '"x" y']
    assert told == []


GOOD = "".join(f"good {i},pos\nbad {i},neg\n" for i in range(10))


@pytest.mark.parametrize(
    ("header", "row"),
    [
        ("text,label\n", '"hello there,pos\nso bad,neg\nagain so",neg\n'),
        ("text,label\n", '"hello there,pos\nagain so",neg\n'),
        ("text;label\n", '"hello there;pos\nso bad;neg\nagain so";neg\n'),
        ("label,text\n", 'pos,"hello there\nneg,so bad\npos,close"\n'),
    ],
)
def test_rows_that_a_stray_quote_swallows_are_read_on(header: str, row: str) -> None:
    good = GOOD
    if ";" in header:
        good = good.replace(",", ";")
    elif header.startswith("label"):
        good = "".join(",".join(reversed(line.split(","))) + "\n" for line in good.splitlines())
    found = list(csv_rows(lines(header + good + row), NAMES))
    (fault,) = [found_row for found_row in found if found_row.fault]
    last = 21 + row.count("\n")
    assert fault.line == fault.last_line == 22 and fault.cells == [row.split("\n")[0]]
    assert f"goes on to line {last}, and its lines look like rows: remove the quote that opens in this" in fault.fault
    assert [one.line for one in found] == list(range(1, last + 1))


def test_a_cell_that_swallowed_the_whole_file_is_told() -> None:
    content = f'text,label\n"hello there,pos\n{GOOD}again so",neg\n'
    (told,) = notes(content)
    assert told.startswith("line 2: the cell that begins here goes on to line 23, and its lines look like rows:")
    assert len(read(content)) == 2


@pytest.mark.parametrize(
    "text", ["Hello, you\nwe liked, it\nreally, so", "a\nb,c", "Dear John,\nthanks", "it was,pos\n\nthe end, so, ok"]
)
def test_texts_over_several_lines_are_no_rows(text: str) -> None:
    assert read(f'text,label\n{GOOD}"{text}",neg\n')[-1] == [text, "neg"]
    assert notes(f'text,label\n{GOOD}"{text}",neg\n') == []


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ('"good, x" ,pos', "spaces follow a closing quote: remove them"),
        ('pos,"good, x" ', "spaces follow a closing quote: remove them"),
        ('"a"b,pos', "text follows a closing quote: double every quote inside a quoted cell"),
        ('"a,pos', "a quote in this row is closed 2 lines below, where text follows it"),
        ("x\ry,pos", "a carriage return is inside a cell without quotes"),
        ('"a"b\\",pos', 'double every quote inside a quoted cell (as "", not as \\")'),
    ],
)
def test_a_row_at_fault_takes_no_other_with_it(row: str, words: str) -> None:
    found = list(csv_rows(lines(f'text,label\n{row}\nc,neg\n"d",pos\ne "x",neg\n'), NAMES))
    assert [(line.line, line.cells) for line in found if line.fault is None] == [
        (1, ["text", "label"]), (3, ["c", "neg"]), (4, ["d", "pos"]), (5, ['e "x"', "neg"])
    ]  # fmt: skip
    (fault,) = [line for line in found if line.fault]
    assert (fault.line, fault.cells) == (2, [row]) and words in fault.fault


def test_a_quote_that_is_never_closed() -> None:
    found = list(csv_rows(lines('text,label\na,pos\n"b,neg\nc,pos\n'), NAMES))
    assert [row.cells for row in found] == [["text", "label"], ["a", "pos"], ['"b,neg'], ["c", "pos"]]
    assert "never closed" in found[2].fault and found[3].line == 4


def test_faults_without_end_are_read_in_no_time() -> None:
    started = time.process_time()
    found = list(csv_rows(["text,label\n", *['"a""b\n', '"c,d\n'] * 20_000], NAMES))
    assert sum(row.fault is not None for row in found) > 20_000
    assert time.process_time() - started < 10


# --- sep= ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reader", [csv_rows, tsv_rows])
@pytest.mark.parametrize("first", ["sep=;", '"sep=;"', "SEP=;", "\ufeffsep=;"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_first_line_sets_the_delimiter(reader, first: str, end: str) -> None:
    found = list(reader(lines(end.join([first, "text;label", "1,5;a", '"b;c";d', ""])), NAMES))
    assert [(row.line, row.cells) for row in found] == [
        (2, ["text", "label"]), (3, ["1,5", "a"]), (4, ["b;c", "d"])
    ]  # fmt: skip


@pytest.mark.parametrize(("first", "delimiter"), [("sep=,", ","), ("sep=\t", "\t"), ("sep=\\t", "\t"), ("sep=|", "|")])
@pytest.mark.parametrize("reader", [csv_rows, tsv_rows])
def test_any_delimiter_can_be_set(reader, first: str, delimiter: str) -> None:
    found = list(reader(lines(f"{first}\na{delimiter}b; c\n")))
    assert [(row.line, row.cells) for row in found] == [(2, ["a", "b; c"])]


@pytest.mark.parametrize("text", ["sep=a\n", "sep=;x\n", "my sep=;\n"])
def test_other_first_lines_are_rows(text: str) -> None:
    assert next(csv_rows(lines(text))).line == 1


# --- round trips -----------------------------------------------------------------------------------------------------

cells = st.text(st.characters(exclude_characters="\x00\r", exclude_categories=["Cs"]))
odd = st.text(st.sampled_from("ab,;\t\n\"'\\ "), min_size=0, max_size=8)
tables = st.lists(st.tuples(cells | odd, cells | odd, st.sampled_from(["pos", "neg"])), min_size=1)


@given(
    tables,
    st.sampled_from([",", ";", "\t"]),
    st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]),
    st.sampled_from(["\n", "\r\n"]),
)
def test_what_a_csv_writer_writes_is_read_back(table, delimiter: str, quoting: int, end: str) -> None:
    file = io.StringIO()
    writer = csv.writer(file, delimiter=delimiter, quoting=quoting, lineterminator=end)
    writer.writerows([("text", "other", "label"), *table])
    assert [tuple(row) for row in read(file.getvalue())][1:] == table


@given(st.lists(cells | odd, min_size=1))
@example(['\\"\n0'])
def test_one_column_is_read_back(texts: list[str]) -> None:
    file = io.StringIO()
    csv.writer(file).writerows([["text"], *([text] for text in texts)])
    assert read(file.getvalue())[1:] == [[text] for text in texts]


def spark(cell: str) -> str:
    quoted = cell.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{quoted}"' if any(mark in cell for mark in ',\n"\\') else cell


@given(st.lists(st.text(st.sampled_from('ab,\n"\\ ')), min_size=1))
@example(['27"'])
@example(['x\n"y', "\\"])
def test_backslash_escapes_are_read_back(texts: list[str]) -> None:
    table = [[f'as 27" {text}', "pos"] for text in texts]
    content = "".join(f"{spark(text)},{label}\n" for text, label in [["text", "label"], *table])
    assert read(content)[1:] == table


# --- streams ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("reader", "row"), [(csv_rows, "some text {},pos\n"), (tsv_rows, 'some "text {}\tpos\n')])
def test_rows_come_before_the_end_and_in_flat_memory(reader, row: str, monkeypatch) -> None:
    monkeypatch.setattr("textapp.records.tables.PEEKED_ROWS", 500)
    count = itertools.count()
    next(reader((row.format(number) for number in count), TWO))
    assert next(count) <= 1001
    tracemalloc.start()
    for found in reader((row.format(number) for number in range(20_000)), TWO):
        assert len(found.cells) == 2
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 2**20


def test_tsv_cells_over_lines_and_empty_ones() -> None:
    found = list(tsv_rows(lines('a\tb\n"x\ny"\tz\n\t\n\n""\t1\n')))
    assert [(row.line, row.last_line, row.cells) for row in found] == [
        (1, 1, ["a", "b"]), (2, 3, ["x\ny", "z"]), (4, 4, ["", ""]), (6, 6, ["", "1"])
    ]  # fmt: skip
