"""ROUGE, distinct n-grams and perplexity on cases small enough to count by hand."""

from __future__ import annotations

import math

import pytest

from textapp.metrics.generation import Words, distinct, generation_scores, perplexity, rouge


def test_words_of_mixed_text() -> None:
    assert Words().tokenize("今天 is good_1, naïve!") == ["今", "天", "is", "good", "1", "naïve"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("नमस्ते दुनिया", ["नमस्ते", "दुनिया"]),
        ("தமிழ் நாடு", ["தமிழ்", "நாடு"]),
        ("مَرْحَبًا بك", ["مَرْحَبًا", "بك"]),
        ("می\u200cخواهم", ["می\u200cخواهم"]),  # joined by a zero-width mark
        ("ที่นี่", ["ที่", "นี่"]),
        ("မြန်မာ", ["မြ", "န်", "မာ"]),
        ("cafe\u0301", ["café"]),
        ("?! …", ["?", "!", "…"]),
    ],
)
def test_a_letter_keeps_its_marks(text: str, words: list[str]) -> None:
    assert Words().tokenize(text) == words


@pytest.mark.evaluate
def test_rouge_tells_vowels_apart_and_equal_texts_are_equal() -> None:
    assert rouge(["की"], ["का"])["rouge1"] == 0
    assert rouge(["नमस्ते"], ["नमस्ते"])["rouge1"] == rouge(["?!"], ["?!"])["rouge2"] == 100


@pytest.mark.evaluate
def test_english_words_are_those_of_rouge_score() -> None:
    from rouge_score.tokenizers import DefaultTokenizer

    text = "The quick-brown fox's 3 tails, e.g. A_b."
    assert Words().tokenize(text) == DefaultTokenizer().tokenize(text)


@pytest.mark.evaluate
def test_rouge_of_chinese_counts_characters() -> None:
    # 3 of 4 and 3 of 3 characters; bigrams 1 of 3 and 1 of 2.
    assert rouge(["今天很好"], ["今天好"]) == {"rouge1": 85.7143, "rouge2": 40.0, "rougeL": 85.7143}


@pytest.mark.evaluate
def test_rouge_l_keeps_the_order() -> None:
    assert rouge(["b a"], ["a b"]) == {"rouge1": 100.0, "rouge2": 0.0, "rougeL": 50.0}


def test_distinct_counts_words_and_for_chinese_characters() -> None:
    assert (distinct(["a b", "a c"], 1), distinct(["a b", "a c"], 2)) == (75.0, 100.0)
    assert [distinct(["好好 好"], 1, code) for code in ("zh", "zh_CN", "cmn", "ja")] == [33.3333] * 4
    assert distinct(["ดีดี ดี"], 1, "th") == 100.0  # words as spaces part them: characters are letters there
    assert distinct(["", "a"], 2) == 0.0


@pytest.mark.evaluate
def test_rouge_only_where_every_output_has_a_target() -> None:
    assert "rouge1" in generation_scores(["a"], targets=["a"])
    assert set(generation_scores(["a", "b"], targets=["a", None])) == {"examples", "distinct_1", "distinct_2"}
    with pytest.raises(ValueError, match="found none"):
        generation_scores([])


def test_perplexity_per_token_and_per_character() -> None:
    figures = perplexity([(-4.0, 2, 8), (-2.0, 1, 4)])
    assert figures == {
        "perplexity": round(math.exp(2), 4),
        "perplexity_per_character": round(math.exp(0.5), 4),
        "loss": 2.0,
        "nats_per_character": 0.5,
    }


def test_perplexity_of_a_model_gone_wrong_is_a_number() -> None:
    assert math.isfinite(perplexity([(-1e6, 1, 1)])["perplexity"])
    with pytest.raises(ValueError, match="found 0 and 0"):
        perplexity([])
