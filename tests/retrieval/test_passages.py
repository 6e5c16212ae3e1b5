from __future__ import annotations

import hypothesis.strategies as st
import pytest
from hypothesis import given

from textapp.retrieval.passages import OVERLAP, SIZE, passages

LETTERS = st.text(st.sampled_from("ab \n.。，北京ที่é\u0301\r"), max_size=400)


def parts(text: str, size: int = SIZE, overlap: int = OVERLAP) -> list[str]:
    return [text[start:end] for start, end in passages(text, size, overlap)]


@given(LETTERS, st.integers(1, 60), st.integers(0, 20))
def test_every_character_is_in_a_passage(text: str, size: int, overlap: int) -> None:
    ranges = list(passages(text, size, overlap))
    assert [start for start, _ in ranges] == sorted({start for start, _ in ranges})
    covered = {place for start, end in ranges for place in range(start, end)}
    assert covered == set(range(len(text)))
    assert all(0 <= start < end <= len(text) for start, end in ranges)


@given(st.lists(st.text(st.sampled_from("abc"), min_size=1, max_size=30), max_size=60), st.integers(30, 90))
def test_no_word_is_cut(words: list[str], size: int) -> None:
    text = " ".join(words)
    for part in parts(text, size, 10):
        assert set(part.split()) <= set(words) and len(part) <= 4 * size


def test_a_short_text_is_one_passage() -> None:
    assert parts("One. Two.") == ["One. Two."] and parts("") == []


def test_paragraphs_are_preferred_to_sentences() -> None:
    text = "A first one. And so on.\n\nA second one. And so it went on for long."
    assert parts(text, 45, 0)[0] == "A first one. And so on.\n\n"


def test_sentences_are_preferred_to_words() -> None:
    assert parts("It is so. It was so. It will be so.", 25, 0) == ["It is so. It was so. ", "It will be so."]
    assert parts("他来了。他走了。他又来了。", 9, 0) == ["他来了。他走了。", "他又来了。"]


def test_numbers_and_names_of_sites_end_no_sentence() -> None:
    assert parts("It costs 3.50 at example.com in all shops", 30, 0)[0] == "It costs 3.50 at example.com "


def test_the_last_sentence_is_repeated_if_it_is_short() -> None:
    text = "A long first sentence with many words. Short one. And the last sentence of all."
    assert parts(text, 55, 10) == [text[:50], "Short one. And the last sentence of all."]


def test_words_are_repeated_where_the_sentence_is_long() -> None:
    first, second = parts("one two three four five six seven eight", 24, 8)
    assert first == "one two three four five " and second == "five six seven eight"


def test_a_word_of_many_passages_is_cut_before_a_letter_not_a_mark() -> None:
    text = "e\u0301" * 50
    assert [len(part) for part in parts(text, 10, 0)] == [40, 40, 20]
    assert [len(part) for part in parts("x" + text, 10, 0)][0] == 41


@pytest.mark.parametrize("text", ["x" * 300_000, " " * 300_000, "。" * 100_000, "a\n\n" * 100_000])
def test_long_texts_take_little_time(text: str) -> None:
    assert sum(end - start for start, end in passages(text)) >= len(text)
