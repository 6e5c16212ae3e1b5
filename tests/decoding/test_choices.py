"""Answers out of a list, over a chain whose probabilities one can compute by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from toys import END, START, Chain, Letters, markov, random_chain

from textapp.decoding.beam import beam_search
from textapp.decoding.choices import Choices
from textapp.decoding.greedy import greedy_search
from textapp.decoding.logits import Rules
from textapp.decoding.steps import open_session
from textapp.errors import OptionError
from textapp.predictors.generative import GenerativePredictor
from textapp.tasks.generation import GenerationTask
from textapp.tasks.translation import TranslationTask

CHAIN = Chain(
    markov({START: {5: 0.6, 6: 0.3, 8: 0.1}, 5: {7: 0.7, 9: 0.2, END: 0.1}, 6: {9: 0.5, 7: 0.5}, 9: {END: 1.0}}, 10),
    mixing=0,
)


def rules(*texts: list[int]) -> Rules:
    return Rules(max_new_tokens=6, end_id=END, constraint=Choices(texts, [END]))


def session():
    return open_session(CHAIN, "prefill_4", {"token_ids": np.array([[5, 3, 0, 0]], np.int32)}, 1)


def test_the_tokens_that_may_come_next():
    found = Choices([[5, 6], [5, 6, 7], [8]], [3, 2])
    assert [sorted(found.allowed(ids)) for ids in ([], [5], [5, 6], [8], [9])] == [[5, 8], [6], [2, 3, 7], [], []]
    assert [found.complete(ids) for ids in ([5], [5, 6], [5, 6, 7], [8], [5, 6, 3])] == [False, False, True, True, True]


@pytest.mark.parametrize(
    ("texts", "expected", "probability"),
    [
        ([[5, 9], [6, 9]], [5, 9], 0.6 * 0.2),  # without an end, which would follow anyway
        ([[8], [6, 9]], [6, 9], 0.3 * 0.5),
        ([[5], [5, 9]], [5, 9], 0.6 * 0.2),
        ([[9], [9, 4]], [9, END], None),
    ],
)
def test_greedy_search_stays_in_the_list(texts, expected, probability):
    found = greedy_search(session(), rules(*texts))
    assert found.token_ids == expected
    if probability:  # of the model, which the list does not change
        assert found.score == pytest.approx(np.log(probability), abs=1e-5)


def test_a_beam_ranks_the_whole_list():
    found = beam_search(session(), rules([5, 9], [6, 9], [8]), 3, length_penalty=0, num_hypotheses=3)
    assert [each.token_ids for each in found] == [[6, 9], [5, 9], [8]]
    assert [each.score for each in found] == pytest.approx(np.log([0.15, 0.12, 0.1]), abs=1e-5)


def predictor(memory: bool) -> GenerativePredictor:
    chain = random_chain(2, Letters.vocabulary_size, memory=memory)
    tokenizer = Letters()
    task = (
        TranslationTask(tokenizer, tokenizer, [4, 8], [(4, 6), (8, 10)])
        if memory
        else GenerationTask(tokenizer, [16], [(4, 6), (8, 8)])
    )
    return GenerativePredictor(task, chain, {}, Path("bundle"))


@pytest.mark.parametrize("memory", [False, True])
@pytest.mark.parametrize("options", [{}, {"temperature": 2.0, "seed": 1}, {"beam_size": 3}])
def test_every_model_that_writes_answers_with_one_of_them(memory, options):
    for prompt in ("a", "hi", "so"):
        answer = predictor(memory)(prompt, choices=["yes", "no", "nobody"], **options)
        assert answer.output in ("yes", "no", "nobody")
        if "beam_size" not in options:
            assert (
                "".join(predictor(memory).stream(prompt, choices=["yes", "no", "nobody"], **options)) == answer.output
            )
    assert predictor(memory)("hi", choices="maybe").output == "maybe"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"choices": [""]}, "choices: found an empty text"),
        ({"choices": 3}, "choices: found 3, expected a string or a list of strings"),
        ({"choices": ["a"], "stop": "b"}, "choices and stop were both given: leave one out"),
        ({"choices": ["a"], "min_new_tokens": 2}, "choices and min_new_tokens were both given"),
        ({"choices": ["a", "É"]}, "choices: found 'É', which the model's vocabulary cannot write"),
        ({"choices": ["abcdefg"]}, "choices: found 'abcdefg' of 7 tokens, expected at most 6 new tokens here"),
        ({"choices": ["abc"], "max_new_tokens": 2}, "'abc' of 3 tokens, expected at most 2 new tokens"),
    ],
)
def test_what_is_refused(options, message):
    with pytest.raises(OptionError, match=message):
        predictor(False)("a", **options)
