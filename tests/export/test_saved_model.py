from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from exports import export_run

import textapp
from textapp.artifact import open_artifact
from textapp.models.saving import load_float32
from textapp.runners.saved_model import SavedModelRunner


@pytest.fixture(scope="module")
def plain(run, records, tmp_path_factory):
    return export_run(run, "saved_model", "none", 0.5, records, out=tmp_path_factory.mktemp("plain") / "saved_model")


@pytest.fixture(scope="module")
def with_text(run, records, tmp_path_factory):
    folder = tmp_path_factory.mktemp("text") / "saved_model"
    return export_run(run, "saved_model", "none", 0.5, records, text_signature=True, out=folder)


def test_tokens_takes_any_batch_and_any_length(plain, run):
    runner, model = SavedModelRunner(plain), load_float32(run.path / "model.keras")
    for shape in ((1, 5), (3, 16), (2, 32)):
        ids = np.random.default_rng(0).integers(0, 40, shape, np.int32)
        logits = model({"token_ids": ids}).numpy()
        expected = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
        np.testing.assert_allclose(runner.run("classify_16", {"token_ids": ids})["probabilities"], expected, atol=1e-5)


def test_ids_beyond_the_longest_bucket_are_cut(plain):
    runner = SavedModelRunner(plain)
    ids = np.random.default_rng(0).integers(4, 40, (1, 50), np.int32)
    cut = runner.run("tokens", {"token_ids": ids[:, :32]})["probabilities"]
    np.testing.assert_allclose(runner.run("tokens", {"token_ids": ids})["probabilities"], cut, atol=1e-6)


def test_plain_tensorflow_loads_the_tokens_signature(plain):
    code = (
        "import sys, tensorflow as tf\n"
        "model = tf.saved_model.load(sys.argv[1])\n"
        "tokens = model.signatures['tokens'](token_ids=tf.constant([[5, 6, 7]]))\n"
        "print(tokens['probabilities'].shape, 'tensorflow_text' in sys.modules)\n"
    )
    command = [sys.executable, "-c", code, str(plain / "saved_model")]
    done = subprocess.run(command, capture_output=True, encoding="utf-8")
    assert done.stdout == "(1, 2) False\n", done.stderr


def test_the_predictor_answers_from_a_saved_model(plain, records):
    answers = textapp.load(plain, trusted=True).batch([record["text"] for record in records[:30]], workers=2)
    assert [answer.label for answer in answers] == [record["label"] for record in records[:30]]


def test_text_answers_as_the_python_tokenizer_does(with_text, records):
    assert open_artifact(with_text).manifest["signatures"]["text"]["inputs"] == {"text": [None]}
    texts = ["The FILM  was lovely", "ｆｕｌｌ　width", "🙂 emoji", "", "   ", " ".join(["long story"] * 40)]
    expected = textapp.load(with_text, trusted=True).batch(texts)
    found = SavedModelRunner(with_text).texts(texts)["probabilities"]
    np.testing.assert_allclose(found, [list(answer.probabilities.values()) for answer in expected], atol=1e-5)
