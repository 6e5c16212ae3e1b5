"""From a config to a tokenizer: where its files are found, what it takes from them."""

from __future__ import annotations

from pathlib import Path

import pytest
from textapp.commands.prepare import locate, make_tokenizer, prepare
from textapp.defaults import resolve
from textapp.records.loading import Splits

from textapp.catalog import parse_config
from textapp.config import Config
from textapp.errors import DataError

VECTORS = "3 5\ngood 1 2 3 4 5\nbad -1 -2 -3 -4 -5\nfilm 0 0 0 0 1\n"


def config(**model: object) -> Config:
    return parse_config({"task": "classification", "run": "r", "data": {"train": "a"}, "model": model})


def test_files_are_found_in_the_data_folder_else_as_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in ("data", "here"):
        (tmp_path / folder).mkdir()
    (tmp_path / "data" / "a.vec").write_text(VECTORS, encoding="utf-8")
    (tmp_path / "here" / "a.vec").write_text("good 1 2\n", encoding="utf-8")
    inside = locate(config(architecture="mlp", vectors="a.vec"), tmp_path / "data").model
    assert (inside.vectors, inside.embedding_dim) == (str(tmp_path / "data" / "a.vec"), 5)
    outside = locate(config(architecture="transformer", vectors="here/a.vec"), tmp_path / "data").model
    assert (outside.vectors, outside.embedding_dim) == ("here/a.vec", 2)
    (tmp_path / "data" / "bert").mkdir()
    assert locate(config(architecture="preset", path="bert"), Path("data")).model.path == "data/bert"
    assert locate(config(architecture="preset", path="bert_tiny"), Path("data")).model.path == "bert_tiny"


def test_a_width_that_is_given_stays_and_a_missing_file_is_named(tmp_path: Path) -> None:
    assert locate(config(architecture="cnn", vectors="no.vec", embedding_dim=7), tmp_path).model.embedding_dim == 7
    with pytest.raises(DataError, match="no.vec"):
        locate(config(architecture="cnn", vectors="no.vec"), tmp_path)


def test_the_tokenizer_reads_both_texts_of_train_alone() -> None:
    given = parse_config({
        "task": "classification", "run": "r", "data": {"train": "a"}, "model": {"architecture": "mlp"},
        "tokenizer": {"kind": "characters", "vocabulary_size": 100},
    })  # fmt: skip
    train = [{"text": "abc", "text_pair": "XYZ", "label": "1"}] * 20
    splits = Splits(train, [{"text": "q", "label": "1"}], [], {})
    tokenizer = make_tokenizer(resolve(given, 20), splits, "en")
    assert {"a", "b", "c", "x", "y", "z"} <= set(tokenizer.pieces()) and "q" not in tokenizer.pieces()


PAIRS = [{"source": f"{word} {other}", "target": f"{other} {word}"} for word in "abcdefgh" for other in "ijklmnop"]


def translation(pairs: list[dict], folder: Path, **keys: object) -> object:
    given = parse_config({
        "task": "translation", "run": "r", "data": {"train": "a"}, "model": {"architecture": "lstm"},
        "tokenizer": {"kind": "characters", "vocabulary_size": 100}, **keys,
    })  # fmt: skip
    return prepare(given, Splits(pairs, pairs[:4], [], {}), folder)


def test_a_vocabulary_that_lacks_much_of_train_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("WARNING", "textapp"):
        translation(PAIRS, tmp_path / "large")
        assert not caplog.messages
        translation(PAIRS, tmp_path / "small", tokenizer={"kind": "characters", "vocabulary_size": 16})
    (message,) = dict.fromkeys(text.replace("sources", "targets") for text in caplog.messages)
    assert "% of the tokens of the training targets are not in the vocabulary of 16: raise tokenizer" in message


def test_lengths_that_no_pair_fits_into_are_told(tmp_path: Path) -> None:
    prepared = translation(PAIRS, tmp_path, lengths=[16], generate_lengths=[[16, 2]])
    with pytest.raises(DataError, match="none of 64 training pairs has .* a target of at most 2: raise lengths"):
        prepared.batches()
