from __future__ import annotations

import unicodedata

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from textapp.text.cleaning import STEPS, Cleaned, check_steps, clean, clean_text

# Pieces that steps care about, mixed with any characters at all.
SNIPPETS = st.sampled_from(
    ["<b>", "</p>", "<!--", "-->", "<script>", "&amp;", "&lt;", "http://a.b/c?d=1.", "www.x.org,", "Ｆｕｌｌ",
     "\u3000", "  ", "\n", "e\u0301", "\u0301", "ﬁ", "ß", "İ", "ΑΣ", "ｶﾞ", "\u1100\u1161\u11a8", "㈱", "中文",
     "😀", "مرحبا", "\x00", "\x1c"]
)  # fmt: skip
TEXTS = st.lists(st.one_of(SNIPPETS, st.text(max_size=4)), max_size=12).map("".join)
CHOICES = st.sets(st.sampled_from(STEPS))


@pytest.mark.parametrize(
    ("step", "text", "expected"),
    [
        ("html", "a<br>b <i>c</i>d", "a b cd"),
        ("html", "1 < 2 && 3 > 2, I <3 you", "1 < 2 && 3 > 2, I <3 you"),
        ("html", "<p class='x'>fish &amp; chips&#33;&#x21;</p>", " fish & chips!! "),
        ("html", "a<!-- <b>hidden</b> -->b<script>if (1 < 2) x()</script>c", "a b c"),
        ("html", "a<!-- never closed", "a "),
        ("urls", "see http://a.b/c?d=1. And WWW.x.org!", "see url. And url!"),
        ("urls", "访问https://a.cn/x看看", "访问url看看"),
        ("urls", "awww.cute and http:// alone", "awww.cute and http:// alone"),
        ("full_width", "Ｆｕｌｌ！\u3000１２３。ﬁ", "Full! 123。ﬁ"),
        ("nfkc", "ﬁne ①㈱ e\u0301", "fine 1(株) é"),
        ("lowercase", "ABC Straße ΑΣ", "abc strasse ασ"),
        ("whitespace", " \t a \n\n b\u3000c\u00a0 ", "a b c"),
    ],
)
def test_each_step_gives_the_text_written_by_hand(step: str, text: str, expected: str) -> None:
    assert clean_text(text, [step]) == expected
    assert clean(text, [step]).text == expected


@pytest.mark.parametrize(
    ("text", "steps", "expected"),
    [
        ("<b>ab</b>", ["html"], Cleaned("ab", [3, 4, 9], [4, 5])),
        ("e\u0301x", ["nfkc"], Cleaned("éx", [0, 2, 3], [2, 3])),
        ("aﬁ", ["nfkc"], Cleaned("afi", [0, 1, 1, 2], [1, 2, 2])),
        ("  a  b ", ["whitespace"], Cleaned("a b", [2, 3, 5, 7], [3, 5, 6])),
        ("<i>Ａ</i> &amp;", ["html", "full_width", "lowercase"], Cleaned("a &", [3, 8, 9, 14], [4, 9, 14])),
        ("plain", STEPS, Cleaned("plain", None, None)),
    ],
)
def test_origins_are_those_counted_by_hand(text: str, steps: list[str], expected: Cleaned) -> None:
    assert clean(text, steps) == expected


@settings(deadline=None)
@given(TEXTS, CHOICES)
@example("e\u0301", {"nfkc"})
def test_origins_ascend_and_lie_in_the_text(text: str, steps: set[str]) -> None:
    cleaned = clean(text, steps)
    assert cleaned.text == clean_text(text, steps)
    if cleaned.origins is None or cleaned.ends is None:
        assert cleaned.text == text
        return
    assert len(cleaned.origins) == len(cleaned.text) + 1
    assert cleaned.origins == sorted(cleaned.origins)
    assert cleaned.origins[-1] == len(text)
    assert len(cleaned.ends) == len(cleaned.text)
    assert all(0 <= start < end <= len(text) for start, end in zip(cleaned.origins, cleaned.ends, strict=False))


@settings(deadline=None)
@given(TEXTS)
@example("a&amp;<b>Ｂ</b>  C e\u0301 https://a.b")
def test_what_a_step_leaves_alone_keeps_its_own_origin(text: str) -> None:
    for step in STEPS:
        cleaned = clean(text, [step])
        for index, (start, end) in enumerate(zip(cleaned.origins or [], cleaned.ends or [], strict=False)):
            source = text[start:end]
            assert cleaned.text[index] == source or clean_text(source, [step]) != source


@settings(max_examples=300, deadline=None)
@given(st.one_of(TEXTS, st.text()))
def test_nfkc_by_clusters_is_nfkc_of_the_whole(text: str) -> None:
    assert clean(text, ["nfkc"]).text == unicodedata.normalize("NFKC", text)


def test_every_character_behind_a_letter_normalises_as_in_the_whole() -> None:
    for first in range(0x80, 0x20000, 0x80):
        text = "".join(f"a{chr(code)}\u0301\u0323{chr(code)}" for code in range(first, first + 0x80))
        assert clean(text, ["nfkc"]).text == unicodedata.normalize("NFKC", text), hex(first)


# Not html: "&lt;b&gt;" becomes a tag, which a second pass would drop.
@pytest.mark.parametrize("step", [step for step in STEPS if step != "html"])
@settings(deadline=None)
@given(text=TEXTS)
def test_a_second_pass_changes_nothing(step: str, text: str) -> None:
    once = clean_text(text, [step])
    assert clean_text(once, [step]) == once


def test_the_order_of_the_names_does_not_matter() -> None:
    text = "<P>Ｖisit&nbsp; HTTP://A.b/c </P>"
    assert clean_text(text, STEPS) == clean_text(text, tuple(reversed(STEPS))) == "visit url"
    assert check_steps(["whitespace", "html"]) == ("html", "whitespace")


def test_an_unknown_step_is_refused() -> None:
    with pytest.raises(ValueError, match=r"unknown cleaning steps \['htlm'\].*html, urls"):
        check_steps(["htlm"])


@pytest.mark.parametrize(
    "piece", ["<", "<!--", "<a ", "<script>", "&", "www.", "http://", "-->", " \n", "e\u0301", "ＡＢ"]
)
def test_a_long_text_of_any_kind_comes_through(piece: str) -> None:
    text = piece * (300_000 // len(piece))
    assert clean(text, STEPS).text == clean_text(text, STEPS)
