"""A Keras model that writes, behind the predictor: one answer, in the graph, step by step, alone and in a batch."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest
from toys import Letters

from textapp import loading
from textapp.artifact import open_artifact, write_manifest
from textapp.catalog import parse_config, recipe_of
from textapp.errors import ArtifactError
from textapp.models import GeneratorSettings, build_generator
from textapp.models.saving import MODEL
from textapp.predictors.generative import GenerativePredictor
from textapp.runners.keras import KerasRunner
from textapp.tasks.generation import GenerationTask
from textapp.tasks.translation import TranslationTask

PAIRS = [(4, 5), (8, 9)]
TEXTS = ["cat", "a dog", "hats", "zebra", "z"]


def built(task: str):
    keras.utils.set_random_seed(3)
    train = {"source": "a", "target": "b"} if task == "translation" else "a.txt"
    sizes = {"hidden_dim": 16, "num_layers": 1, "num_heads": 2}
    raw = {"architecture": "transformer", **sizes, "tie_embeddings": True}
    raw |= {"positions": "sinusoidal", "activation": "gelu", "dropout": 0.0}
    config = parse_config({"task": task, "run": "r", "data": {"train": train}, "model": raw}).model
    sides = {"max_source_length": 8} if task == "translation" else {}
    ids = {"pad_id": 0, "start_id": 2, "end_id": 3, "never_ids": Letters.never_ids}
    settings = GeneratorSettings(Letters.vocabulary_size, max_length=17, **ids, **sides)
    model = build_generator(config, settings)
    # Larger weights than at the start of a training, so that the answers differ from token to token.
    for number, weight in enumerate(model.trainable_variables):
        weight.assign(np.random.default_rng(number).normal(size=weight.shape) * 0.7 + np.asarray(weight))
    return model


TASKS = {
    "translation": TranslationTask(Letters(), Letters(), [4, 8], PAIRS),
    "generation": GenerationTask(Letters(), [17], PAIRS),
}


@pytest.fixture(scope="module")
def models():
    return {name: built(name) for name in TASKS}


def runner_of(models, task: str) -> KerasRunner:
    return recipe_of(task).objective().runner(models[task], TASKS[task])


@pytest.fixture(scope="module")
def translator(models) -> GenerativePredictor:
    return GenerativePredictor(TASKS["translation"], runner_of(models, "translation"), {}, Path())


@pytest.fixture(scope="module")
def writer(models) -> GenerativePredictor:
    return GenerativePredictor(TASKS["generation"], runner_of(models, "generation"), {}, Path())


@pytest.fixture(params=["translator", "writer"])
def predictor(request) -> GenerativePredictor:
    return request.getfixturevalue(request.param)


def test_the_graph_the_loop_and_a_batch_say_the_same(predictor):
    in_a_batch = predictor.batch(TEXTS)
    for text, answer in zip(TEXTS, in_a_batch, strict=True):
        num_tokens = len(predictor.task.features(predictor.task.record(text))["token_ids"])
        most = 5 if num_tokens <= 4 else 9
        stepwise = predictor(text, max_new_tokens=most)
        assert predictor(text).output == answer.output == stepwise.output
        assert answer.score == pytest.approx(stepwise.score, abs=1e-3)
    assert len({answer.output for answer in in_a_batch}) > 2


def test_a_beam_runs_as_one_batch_in_one_graph(predictor):
    scores = [each["score"] for each in predictor("a dog", beam_size=4, num_hypotheses=4, length_penalty=0.0).outputs]
    assert len(scores) == 4 and scores == sorted(scores, reverse=True)
    function = predictor.runner._functions["decode"]
    before = function.experimental_get_tracing_count()
    predictor("a dog", beam_size=3)
    assert function.experimental_get_tracing_count() == before == 1


def test_given_texts_score_alike_at_once_and_step_by_step(translator, writer, models, monkeypatch):
    for predictor, records in (
        (translator, [{"source": "cat", "target": "dog"}, {"source": "zebra", "target": ""}]),
        (writer, [{"text": "the quick brown fox jumps"}, {"text": "dog", "prompt": "lazy"}]),
    ):
        at_once = predictor.score_texts(records)
        with monkeypatch.context() as patch:
            patch.setattr(predictor.runner, "signatures", ())
            patch.setattr(predictor.runner, "run", runner_of(models, predictor.task.name).run)
            np.testing.assert_allclose(predictor.score_texts(records), at_once, rtol=1e-3)


def test_an_unknown_signature_names_those_that_there_are(translator):
    with pytest.raises(
        ArtifactError, match="no signature 'generate_9_9'; it has generate_4_5, generate_8_9, prefill_4"
    ):
        translator.runner.run("generate_9_9", {})


def test_a_run_folder_is_opened_by_its_task(translator, models, tmp_path):
    models["translation"].save(tmp_path / MODEL)
    write_manifest(tmp_path, {"kind": "run", "task": "translation"})
    runner = loading._runner(open_artifact(tmp_path), MODEL, translator.task, 1, "auto", False)
    opened = GenerativePredictor(translator.task, runner, {}, tmp_path)
    assert opened("cat") == translator("cat")
