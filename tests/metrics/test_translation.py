"""BLEU and chrF: sacrebleu's own expected values, hand-made cases, several references."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from textapp.metrics.translation import bleu_scorer, by_source, translation_scores, worst_translations
from textapp.tasks.generative import TextAnswer


@pytest.fixture
def expected(data_dir: Path) -> dict:
    return json.loads((data_dir / "metric_reference" / "sacrebleu_expected.json").read_text(encoding="utf-8"))


@pytest.mark.evaluate
def test_several_references_as_sacrebleu_expects(expected: dict) -> None:
    case = expected["corpus_bleu"]
    first, second = case["reference_streams"]
    sources = ["1", "2", "3"] * 2
    scores = translation_scores(sources, [*first, *second], case["hypotheses"] * 2)
    assert scores["several_references"]["bleu"] == pytest.approx(case["expected"][0]["score"], abs=1e-4)
    assert (scores["several_references"]["sources"], scores["several_references"]["references"]) == (3, 6)


@pytest.mark.evaluate
def test_empty_outputs_as_sacrebleu_expects(expected: dict) -> None:
    case = expected["corpus_bleu"]
    empty = case["all_empty_hypotheses"]
    scores = translation_scores(["1", "2", "3"], case["reference_streams"][0], empty["hypotheses"])
    assert (scores["bleu"], scores["chrf"]) == (empty["score"], 0.0)


@pytest.mark.evaluate
def test_equal_texts_are_100_and_signatures_say_how() -> None:
    texts = ["The cat sat on the mat.", "It rains a lot here."]
    scores = translation_scores(["a", "b"], texts, texts, "en")
    assert (scores["examples"], scores["bleu"], scores["chrf"]) == (2, 100.0, 100.0)
    assert "tok:13a" in scores["bleu_signature"] and "nrefs:1" in scores["bleu_signature"]
    assert "nc:6" in scores["chrf_signature"]
    assert "several_references" not in scores


@pytest.mark.evaluate
def test_chinese_is_cut_into_characters() -> None:
    targets, outputs = ["今天天气很好。"], ["今天天气很糟。"]
    chinese = translation_scores(["a"], targets, outputs, "zh-cn")
    assert "tok:zh" in chinese["bleu_signature"]
    # 7 signs, one wrong: 6/7 unigrams, 4/6 bigrams, 3/5 trigrams, 2/4 of four.
    assert chinese["bleu"] == pytest.approx(100 * (6 / 7 * 4 / 6 * 3 / 5 * 2 / 4) ** 0.25, abs=1e-3)
    for code in ("zh", "zh_CN", "yue", "lzh_Hant"):
        assert translation_scores(["a"], targets, outputs, code) == chinese
    for code in ("ja", "th", "km_KH", "lo", "mya", "bo"):
        assert "tok:char" in translation_scores(["a"], targets, outputs, code)["bleu_signature"]
    assert "tok:13a" in translation_scores(["a"], targets, outputs, "ko")["bleu_signature"]


@pytest.mark.evaluate
def test_a_source_with_several_targets_counts_once_against_all() -> None:
    targets = ["Hi there my old friend.", "Hello there my old friend.", "It rains a lot here."]
    outputs = ["Hello there my old friend."] * 2 + ["It rains a lot here."]
    scores = translation_scores(["嗨", "嗨", "雨"], targets, outputs)
    assert scores["bleu"] < 100
    several = scores["several_references"]
    assert (several["sources"], several["references"], several["bleu"], several["chrf"]) == (2, 3, 100.0, 100.0)
    assert "nrefs:var" in several["bleu_signature"]


def test_equal_pairs_are_one_reference() -> None:
    assert by_source(["a", "a", "b"], ["x", "x", "y"]) == {"a": ["x"], "b": ["y"]}


@pytest.mark.evaluate
def test_the_worst_come_first() -> None:
    records = [{"source": "1", "target": "the cat sat on the mat"}, {"source": "2", "target": "a dog"}]
    answers = [TextAnswer("1", "the cat sat on a mat", -1.0), TextAnswer("2", "rain", -1.0)]
    rows = worst_translations(records, answers)
    assert [row["source"] for row in rows] == ["2", "1"]
    assert rows[0]["bleu"] == 0 and rows[1]["bleu"] > 50
    assert len(worst_translations(records, answers, limit=1)) == 1


@pytest.mark.evaluate
def test_a_short_sentence_equal_to_its_target_is_100() -> None:
    assert bleu_scorer("en", sentence=True).sentence_score("a dog", ["a dog"]).score == pytest.approx(100)


def test_unequal_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match="found 1, 2 and 2"):
        translation_scores(["a", "b"], ["x", "y"], ["x"])
