from __future__ import annotations

import pytest

from textapp.records.keywords import keywords, terms


def test_terms_of_words_and_of_characters() -> None:
    assert list(terms("Good film")) == ["good", "film", "good film"]
    assert list(terms("很好看")) == ["很好", "好看", "很好看"]


def test_terms_do_not_reach_across_punctuation() -> None:
    assert "bad good" not in list(terms("bad. Good"))
    assert "坏好" not in list(terms("很坏，好看"))


def test_both_scripts_may_stand_in_one_text() -> None:
    assert {"wifi", "很慢"} <= set(terms("wifi很慢"))


@pytest.mark.evaluate
def test_keywords_tell_classes_apart_in_two_languages() -> None:
    bad = ["The room was dirty and loud", "dirty floor, dirty towels", "房间很脏", "浴室很脏"]
    good = ["The room was spotless", "spotless floor and a view", "房间很美", "花园很美"]
    records = [{"text": text, "label": "bad"} for text in bad] + [{"text": text, "label": "good"} for text in good]
    found = keywords(records, max_terms=20)
    assert {"dirty", "很脏"} <= set(found["bad"]["words"])
    assert {"spotless", "很美"} <= set(found["good"]["words"])
    assert not set(found["bad"]["words"]) & set(found["good"]["words"])


@pytest.mark.evaluate
def test_texts_without_words_have_no_keywords() -> None:
    records = [{"text": "!!!", "label": "a"}, {"text": "???", "label": "b"}]
    assert keywords(records) == {"a": {"words": [], "phrases": []}, "b": {"words": [], "phrases": []}}
