"""EM and F1, by hand and against the scores of published predictions."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path

import numpy as np
import pytest

from textapp.metrics.question_answering import (
    answer_scores,
    best_threshold,
    exact_match,
    f1,
    grouped_scores,
    normalized_answer,
    question_answering_scores,
    question_word,
)

REAL = pytest.mark.skipif("TEXTAPP_DATA" not in os.environ, reason="TEXTAPP_DATA is not set: no real data here")


def test_normalized_answer() -> None:
    assert normalized_answer("The  Eiffel-Tower!") == "eiffeltower"
    assert normalized_answer("An apple, a day.") == "apple day"
    assert normalized_answer("“naïve” théâtre") == "“naïve” théâtre"  # only ASCII punctuation


@pytest.mark.parametrize(
    ("prediction", "references", "language", "exact", "overlap"),
    [
        ("the Alps", ["Alps", "in the Alps"], "en", 1, 1),
        ("in the Alps", ["the Alps"], "en", 0, 2 / 3),
        ("red red", ["red"], "en", 0, 2 / 3),
        ("", ["x"], "en", 0, 0),
        ("the", ["a"], "en", 1, 1),  # both are empty when normalized
        ("1963年", ["1963年。"], "zh", 1, 1),
        ("在北京市", ["北京"], "zh", 0, 2 / 3),
        ("北京和南京", ["南京和北京"], "zh", 0, 2 * 2 / 10),  # the longest run: 北京, or 南京
        ("《三国志》ω-Force", ["三国志ω-force"], "zh_CN", 1, 1),
        ("3.5米", ["3.5"], "zh", 0, 2 / 3),
        ("", ["北"], "zh", 0, 0),
        ("a\u0301nh sa\u0301ng", ["ánh sáng"], "vi", 1, 1),  # composed or not, and the first letter is no article
        ("カ\u3099ス", ["ガス"], "ja", 1, 1),
    ],
)
def test_by_hand(prediction: str, references: list[str], language: str, exact: float, overlap: float) -> None:
    assert exact_match(prediction, references, language) == exact
    assert f1(prediction, references, language) == pytest.approx(overlap)


def test_questions_without_an_answer_are_scored_apart() -> None:
    scores = question_answering_scores(["Rome", "", "a cat", ""], [["Rome"], [], [], ["Bonn"]])
    assert scores == {
        "examples": 4, "exact_match": 50, "f1": 50, "has_answer_examples": 2, "has_answer_exact_match": 50,
        "has_answer_f1": 50, "no_answer_examples": 2, "no_answer_exact_match": 50,
    }  # fmt: skip
    assert set(question_answering_scores(["Rome"], [["Rome"]])) == {"examples", "exact_match", "f1"}
    assert "has_answer_f1" not in question_answering_scores([""], [[]])
    with pytest.raises(ValueError, match="at least one answer"):
        question_answering_scores([], [])


def test_best_threshold() -> None:
    margins, scores, known = [-2.0, -1.0, 0.5, 0.5, 3.0], [1.0, 0.5, 1.0, 0.0, 0.0], [True, True, True, False, False]
    # All up to -1 answered: 1 + 0.5, and both unanswerable ones are right; up to 0.5: 1 + 0.5 + 1 and one of them.
    assert best_threshold(margins, scores, known) == (-1.0, pytest.approx(3.5 / 5))
    assert best_threshold([1.0, 2.0], [0.9, 0.8], [False, False]) == (0.0, 1.0)
    assert best_threshold([1.0, 2.0], [0.9, 0.8], [True, True]) == (2.0, pytest.approx(0.85))


def test_figures_by_group() -> None:
    questions = ["Who came?", "who's there?", "When?", "?", "Whom did he see?"]
    contexts = ["a" * 250, "a" * 251, "a" * 250, "a" * 16_001, "a" * 500]
    found = question_answering_scores(
        ["Rome", "", "in May", "x", "a cat"], [["Rome"], ["x"], ["May"], ["x"], ["cat"]], "en", questions, contexts
    )["groups"]
    assert list(found) == ["length of context", "first word of question"]
    third = pytest.approx(200 / 3)
    assert found["length of context"] == {
        "up to 250 characters": {"examples": 2, "exact_match": 50, "f1": pytest.approx((100 + 200 / 3) / 2)},
        "up to 500 characters": {"examples": 2, "exact_match": 50, "f1": 50},
        "over 16,000 characters": {"examples": 1, "exact_match": 100, "f1": 100},
    }
    words = found["first word of question"]
    assert list(words) == ["who", "when", "whom", "other"]
    assert words["who"] == {"examples": 2, "exact_match": 50, "f1": 50}
    assert words["when"] == {"examples": 1, "exact_match": 0, "f1": third}
    assert words["other"] == {"examples": 1, "exact_match": 100, "f1": 100}


def test_each_answer_may_have_a_language_of_its_own() -> None:
    predictions, references = ["在北京市", "in the Alps", "at noon"], [["北京"], ["the Alps"], ["noon"]]
    exact, overlap = answer_scores(predictions, references, ["zh", "en", "en"])
    assert exact.tolist() == [0, 0, 0] and overlap.tolist() == pytest.approx([2 / 3] * 3)
    assert answer_scores(predictions, references, "en")[1].tolist() == pytest.approx([0, 2 / 3, 2 / 3])
    questions, contexts = ["他在哪里？", "Where was he?", "When?"], ["a", "a", "a"]
    scores = question_answering_scores(predictions, references, ["zh", "en", "en"], questions, contexts)
    assert list(scores["groups"]["first word of question"]) == ["哪", "where", "when"]
    assert scores["groups"]["answers compared by"] == {
        "words": {"examples": 2, "exact_match": 0, "f1": pytest.approx(200 / 3)},
        "characters": {"examples": 1, "exact_match": 0, "f1": pytest.approx(200 / 3)},
    }


def test_rare_first_words_are_together() -> None:
    questions = [f"{word} is it" for word in "abcdefghijklmnop"] + ["a b", "other"]
    words = grouped_scores(questions, [""] * 18, np.ones(18), np.ones(18))["first word of question"]
    assert list(words) == [*"abcdefghijkl", "other"]
    assert words["a"]["examples"] == 2 and words["other"]["examples"] == 5


@pytest.mark.parametrize(
    ("question", "language", "word"),
    [
        ("When's it?", "en", "when"), ("  ¿Quién fue?", "es", "quién"), ("?!", "en", ""),
        ("他在什么地方？", "zh", "什么"), ("他为什么来？", "zh", "为什么"), ("北京？", "zh", ""),
        ("それはいつですか", "ja", "いつ"), ("किसने लिखा?", "hi", "किसने"), ("யார் எழுதினார்?", "ta", "யார்"),
    ],
)  # fmt: skip
def test_question_word(question: str, language: str, word: str) -> None:
    assert question_word(question, language) == word


@REAL
@pytest.mark.parametrize("name", ["BERT", "Logistic_Regression_Baseline", "Match-LSTM_with_Ans-Ptr", "SLQA_", "r-net_"])
def test_published_predictions_have_their_published_scores(name: str) -> None:
    folder = Path(os.environ["TEXTAPP_DATA"])
    file = f"squad11_dev_pred_{name}.json.gz"
    expected = json.loads((folder / "metric_reference" / "squad11_dev_pred_scores.json").read_text())["scores"][file]
    predictions = json.loads(gzip.decompress((folder / "metric_reference" / file).read_bytes()))
    data = json.loads(gzip.decompress((folder / "squad_v1.1" / "dev-v1.1.json.gz").read_bytes()))["data"]
    questions = [question for article in data for part in article["paragraphs"] for question in part["qas"]]
    # The script gives a question without a prediction 0, also where an answer is empty when normalized.
    texts = [predictions.get(question["id"], "\0") for question in questions]
    references = [[answer["text"] for answer in question["answers"]] for question in questions]
    exact, overlap = answer_scores(texts, references)
    assert 100 * exact.mean() == pytest.approx(expected["exact"], abs=1e-4)
    assert 100 * overlap.mean() == pytest.approx(expected["f1"], abs=1e-4)
