from __future__ import annotations

from textapp.records.lookalikes import lookalike_warnings, lookalikes


def test_groups_with_the_most_frequent_first() -> None:
    counts = {"boots": 2, "Boots": 5, "Bags": 3, "BOOTS\u200b": 1, "0": 4, "0.0": 4, "1": 9, "caf\u00e9": 1, "cafe": 1}
    assert lookalikes(counts) == [["Boots", "boots", "BOOTS\u200b"], ["0", "0.0"]]


def test_a_warning_says_how_many_and_what_differs() -> None:
    assert lookalike_warnings({"caf\u00e9": 1200, "cafe\u0301": 3, "Caf\u00e9": 2, "bar": 5}) == [
        "labels look alike, and are classes of their own: 'caf\u00e9' (1,200), 'cafe\u0301' (3, differs in U+00E9"
        " against U+0065 U+0301), 'Caf\u00e9' (2, differs in case): write them in one way if they mean the same"
    ]
    assert lookalike_warnings({"a": 1, "b": 2}) == []
    many = lookalike_warnings({name: 1 for number in range(10) for name in (f"x{number}", f"X{number}")})
    assert len(many) == 9 and many[-1] == "2 more groups of labels look alike"
