"""Anonymous sheets and the sign test, counted by hand."""

from __future__ import annotations

import pytest

from textapp.metrics.preference import anonymous_rows, best_letters, preference_table, sign_test, summary


def test_rows_hold_each_output_with_its_writers() -> None:
    outputs = [[f"a{row}", f"b{row}", f"a{row}"] for row in range(20)]
    rows, identical = anonymous_rows(outputs, seed=3)
    assert identical == 0
    for example, different, order in rows:
        assert {text: writers for text, writers in zip(different, order, strict=True)} == {
            f"a{example}": [0, 2],
            f"b{example}": [1],
        }
    # Neither the examples nor the letters stand in their old order.
    assert [example for example, _, _ in rows] != list(range(20))
    assert 0 < sum(order[0] == [1] for _, _, order in rows) < 20


def test_the_same_seed_gives_the_same_sheet() -> None:
    outputs = [[f"a{row}", f"b{row}"] for row in range(20)]
    assert anonymous_rows(outputs, 1) == anonymous_rows(outputs, 1) != anonymous_rows(outputs, 2)


def test_examples_on_which_all_agree_are_left_out() -> None:
    rows, identical = anonymous_rows([["a", "a"], ["a", "b"]], 1)
    assert ([example for example, _, _ in rows], identical) == ([1], 1)


@pytest.mark.parametrize(
    ("cell", "expected"),
    [("b", {1}), (" A ", {0}), ("Ｂ", {1}), ("tie", {0, 1, 2}), ("=", {0, 1, 2}), ("a=C", {0, 2}), ("AB", {0, 1})],
)
def test_what_a_judge_may_write(cell: str, expected: set[int]) -> None:
    assert best_letters(cell, 3) == expected


def test_an_empty_cell_is_no_judgement_and_nonsense_is_refused() -> None:
    assert best_letters("  ", 2) is None
    for cell in ("C", "better", "1", "?", "/"):
        with pytest.raises(ValueError, match="expected one of A, B, several of them, or tie"):
            best_letters(cell, 2)


def test_wins_losses_and_ties_of_two() -> None:
    swapped, straight = [[1], [0]], [[0], [1]]
    judgements = [({0}, straight), ({0}, swapped), ({1}, swapped), ({0, 1}, straight)]
    assert preference_table(judgements, 2, identical=5) == [
        {"first": 0, "second": 1, "wins": 2, "losses": 1, "ties": 6, "p": 1.0}
    ]


def test_of_three_the_best_beats_both_and_equal_outputs_tie() -> None:
    # Variants 0 and 2 wrote the same and are not the best; then 0 is the best of three different ones.
    pairs = preference_table([({1}, [[0, 2], [1]]), ({0}, [[0], [1], [2]])], 3)
    assert {(pair["first"], pair["second"]): (pair["wins"], pair["losses"], pair["ties"]) for pair in pairs} == {
        (0, 1): (1, 1, 0),
        (0, 2): (1, 0, 1),
        (1, 2): (1, 0, 0),
    }
    assert summary(["x", "y", "z"], pairs)[0]["second"] == "y"


def test_sign_test() -> None:
    assert (sign_test(0, 0), sign_test(5, 5), sign_test(8, 2), sign_test(2, 8), sign_test(6, 0)) == (
        1.0,
        1.0,
        0.1094,
        0.1094,
        0.0312,
    )
