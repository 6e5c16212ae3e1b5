from __future__ import annotations

import pytest

from textapp.errors import did_you_mean, difference, look, looks_like, plural, visible


@pytest.mark.parametrize(
    ("first", "second", "differ"),
    [
        ("Boots", "boots", "case"),
        ("Boots", "Boots\u200b", "U+200B"),
        ("Boots", "Boots\xa0", "U+00A0"),
        ("caf\u00e9", "cafe\u0301", "U+00E9 against U+0065 U+0301"),
        ("\u00e9t\u00e9", "e\u0301te\u0301", "U+00E9 against U+0065 U+0301"),
        ("0", "0.0", "U+002E U+0030"),
        ("\uff21", "A", "U+FF21 against U+0041"),
        ("a", "\u0430", "U+0061 against U+0430"),
        ("COP", "\u0421\u041e\u0420", "U+0043 U+004F U+0050 against U+0421 U+041E U+0420"),
        ("food  and drink", "food and drink", "U+0020"),
        ("pos", "\ufeffpos", "U+FEFF"),
        ("pos", "pos\ufe0f", "U+FE0F"),
        ("pos", "po\u3164s", "U+3164"),
        ("don't", "don\u2019t", "U+0027 against U+2019"),
        ("\ufb01n", "fin", "U+FB01 against U+0066 U+0069"),
        ("stra\u00dfe", "strasse", "U+00DF against U+0073"),
        ("Stra\u00dfe", "STRASSE", "U+00DF against U+0073"),
        ("sci\u2010fi", "sci-fi", "U+2010 against U+002D"),
    ],
)
def test_names_that_look_alike(first, second, differ) -> None:
    assert look(first) == look(second)
    assert difference(first, second) == differ
    assert looks_like(second, [first]) == f"; it looks like '{visible(first)}', but they differ in {differ}"


@pytest.mark.parametrize(
    ("first", "second"),
    [("1", "11"), ("1", "-1"), ("1.5", "1"), ("a", "b"), ("да", "дa1"), ("好", "好的"), ("c", "c++")],
)
def test_names_that_do_not_look_alike(first, second) -> None:
    assert look(first) != look(second)
    assert looks_like(second, [first]) == ""


def test_visible() -> None:
    assert visible("好 Boots\u200b\n\x1b[31m\ufe0f\U000e0100") == r"好 Boots\u200b\n\x1b[31m\ufe0f\U000e0100".replace(
        r"\n", r"\x0a"
    )


def test_a_suggestion_that_looks_alike_says_what_differs() -> None:
    known = ["epochs", "batch_size"]
    assert did_you_mean("epoch", known) == "; did you mean 'epochs'?"
    assert did_you_mean("Epochs", known) == "; did you mean 'epochs'?"
    assert did_you_mean("epochs\u200b", known) == "; did you mean 'epochs', which differs in U+200B?"
    assert did_you_mean("zzz", known) == ""
    assert did_you_mean("review", ["ID", " REVIEWS"], lambda name: name.strip().casefold()) == (
        "; did you mean ' REVIEWS'?"
    )


@pytest.mark.parametrize(
    ("count", "expected"), [(0, "0 steps"), (1, "1 step"), (2, "2 steps"), (1200, "1,200 steps"), (-1, "-1 steps")]
)
def test_a_number_with_its_noun(count: int, expected: str) -> None:
    assert plural(count, "step") == expected
