"""The predictor of models that write, over a chain that implements the runner's protocol."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from toys import END, Chain, InPlace, Letters, random_chain

from textapp.errors import DataError, UsageError
from textapp.predictors.generative import GenerativePredictor
from textapp.tasks.generation import GenerationTask
from textapp.tasks.translation import TranslationTask

LENGTHS = [(4, 6), (8, 10)]
TEXTS = ["cat", "", "a dog", "hats", "zebra", "  "]
KINDS = [(Chain, 1), (Chain, 3), (InPlace, 1)]


def translator(kind: type[Chain] = Chain, max_batch: int = 1, seed: int = 2, **settings) -> GenerativePredictor:
    chain = random_chain(seed, Letters.vocabulary_size, kind, max_batch=max_batch, **settings)
    task = TranslationTask(Letters(), Letters(), [4, 8], LENGTHS, overflow="truncate")
    return GenerativePredictor(task, chain, {}, Path())


def writer(kind: type[Chain] = Chain, running_text: bool = False, seed: int = 2, **settings) -> GenerativePredictor:
    chain = random_chain(seed, Letters.vocabulary_size, kind, memory=False, **settings)
    task = GenerationTask(Letters(), [16], LENGTHS, running_text=running_text)
    return GenerativePredictor(task, chain, {}, Path())


@pytest.mark.parametrize("make", [translator, writer])
@pytest.mark.parametrize("text", TEXTS)
def test_the_loop_finds_what_the_graph_finds(make, text):
    plain, stepwise = make()(text), make(InPlace)(text, min_new_tokens=0, max_new_tokens=10 if len(text) > 3 else 6)
    assert plain.output == stepwise.output
    assert plain.score == pytest.approx(stepwise.score, abs=1e-4)


def test_plain_greedy_is_one_call_and_all_else_goes_step_by_step():
    predictor = translator()
    predictor("cat")
    assert predictor.runner.calls == [("generate", 1)]
    predictor("cat", beam_size=2, max_new_tokens=2)
    assert predictor.runner.calls[1:] == [("prefill", 1), ("decode", 1), ("decode", 1)]


@pytest.mark.parametrize(("kind", "max_batch"), KINDS)
@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("options", [{}, {"beam_size": 3, "num_hypotheses": 2}, {"temperature": 1.0, "seed": 4}])
def test_a_batch_answers_as_single_calls_do_in_order(kind, max_batch, workers, options):
    predictor = translator(kind, max_batch)
    found = predictor.batch(TEXTS, workers, **options)
    expected = [predictor(text, **options) for text in TEXTS]
    assert [answer.output for answer in found] == [answer.output for answer in expected]
    assert [answer.input for answer in found] == TEXTS


def test_texts_share_a_call_with_texts_of_their_length():
    predictor = translator(max_batch=8)
    predictor.batch(["a", "bb", "ccc", "dddddd"])
    assert predictor.runner.calls == [("generate", 1), ("generate", 3)]


def test_an_empty_batch_has_no_answers():
    assert translator().batch([]) == [] == translator().batch([], beam_size=2)


def test_records_are_taken_too():
    assert translator()({"source": "cat", "target": "x"}) == translator()("cat")


@pytest.mark.parametrize("make", [translator, writer])
@pytest.mark.parametrize("options", [{}, {"temperature": 1.0, "seed": 3}, {"stop": ["e", "ab"]}, {"max_new_tokens": 3}])
def test_a_stream_is_the_answer_in_pieces(make, options):
    for text in TEXTS:
        assert "".join(make(InPlace).stream(text, **options)) == make()(text, **options).output


def test_a_stream_begins_before_the_text_is_found():
    predictor = writer()
    next(predictor.stream("cat", min_new_tokens=5))
    assert len(predictor.runner.calls) < 4


def test_two_streams_of_one_predictor_may_take_turns():
    predictor = translator(InPlace)
    alone = [predictor(text, max_new_tokens=6).output for text in ("cat", "zoo")]
    streams = [predictor.stream(text, max_new_tokens=6) for text in ("cat", "zoo")]
    shown = ["", ""]
    for _ in range(7):
        for place, stream in enumerate(streams):
            shown[place] += next(stream, "")
    assert shown == alone


def test_the_answer_is_cut_at_a_stop_string_that_spans_tokens():
    whole = writer()("cat", min_new_tokens=6).output
    stopped = writer()("cat", min_new_tokens=6, stop=whole[2:4])
    assert stopped.output == whole[: whole.index(whole[2:4])]


def test_a_stop_string_that_never_comes_changes_nothing():
    plain = translator()("cat").output
    assert translator()("cat", stop="nowhere to be found").output == plain
    assert "".join(translator().stream("cat", stop=["never"])) == plain


def test_the_best_hypotheses_come_with_their_scores():
    answer = translator()("cat", beam_size=4, num_hypotheses=3, stop="q")
    assert len(answer.outputs) == 3 and answer.output == answer.outputs[0]["output"]
    assert all(each["score"] <= 0 and "q" not in each["output"] for each in answer.outputs)


def test_the_same_seed_gives_the_same_text_and_others_another():
    texts = [writer()("cat", temperature=2.0, seed=seed).output for seed in (1, 1, 2, 3)]
    assert texts[0] == texts[1] and len(set(texts)) > 1


def test_one_token_to_draw_from_is_greedy():
    assert writer()("cat", temperature=2.0, top_k=1).output == writer()("cat").output


def test_no_new_token_is_an_empty_answer():
    for make in (translator, writer):
        answer = make()("cat", max_new_tokens=0)
        assert answer.output == "" and answer.score == 0
        assert list(make().stream("cat", max_new_tokens=0)) == []
    assert translator()("cat", max_new_tokens=0, beam_size=2, num_hypotheses=2).outputs == [
        {"output": "", "score": 0.0}
    ]


def test_a_text_ends_with_the_context():
    predictor = writer()
    (outputs,) = predictor.outputs(
        {"prompt": "abcdefg"}, predictor.options({"min_new_tokens": 16, "max_new_tokens": 16})
    )
    assert outputs["num_tokens"] == 16 - 8  # seven letters and the start id stand before them


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"beam_size": 32}, "beam_size 32 is larger than the vocabulary of 31 tokens"),
        ({"max_new_tokens": 11}, "max_new_tokens 11 exceeds the 10 tokens that this model can generate"),
        ({"temperature": -1.0}, "temperature: found -1.0"),
        ({"beams": 3}, "did you mean 'beam_size'"),
    ],
)
def test_a_wrong_call_is_told_before_the_model_runs(options, message):
    predictor = translator()
    for call in (predictor, predictor.stream):
        with pytest.raises(UsageError, match=message):
            call("cat", **options)
    with pytest.raises(UsageError, match=message):
        predictor.batch(["cat"], **options)
    assert predictor.runner.calls == []


def test_a_beam_cannot_be_streamed():
    with pytest.raises(UsageError, match="stream with beam_size 1"):
        translator().stream("cat", beam_size=2)


def test_a_text_too_long_is_refused_where_that_was_asked_for():
    predictor = translator()
    predictor.task.overflow = "error"
    with pytest.raises(DataError, match="reads at most 8"):
        predictor("a long sentence")


# --- scores ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("max_batch", [1, 4])
def test_translations_are_scored_alike_with_and_without_the_signature(max_batch):
    records = [{"source": "cat", "target": "dog"}, {"source": "a", "target": ""}, {"source": "zebra", "target": "hats"}]
    at_once = translator(max_batch=max_batch, score=True).score_texts(records)
    stepwise = translator(InPlace).score_texts(records)
    np.testing.assert_allclose(at_once, stepwise, rtol=1e-4)
    assert [row[1:] for row in at_once] == [(4, 3), (1, 0), (5, 4)]


def test_what_the_model_writes_has_the_score_that_it_gave():
    predictor = translator()
    predictor.runner.logits[:, END] += 2
    answer = predictor("cat", max_new_tokens=10)
    ((total, num_tokens, num_characters),) = predictor.score_texts([{"source": "cat", "target": answer.output}])
    assert num_tokens == num_characters + 1 < 10  # it came to its end
    assert total == pytest.approx(answer.score, abs=1e-4)


def test_a_target_longer_than_the_model_writes_is_scored_as_far_as_it_does():
    ((_, num_tokens, num_characters),) = translator().score_texts([{"source": "cat", "target": "abcdefghijklm"}])
    assert (num_tokens, num_characters) == (10, 10)


@pytest.mark.parametrize(
    ("running_text", "records", "expected"),
    [
        (True, [{"text": "the quick brown fox jumps over the lazy dog"}], [(42, 42)]),  # the first is never counted
        (
            False,
            [{"text": "the quick brown fox jumps over the lazy dog"}, {"text": "dog", "prompt": "lazy"}],
            [(44, 43), (4, 3)],  # the end is a token, a prompt is not counted
        ),
    ],
)
def test_long_texts_are_scored_in_windows_that_overlap(running_text, records, expected):
    at_once = writer(running_text=running_text, max_batch=4, score=True, places=99).score_texts(records)
    stepwise = writer(InPlace, running_text=running_text).score_texts(records)
    np.testing.assert_allclose(at_once, stepwise, rtol=1e-4)
    assert [found[1:] for found in at_once] == expected


def test_an_empty_document_has_its_end_and_empty_running_text_nothing():
    assert writer().score_texts([{"text": ""}])[0][1:] == (1, 0)
    assert writer(running_text=True).score_texts([{"text": ""}]) == [(0.0, 0, 0)]


@pytest.mark.parametrize("text", [None, 5, b"cat", ["cat"], {"text": "cat"}, {"source": None}])
def test_what_is_no_text_is_refused(text) -> None:
    for call in (
        lambda: translator()(text),
        lambda: translator().batch(["cat", text]),
        lambda: translator().stream(text),
    ):
        with pytest.raises(UsageError, match="expected a text, or a record such as {'source': 'a text'}"):
            call()


def test_a_batch_is_a_list_and_someone_works_on_it() -> None:
    with pytest.raises(UsageError, match="batch: found one text, expected a list"):
        translator().batch("cat")
    with pytest.raises(UsageError, match="workers: found 0, expected a whole number from 1"):
        translator().batch(["cat"], workers=0)
    assert translator().batch([]) == []
    assert translator().batch(["cat"], workers=np.int64(2)) == [translator()("cat")]
    with pytest.raises(UsageError, match="batch: found one record, expected a list"):
        translator().batch({"source": "cat"})


def test_one_call_has_one_text() -> None:
    for call in (
        lambda: translator()("cat", "dog"),
        lambda: translator().stream("cat", "dog"),
    ):
        with pytest.raises(UsageError, match="found 2 values, expected one text or one record"):
            list(call())
    for call in (lambda: translator()("cat", source="dog"), lambda: translator().stream("cat", source="dog")):
        with pytest.raises(UsageError, match="source: found it twice"):
            list(call())
