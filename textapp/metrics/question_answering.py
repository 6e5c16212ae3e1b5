"""Quality of answers to questions: exact match and F1, as the scripts of SQuAD and of CMRC 2018 compute them."""

from __future__ import annotations

import re
import string
import unicodedata
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Sequence
from difflib import SequenceMatcher
from typing import Any

import numpy as np

from textapp.languages import logographic
from textapp.metrics.bootstrap import Intervals, mean_intervals
from textapp.metrics.generation import best_rouge, rouge_intervals
from textapp.metrics.translation import bleu_intervals, corpus_bleu
from textapp.text.words import word_pattern

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_ASCII_PUNCTUATION = str.maketrans("", "", string.punctuation)
# What CMRC's script leaves out of an answer.
_CHINESE_PUNCTUATION = "-:_*^/\\~`+=，。：？！“”；’《》…·、「」（）－～『』"
_WITHOUT_PUNCTUATION = str.maketrans("", "", _CHINESE_PUNCTUATION)
_CHARACTERS = re.compile(r"[\u3400-\u9fff\u3040-\u30ff]|\d+(?:[.,]\d+)*|(?:(?![\u3040-\u9fff])[^\W_])+|[^\s]")

_LENGTHS = (250, 500, 1000, 2000, 4000, 16_000)  # characters
_WORDS_SHOWN = 12
_INTERROGATIVE = re.compile(
    "为什么|為什麼|什么|什麼|多少|怎么|怎麼|怎样|怎樣|如何|何时|何時|何地|哪|谁|誰|几|幾|是否|吗|嗎"  # Chinese
    "|なぜ|どう|いつ|どこ|だれ|どの|どれ|いくつ|いくら|何"  # Japanese
)


def normalized_answer(text: str) -> str:
    """An answer in lower case without punctuation, articles and further blanks (Rajpurkar et al., 2016).

    Letters and their marks are composed, so that answers which look the same are.

    Example: `normalized_answer("The  Eiffel-Tower!")` is `eiffeltower`.
    """
    return " ".join(_ARTICLES.sub(" ", _lower(text).translate(_ASCII_PUNCTUATION)).split())


def exact_match(prediction: str, references: Sequence[str], language: str = "en") -> float:
    """Whether an answer equals one of its references: 1 or 0.

    Args:
        prediction: the answer.
        references: at least one.
        language: of Chinese and Japanese, only punctuation is ignored.
    """
    if logographic(language):
        return float(_unpunctuated(prediction) in map(_unpunctuated, references))
    return float(normalized_answer(prediction) in map(normalized_answer, references))


def f1(prediction: str, references: Sequence[str], language: str = "en") -> float:
    """The overlap of an answer with the reference that it is most like, 0 to 1.

    Of words it is the F1 of the bags of words (Rajpurkar et al., 2016). In Chinese and Japanese it is that of the
    longest run of characters that both have (Cui et al., 2019); a Latin word or a number counts as one character.

    Args:
        prediction: the answer.
        references: at least one.
        language: of the answer.

    Example: `f1("in the Alps", ["the Alps"])` is 0.667, `f1("在北京市", ["北京"], "zh")` also.
    """
    if logographic(language):
        predicted = _characters(prediction)
        return max(_run_f1(predicted, _characters(reference)) for reference in references)
    words = normalized_answer(prediction).split()
    return max(_bag_f1(words, normalized_answer(reference).split()) for reference in references)


def question_answering_scores(
    predictions: Sequence[str],
    references: Sequence[Sequence[str]],
    language: str | Sequence[str] = "en",
    questions: Sequence[str] | None = None,
    contexts: Sequence[str] | None = None,
) -> dict[str, Any]:
    """Scores answers.

    Args:
        predictions: the answers; empty if a question was said to have none.
        references: the right answers of each question; none if it has no answer.
        language: of the answers, or of each of them.
        questions, contexts: of each answer; None: there are no figures by group.

    Returns:
        `examples`, `exact_match` and `f1` in percent; `groups`, see `grouped_scores`; if some questions have no answer,
        also `has_answer_examples`, `has_answer_exact_match`, `has_answer_f1` and `no_answer_examples`,
        `no_answer_exact_match` (Rajpurkar et al., 2018; where a question has no answer, F1 is exact match).

    Raises:
        ValueError: there are no answers.
    """
    if not predictions:
        raise ValueError("expected at least one answer to score, found none")
    exact, overlap = answer_scores(predictions, references, language)
    scores: dict[str, Any] = {"examples": len(predictions), "exact_match": _percent(exact), "f1": _percent(overlap)}
    has_answer = np.array([len(each) > 0 for each in references])
    if not has_answer.all():
        scores["no_answer_examples"] = int((~has_answer).sum())
        scores["no_answer_exact_match"] = _percent(exact[~has_answer])
        if has_answer.any():
            scores["has_answer_examples"] = int(has_answer.sum())
            scores["has_answer_exact_match"] = _percent(exact[has_answer])
            scores["has_answer_f1"] = _percent(overlap[has_answer])
    if questions is not None and contexts is not None:
        scores["groups"] = grouped_scores(questions, contexts, exact, overlap, language)
    return scores


def written_answer_scores(
    predictions: Sequence[str],
    references: Sequence[Sequence[str]],
    languages: Sequence[str],
    questions: Sequence[str],
    contexts: Sequence[str],
) -> dict[str, Any]:
    """Scores answers that a model wrote, whose words may differ from those of the references.

    Args:
        predictions, references, questions, contexts: as for `question_answering_scores`; every question has an answer,
            and a context may be empty.
        languages: of each answer; BLEU tokenizes as for the most frequent one.

    Returns:
        The figures of `question_answering_scores`, `bleu`, and `rouge1`, `rouge2`, `rougeL` of the nearest reference.

    Raises:
        ValueError: there are no answers.
        UsageError: a package for the figures is not installed.
    """
    scores = question_answering_scores(predictions, references, languages, questions, contexts)
    if not any(contexts):
        del scores["groups"]["length of context"]
    return {
        **scores,
        "bleu": corpus_bleu(predictions, references, Counter(languages).most_common(1)[0][0]),
        **best_rouge(predictions, references),
    }


def answer_intervals(
    predictions: Sequence[str], references: Sequence[Sequence[str]], language: str | Sequence[str] = "en"
) -> Intervals:
    """The bootstrap intervals of `exact_match` and `f1`, in percent.

    Args:
        predictions, references, language: as for `question_answering_scores`.
    """
    exact, overlap = answer_scores(predictions, references, language)
    return mean_intervals({"exact_match": exact, "f1": overlap})


def written_answer_intervals(
    predictions: Sequence[str], references: Sequence[Sequence[str]], languages: Sequence[str]
) -> Intervals:
    """The bootstrap intervals of the figures of `written_answer_scores`.

    Args:
        predictions, references, languages: as there.
    """
    return {
        **answer_intervals(predictions, references, languages),
        **bleu_intervals(predictions, references, Counter(languages).most_common(1)[0][0]),
        **rouge_intervals(predictions, references),
    }


def answer_scores(
    predictions: Sequence[str], references: Sequence[Sequence[str]], language: str | Sequence[str] = "en"
) -> tuple[np.ndarray, np.ndarray]:
    """Exact match and F1 of each answer, 0 to 1, `[examples]` float64 each.

    Args:
        predictions, references, language: as for `question_answering_scores`.
    """
    languages = _of_each(language, len(predictions))
    triples = [
        (text, list(right) or [""], each) for text, right, each in zip(predictions, references, languages, strict=True)
    ]
    return np.array([exact_match(*triple) for triple in triples]), np.array([f1(*triple) for triple in triples])


def grouped_scores(
    questions: Sequence[str],
    contexts: Sequence[str],
    exact: np.ndarray,
    overlap: np.ndarray,
    language: str | Sequence[str] = "en",
) -> dict[str, dict[str, dict[str, float]]]:
    """Exact match and F1 in percent, by length of the context and by the word that the question begins with.

    Args:
        questions, contexts: of each example.
        exact, overlap: as `answer_scores` returned them.
        language: of the questions, or of each of them.

    Returns:
        `{"length of context": {"up to 500 characters": {"examples", "exact_match", "f1"}}, "first word of question":
        ...}`; of words the most frequent 12, and `other`. In Chinese and Japanese, where the word may stand anywhere,
        it is the first interrogative of the question. If the answers are in such a language and in others, also
        `answers compared by`: `words`, `characters`.
    """
    languages = _of_each(language, len(questions))
    ranges = [*(f"up to {edge:,} characters" for edge in _LENGTHS), f"over {_LENGTHS[-1]:,} characters"]
    lengths = [ranges[bisect_left(_LENGTHS, len(context))] for context in contexts]
    words = [question_word(*each) for each in zip(questions, languages, strict=True)]
    frequent = {word for word, _ in Counter(word for word in words if word).most_common(_WORDS_SHOWN)}
    named = [word if word in frequent else "other" for word in words]
    by_count = sorted(Counter(named).items(), key=lambda item: (item[0] == "other", -item[1]))
    groups = {
        "length of context": _by_group(lengths, ranges, exact, overlap),
        "first word of question": _by_group(named, [word for word, _ in by_count], exact, overlap),
    }
    units = ["characters" if logographic(each) else "words" for each in languages]
    if len(set(units)) > 1:
        groups["answers compared by"] = _by_group(units, ("words", "characters"), exact, overlap)
    return groups


def question_word(question: str, language: str = "en") -> str:
    """The word that a question is told apart by, in lower case; empty if there is none.

    Args:
        question: the question.
        language: in Chinese and Japanese it is the first interrogative, elsewhere the first word.

    Example: `question_word("When's it?")` is `when`, `question_word("他在什么地方？", "zh")` is `什么`.
    """
    found = (_INTERROGATIVE if logographic(language) else word_pattern()).search(question.lower())
    return found[0] if found else ""


def _of_each(language: str | Sequence[str], count: int) -> Sequence[str]:
    return [language] * count if isinstance(language, str) else language


def _by_group(
    groups: Sequence[str], order: Iterable[str], exact: np.ndarray, overlap: np.ndarray
) -> dict[str, dict[str, float]]:
    figures = {}
    for name in order:
        chosen = np.array([group == name for group in groups], bool)
        if chosen.any():
            figures[name] = {
                "examples": int(chosen.sum()),
                "exact_match": _percent(exact[chosen]),
                "f1": _percent(overlap[chosen]),
            }
    return figures


def best_threshold(
    margins: Sequence[float], scores: Sequence[float], has_answer: Sequence[bool]
) -> tuple[float, float]:
    """The margin of "no answer" from which on a question is best left unanswered, as SQuAD 2.0's script finds it.

    Args:
        margins: of each question, the score of "no answer" less that of its best answer.
        scores: F1 of the best answer, 0 to 1.
        has_answer: whether the question has an answer.

    Returns:
        The threshold: questions with a larger margin are not answered; and the mean F1 with it, 0 to 1.

    Example: `best_threshold([-2.0, 3.0], [1.0, 0.0], [True, False])` is `(-2.0, 1.0)`.
    """
    order = np.argsort(np.asarray(margins, float), kind="stable")
    sorted_margins = np.asarray(margins, float)[order]
    known = np.asarray(has_answer, bool)[order]
    # Answering one question more gains its F1, or loses the point that leaving it unanswered would give.
    gains = np.where(known, np.asarray(scores, float)[order], -1.0)
    totals = np.concatenate([[0.0], np.cumsum(gains)]) + (~known).sum()
    ends = np.concatenate([[True], sorted_margins[1:] != sorted_margins[:-1], [True]])  # equal margins stay together
    best = int(np.flatnonzero(ends)[np.argmax(totals[ends])])
    threshold = sorted_margins[best - 1] if best else sorted_margins[0] - 1.0
    return float(threshold), float(totals[best] / len(order))


def _bag_f1(predicted: list[str], reference: list[str]) -> float:
    if not predicted or not reference:
        return float(predicted == reference)
    return _f1(sum((Counter(predicted) & Counter(reference)).values()), len(predicted), len(reference))


def _run_f1(predicted: list[str], reference: list[str]) -> float:
    if not predicted or not reference:
        return float(predicted == reference)
    match = SequenceMatcher(None, predicted, reference, autojunk=False).find_longest_match()
    return _f1(match.size, len(predicted), len(reference))


def _f1(common: int, predicted: int, reference: int) -> float:
    return 2 * common / (predicted + reference)


def _unpunctuated(text: str) -> str:
    return _lower(text).strip().translate(_WITHOUT_PUNCTUATION)


def _lower(text: str) -> str:
    return text.lower() if text.isascii() else unicodedata.normalize("NFC", text.lower())


def _characters(text: str) -> list[str]:
    return _CHARACTERS.findall(_unpunctuated(text))


def _percent(values: np.ndarray) -> float:
    return 100 * float(values.mean())
