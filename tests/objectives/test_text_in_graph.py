"""TF-Text's SentencePiece inside SavedModels."""

from __future__ import annotations

from pathlib import Path

import pytest

from textapp.objectives.text_in_graph import sentencepiece
from textapp.text.sentencepiece import SENTENCEPIECE_FILE
from textapp.text.training import train_tokenizer

TEXTS = {"one": "the sea and the wind", "other": "a dog in an old house"}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("tokenizers")
    for name, text in TEXTS.items():
        train_tokenizer("sentencepiece", 24, [text] * 20, (), "en").save(folder / name)
    return {name: folder / name / SENTENCEPIECE_FILE for name in TEXTS}


def saved(folder: Path, **tokenizers: object) -> Path:
    """A SavedModel that tokenises a text and puts it together again, with each of the tokenizers."""
    import tensorflow as tf

    module = tf.Module()
    module.tokenizers = tokenizers
    there_and_back = tf.function(
        lambda text: {name: each.detokenize(each.tokenize(text)) for name, each in tokenizers.items()},
        input_signature=[tf.TensorSpec([None], tf.string)],
    )
    tf.saved_model.save(module, str(folder), signatures={"text": there_and_back})
    return folder


def test_each_tokenizer_of_a_saved_model_keeps_its_own_vocabulary(models, tmp_path, capfd) -> None:
    import tensorflow as tf

    made = {name: sentencepiece(path) for name, path in models.items()}
    assert "normalizer" not in capfd.readouterr().err
    both = saved(tmp_path / "both", **made)
    alone = saved(tmp_path / "alone", one=sentencepiece(models["other"]))
    loaded = [tf.saved_model.load(str(folder)).signatures["text"] for folder in (both, alone)]
    found = {name: value.numpy()[0].decode() for name, value in loaded[0](tf.constant([TEXTS["one"]])).items()}
    assert found["one"] == TEXTS["one"] and "⁇" in found["other"]
    assert "⁇" in loaded[1](tf.constant([TEXTS["one"]]))["one"].numpy()[0].decode()
