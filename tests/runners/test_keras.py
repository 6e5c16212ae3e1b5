from __future__ import annotations

import numpy as np
import pytest

from textapp import loading
from textapp.artifact import open_artifact, write_manifest
from textapp.catalog import parse_config
from textapp.models.saving import MODEL
from textapp.objectives.classification import ClassificationObjective
from textapp.objectives.classifier import build_model, probabilities
from textapp.runners.keras import KerasRunner
from textapp.tasks.classification import ClassificationTask

IDS = np.array([[1, 2, 0, 0], [3, 0, 0, 0]], np.int32)


def make_task(multiple: bool = False) -> ClassificationTask:
    return ClassificationTask(None, ["a", "b", "c"], [4, 8], multiple=multiple)


def runner_of(model) -> KerasRunner:
    return ClassificationObjective().runner(model, make_task())


@pytest.fixture(scope="module")
def model():
    settings = {"architecture": "mlp", "embedding_dim": 4, "hidden_dims": [], "ngrams": 2, "dropout": 0.5}
    raw = {"task": "classification", "run": "r", "data": {"train": "t"}, "lengths": [4, 8], "model": settings}
    return build_model(parse_config(raw), 10, 0, 3)


@pytest.fixture(scope="module", params=[False, True], ids=["one_label", "several_labels"])
def run_folder(request, model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    model.save(folder / MODEL)
    write_manifest(folder, {"kind": "run", "task": "classification", "multiple": request.param})
    return folder, request.param


def test_a_run_folder_answers(model, run_folder):
    folder, multiple = run_folder
    runner = loading._runner(open_artifact(folder), "model.keras", make_task(multiple), 1, "auto", isolated=False)
    answer = runner.run("classify_4", {"token_ids": IDS})["probabilities"]
    np.testing.assert_allclose(answer, probabilities(model({"token_ids": IDS}), multiple), rtol=1e-6)
    assert answer.dtype == np.float32


def test_batches_and_lengths_of_every_size(model):
    runner = runner_of(model)
    whole = runner.run("classify_4", {"token_ids": IDS})["probabilities"]
    alone = runner.run("classify_4", {"token_ids": IDS[:1]})["probabilities"]
    longer = runner.run("classify_8", {"token_ids": np.pad(IDS, [(0, 0), (0, 4)])})["probabilities"]
    np.testing.assert_allclose(alone, whole[:1], rtol=1e-6)
    np.testing.assert_allclose(longer, whole, rtol=1e-6)


def test_later_weights_show(model):
    runner = runner_of(model)
    before = runner.run("classify_4", {"token_ids": IDS})["probabilities"]
    kernel = model.get_layer("logits").kernel
    kernel.assign(kernel + np.array([1.0, 0.0, 0.0], np.float32))
    assert np.abs(runner.run("classify_4", {"token_ids": IDS})["probabilities"] - before).max() > 1e-4


def test_a_runner_answers_again_after_its_graphs_were_forgotten(model):
    traced = []

    def classify(features):
        traced.append(features)
        return {"probabilities": probabilities(model(features), False)}

    runner = KerasRunner({"classify_4": classify})
    before = [runner.run("classify_4", {"token_ids": IDS})["probabilities"] for _ in range(2)]
    assert len(traced) == 1
    runner.forget()
    after = runner.run("classify_4", {"token_ids": IDS})["probabilities"]
    assert len(traced) == 2
    np.testing.assert_array_equal(after, before[1])
