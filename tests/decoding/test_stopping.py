from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from textapp.decoding.stopping import UNFINISHED, Stops, pieces


def from_bytes(token_ids) -> str:
    return bytes(token_ids).decode("utf-8", errors="replace")


def test_the_text_is_cut_before_the_first_stop_string():
    assert Stops(["END", "\n"]).cut("one EN") == ("one EN", False)
    assert Stops(["END", "\n"]).cut("one END\ntwo") == ("one ", True)
    assert Stops(["END", "\n"]).cut("one\nEND") == ("one", True)
    assert Stops([]).cut("one") == ("one", False)


def test_of_two_stop_strings_the_first_to_be_complete_counts():
    assert Stops(["b", "abc"]).cut("abc") == ("a", True)
    assert Stops(["bc", "abc"]).cut("abc") == ("", True)


def test_what_may_become_a_stop_string_is_held_back():
    stops = Stops(["END", "\n\n"])
    assert stops.safe("one EN") == "one " and stops.safe("one\n") == "one" and stops.safe("one") == "one"
    assert Stops(["aab"]).safe("caa") == "c"


def test_a_character_is_shown_when_all_its_bytes_are_there():
    seen = list(pieces("天a气".encode(), from_bytes, Stops([])))
    assert seen == ["天", "a", "气"]


def test_bytes_that_stay_incomplete_are_shown_at_last():
    assert "".join(pieces(b"a\xe5\xa4", from_bytes, Stops([]))) == "a" + UNFINISHED
    assert "".join(pieces(b"a\xe5b", from_bytes, Stops([]))) == "a" + UNFINISHED + "b"


def test_nothing_of_a_stop_string_is_shown():
    assert list(pieces(b"one END two", from_bytes, Stops(["END"]))) == ["o", "n", "e", " "]
    assert list(pieces(b"one ENT", from_bytes, Stops(["END"]))) == ["o", "n", "e", " ", "ENT"]


def test_tokens_behind_the_stop_string_are_not_asked_for():
    asked = iter(b"a.b")
    assert list(pieces(asked, from_bytes, Stops(["."]))) == ["a"] and next(asked) == ord("b")


TEXT = st.text("abc。天🙂\n", max_size=30)


@given(TEXT, st.lists(st.text("abc。天", min_size=1, max_size=4), max_size=3))
def test_the_pieces_are_the_cut_text_and_never_more(text, strings):
    stops = Stops(strings)
    expected = stops.cut(text)[0]
    shown = ""
    for piece in pieces(text.encode(), from_bytes, stops):
        assert piece and UNFINISHED not in piece
        shown += piece
        assert expected.startswith(shown)
    assert shown == expected
