from __future__ import annotations

import pytest

from textapp.records.label_cells import divider_of, flag, is_vector, listed, other_dividers


@pytest.mark.parametrize(
    "cell",
    [
        "['pos', 'all']", '["pos","all"]', "[pos, all]", "{pos,all}", "['pos' 'all']", "['pos'\n 'all']",
        "{'pos', 'all'}", "('pos', 'all')", "[ 'pos' , \"all\" ]", "['pos', 'all',]", "['pos', None, 'all']",
        "[pos, nan, all]", "[pos|all]", "{pos; all}", r"['p\u006fs', 'all']",
    ],
)  # fmt: skip
def test_lists(cell) -> None:
    assert listed(cell) == ["pos", "all"]


@pytest.mark.parametrize(
    ("cell", "items"),
    [
        ("[]", []), ("{}", []), ("set()", []), ("[None]", []), ("['a']", ["a"]), ("('a',)", ["a"]),
        ("[0 2]", ["0", "2"]), ("[27]", ["27"]), ('{"Toys, Games",Books}', ["Toys, Games", "Books"]),
        (r"['it\'s', 'b|c;d']", ["it's", "b|c;d"]), ("[it's, C (lang)]", ["it's", "C (lang)"]),
        (r'["\u00e9", "a\"b"]', ["é", 'a"b']), ("[a b]", ["a b"]), ("[新闻, 财经]", ["新闻", "财经"]),
    ],
)  # fmt: skip
def test_items_as_they_are_written(cell, items) -> None:
    assert listed(cell) == items


@pytest.mark.parametrize(
    "cell",
    ["a", "a, b", "(a, b)", "(other)", "['a', 'b", "[['a'], ['b']]", "{'a': 1}", "['a'b]", "[a], [b]", "[", "()"],
)
def test_no_lists(cell) -> None:
    assert listed(cell) is None


def test_a_huge_cell_ends_at_once() -> None:
    assert listed("[" + "a," * 40_000 + "]") == ["a"] * 40_000
    assert listed("['" * 45_000 + "]") is None
    assert listed("[" + " " * 200_000 + "]") is None


def test_the_divider_of_a_column() -> None:
    assert divider_of({"a;b", "c,d"}) == ";"
    assert divider_of({"a", "['a', 'b']"}) is None
    assert other_dividers({"Toys, Games;Books", "x"}, ";") == {",": ["Toys, Games"]}


def test_flags() -> None:
    assert [flag(value) for value in ("1", "1.0", "TRUE", "yes")] == [True] * 4
    assert [flag(value) for value in ("0", " 0.0", "False", "no", "")] == [False] * 5
    assert [flag(value) for value in ("2", "-1", "0.5", "a")] == [None] * 4


def test_a_zero_or_one_for_each_label() -> None:
    assert is_vector(["0", "1", "0"])
    assert not is_vector(["0", "1"])
    assert not is_vector(["2", "2"])
