"""TF-Text's SentencePiece inside SavedModels."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from textapp.artifact import SENTENCEPIECE_FILE
from textapp.errors import UsageError
from textapp.objectives.text_in_graph import check_text_signature, sentencepiece
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


@pytest.mark.parametrize(
    ("kind", "cleaning", "pairs", "reason"),
    [
        ("sentencepiece", ("nfkc", "html"), False, "its cleaning has html, which runs in Python"),
        ("wordpiece", (), False, "its tokenizer is of kind 'wordpiece'"),
        ("sentencepiece", ("nfkc",), True, "it takes pairs of texts"),
    ],
)
def test_text_is_refused_where_no_graph_can_clean_or_tokenise(kind, cleaning, pairs, reason):
    tokenizer = train_tokenizer(kind, 60, ["a small text", "another small text"], cleaning, "en")
    with pytest.raises(UsageError, match=reason):
        check_text_signature([tokenizer], pairs)


def test_text_is_refused_where_a_preset_puts_tokens_around():
    tokenizer = train_tokenizer("sentencepiece", 60, ["a small text", "another small text"], ("nfkc",), "en")
    check_text_signature([tokenizer])
    tokenizer.template = SimpleNamespace(join=lambda ids, pair, length: ([2, *ids, 3], [0] * (len(ids) + 2)))
    with pytest.raises(UsageError, match="special tokens to a text"):
        check_text_signature([tokenizer])
