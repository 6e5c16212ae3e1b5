from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from textapp import predictor
from textapp.artifact import open_artifact
from textapp.errors import ArtifactError, UsageError
from textapp.export.bundle import export_run, load_float32
from textapp.export.saved_model import SavedModelRunner
from textapp.objectives.text_in_graph import check_text_signature
from textapp.text.tokenizer import load_tokenizer
from textapp.text.training import train_tokenizer


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
    answers = predictor.load(plain).batch([record["text"] for record in records[:30]], workers=2)
    assert [answer.label for answer in answers] == [record["label"] for record in records[:30]]


def test_text_answers_as_the_python_tokenizer_does(with_text, records):
    assert open_artifact(with_text).manifest["signatures"]["text"]["inputs"] == {"text": [None]}
    texts = ["The FILM  was lovely", "ｆｕｌｌ　width", "🙂 emoji", "", "   ", " ".join(["long story"] * 40)]
    expected = predictor.load(with_text).batch(texts)
    found = SavedModelRunner(with_text).texts(texts)["probabilities"]
    np.testing.assert_allclose(found, [list(answer.probabilities.values()) for answer in expected], atol=1e-5)


@pytest.mark.parametrize(
    ("kind", "cleaning", "inputs", "reason"),
    [
        ("sentencepiece", ("nfkc", "html"), ["text"], "its cleaning has html, done in Python"),
        ("wordpiece", (), ["text"], "its tokenizer is of kind 'wordpiece'"),
        ("sentencepiece", ("nfkc",), ["text", "text_pair"], "it takes pairs of texts"),
    ],
)
def test_text_is_refused_where_no_graph_can_clean_or_tokenise(kind, cleaning, inputs, reason):
    tokenizer = train_tokenizer(kind, 60, ["a small text", "another small text"], cleaning, "en")
    with pytest.raises(UsageError, match=reason):
        check_text_signature({"task": "classification", "inputs": inputs}, [tokenizer])


def test_text_is_refused_where_a_preset_puts_tokens_around(run):
    tokenizer = load_tokenizer(run.path / "tokenizer")
    tokenizer.template = SimpleNamespace(join=lambda ids, pair, length: ([2, *ids, 3], [0] * (len(ids) + 2)))
    with pytest.raises(UsageError, match="special tokens around a text"):
        check_text_signature({"task": "classification", "inputs": ["text"]}, [tokenizer])


def test_a_folder_without_a_saved_model_is_an_error(tmp_path):
    with pytest.raises(ArtifactError, match="holds no SavedModel"):
        SavedModelRunner(tmp_path)
