from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from exports import export_run, stored_variables

import textapp
from textapp.artifact import open_artifact
from textapp.errors import ExportError
from textapp.export import weights_only
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


@pytest.mark.parametrize(("quantize", "per_byte"), [("int8-weights", 1), ("int4-weights", 2)])
def test_weights_only_holds_each_large_matrix_as_integers_once(run, records, tmp_path, quantize, per_byte):
    bundle = export_run(run, "saved_model", quantize, 0.5, records, out=tmp_path / "saved_model")
    rows = run.manifest["tokenizer"]["vocabulary_size"]
    large = {rows * 32, 32 * 64}  # the table and a kernel; 64 x 2 is a small one
    stored = stored_variables(bundle)
    scales = {rows, 64}
    integers = [each.size for each in stored if each.dtype == np.int8 and each.size not in scales]
    assert sorted(integers) == sorted(size // per_byte for size in large)
    assert max(each.size for each in stored if each.dtype == np.float32) < 1024
    manifest = open_artifact(bundle).manifest
    report, small = manifest["verification"], 64 + 64 * 2 + 2
    assert manifest["quantize"] == quantize and 0 < report["max_error"] < 0.2
    assert report["quantized_share"] == round(100 * sum(large) / (sum(large) + small), 2)
    answers = textapp.load(bundle, trusted=True).batch([record["text"] for record in records[:30]])
    assert [answer.label for answer in answers] == [record["label"] for record in records[:30]]


def test_a_model_without_a_large_matrix_is_refused(run, records, tmp_path, monkeypatch):
    monkeypatch.setattr(weights_only, "MIN_QUANTIZED", 100_000)
    with pytest.raises(ExportError, match="found no layer with a matrix of 100,000 weights or more that Keras"):
        export_run(run, "saved_model", "int8-weights", 0.5, records, out=tmp_path / "saved_model")
    assert not (tmp_path / "saved_model").exists()
