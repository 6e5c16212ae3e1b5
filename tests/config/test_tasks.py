"""Which keys serve which task."""

from __future__ import annotations

import pytest

from textapp.catalog import load_config, parse_config, recipe_of
from textapp.config import Data, save_config
from textapp.errors import ConfigError

PAIRS = {"source": "train.zh", "target": ["a.en", "b.en"]}
TRANSLATION = {
    "task": "translation", "run": "runs/x", "data": {"train": PAIRS}, "model": {"architecture": "transformer"}
}  # fmt: skip
ANSWERS = {
    "task": "question_answering", "mode": "generative", "run": "runs/x", "data": {"train": "a"},
    "model": {"architecture": "lstm"},
}  # fmt: skip
GENERATION = {"task": "generation", "run": "runs/x", "data": {"train": "a.txt"}, "model": {"architecture": "lstm"}}
CLASSIFICATION = {"task": "classification", "run": "runs/x", "data": {"train": "a"}, "model": {"architecture": "cnn"}}


def fault(raw: dict, **changes: object) -> str:
    with pytest.raises(ConfigError) as caught:
        parse_config({**raw, **changes})
    return str(caught.value)


@pytest.mark.parametrize(
    ("raw", "changes", "words"),
    [
        (TRANSLATION, {"data": {"train": "a", "columns": {"label": 0}}}, ["data.columns.label", "source, target"]),
        (TRANSLATION, {"data": {"train": "a", "labels": "multiple"}}, ["data.labels", "'multiple'"]),
        (TRANSLATION, {"data": {"train": "a", "language": "zh"}}, ["data.language", "did you mean"]),
        (TRANSLATION, {"training": {"class_weights": "balanced"}}, ["training.class_weights"]),
        (TRANSLATION, {"training": {"monitor": "accuracy"}}, ["training.monitor", "bleu, chrf, perplexity, loss"]),
        (GENERATION, {"training": {"monitor": "bleu"}}, ["training.monitor", "perplexity, loss"]),
        (TRANSLATION, {"tokenizer": {"kind": "wordpiece"}}, ["tokenizer.kind", "loses the spaces"]),
        (GENERATION, {"tokenizer": {"shared": False}}, ["tokenizer.shared", "for translation"]),
        (GENERATION, {"data": {"train": PAIRS}}, ["data.train", "parallel files"]),
        (GENERATION, {"data": {"train": "a", "test": PAIRS}}, ["data.test", "parallel files"]),
        (GENERATION, {"model": {"architecture": "lstm", "bidirectional": False}}, ["model.bidirectional"]),
        (
            CLASSIFICATION,
            {"model": {"architecture": "preset", "path": "p", "lora_rank": 4}},
            ["model.lora_rank", "for question_answering with mode: generative and translation and generation"],
        ),
        (GENERATION, {"model": {"architecture": "cnn"}}, ["'cnn'", "cannot generate text", "lstm, transformer"]),
        (TRANSLATION, {"model": {"architecture": "mlp"}}, ["'mlp'", "cannot generate text", "transformer, preset"]),
        (TRANSLATION, {"model": {"architecture": "transformer", "embedding_dim": 8}}, ["model.hidden_dim"]),
        (CLASSIFICATION, {"training": {"batch_tokens": 64}}, ["training.batch_tokens", "task classification"]),
        (CLASSIFICATION, {"generate_lengths": [[8, 8]]}, ["generate_lengths", "translation and generation"]),
        (CLASSIFICATION, {"model": {"architecture": "transformer", "decoder_layers": 2}}, ["model.decoder_layers"]),
        (CLASSIFICATION, {"data": {"train": "a", "columns": {"source": 0}}}, ["data.columns.source", "text_pair"]),
        (CLASSIFICATION, {"mode": "generative"}, ["mode: found 'generative'", "(it is for question_answering)"]),
        (ANSWERS, {"stride": 8}, ["question_answering with mode: generative has no", "with mode: extractive)"]),
        (ANSWERS, {"mode": None, "generate_lengths": [[8, 8]]}, ["question_answering with mode: extractive has no"]),
        (ANSWERS, {"data": {"train": "a", "columns": {"start": 0}}}, ["question_answering with mode: extractive)"]),
        (ANSWERS, {"training": {"monitor": "chrf"}}, ["f1, exact_match, bleu, rougeL, perplexity, loss"]),
        (ANSWERS, {"model": {"architecture": "mlp"}}, ["'mlp'", "cannot generate text", "lstm, transformer, preset"]),
        (ANSWERS, {"mode": None, "model": {"architecture": "mlp"}}, ["'mlp'", "cannot answer questions"]),
    ],
)
def test_a_key_of_another_task_is_an_error_that_names_the_task(raw: dict, changes: dict, words: list[str]) -> None:
    message = fault(raw, **changes)
    assert all(word in message for word in [*words, f"task {raw['task']}"]), message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("raw", "changes", "words"),
    [
        (TRANSLATION, {"lengths": [8, 16], "generate_lengths": [[8, 8], [32, 8]]}, ["32 tokens", "at most 16"]),
        (
            GENERATION,
            {"lengths": [32], "generate_lengths": [[8, 24], [16, 24]]},
            ["[16, 24]", "at most 32, the context"],
        ),
        (TRANSLATION, {"generate_lengths": [[16, 8], [8, 8]]}, ["generate_lengths", "ascend"]),
        (TRANSLATION, {"generate_lengths": [[16]]}, ["generate_lengths: found [[16]]: expected pairs"]),
        (TRANSLATION, {"training": {"batch_size": 8, "batch_tokens": 64}}, ["found both"]),
        (
            TRANSLATION,
            {"model": {"architecture": "preset", "path": "p"}, "tokenizer": {"kind": "preset", "shared": False}},
            ["tokenizer.shared: found false", "one vocabulary for both sides"],
        ),
        (TRANSLATION, {"data": {"train": {"source": "a"}}}, ["data.train", "{source: train.zh, target: train.en}"]),
        (
            GENERATION,
            {"model": {"architecture": "transformer", "hidden_dim": 6, "num_heads": 2, "positions": "rope"}},
            ["found 3 numbers a head", "even"],
        ),
        (
            GENERATION,
            {"model": {"architecture": "transformer", "hidden_dim": 6, "num_heads": 4}},
            ["hidden_dim 6", "num_heads 4", "model.head_dim"],
        ),
        (
            GENERATION,
            {
                "model": {
                    "architecture": "transformer",
                    "hidden_dim": 6,
                    "num_heads": 4,
                    "head_dim": 3,
                    "positions": "rope",
                }
            },
            ["found model.head_dim 3, expected an even number"],
        ),
        (
            GENERATION,
            {"model": {"architecture": "transformer", "num_heads": 4, "num_key_value_heads": 3}},
            ["num_heads 4", "num_key_value_heads 3"],
        ),
    ],
)
def test_parts_that_do_not_fit(raw: dict, changes: dict, words: list[str]) -> None:
    message = fault(raw, **changes)
    assert all(word in message for word in words), message


def test_every_misfit_gets_a_line() -> None:
    message = fault(TRANSLATION, data={"train": "a", "labels": "multiple"}, training={"monitor": "accuracy"})
    assert [line.split(":")[1].strip() for line in message.splitlines()] == ["data.labels", "training.monitor"]


def test_parallel_files_are_read_back_equal(tmp_path) -> None:
    config = parse_config({**TRANSLATION, "generate_lengths": [[8, 16], [16, 16]]})
    save_config(config, tmp_path / "config.yaml")
    assert load_config(tmp_path / "config.yaml") == config
    assert (config.data.train.source, config.data.train.target) == ("train.zh", ["a.en", "b.en"])


def test_a_side_may_be_named_by_its_language() -> None:
    data = Data(train="a.csv", columns={"source": 1}, target_language="en")
    assert data.fields(recipe_of("translation").keys.columns) == {
        "source": 1, "target": ["target", "tgt", "target_text", "translation", "reference", "output", "en"]
    }  # fmt: skip


def test_the_columns_of_each_task() -> None:
    assert list(recipe_of("classification").keys.columns) == ["text", "text_pair", "label"]
    assert list(recipe_of("translation").keys.columns) == ["source", "target"]
    assert list(recipe_of("generation").keys.columns) == ["text", "prompt", "messages"]


@pytest.mark.parametrize(
    ("raw", "train", "expected"),
    [
        (GENERATION, "a.txt", True), (GENERATION, ["a.txt", "b/*.TXT.gz"], True), (GENERATION, "a.jsonl", False),
        (GENERATION, ["a.txt", "a.jsonl"], False), (TRANSLATION, "a.txt", False),
    ],
)  # fmt: skip
def test_running_text_is_what_stands_in_txt_files(raw: dict, train: str | list[str], expected: bool) -> None:
    config = parse_config({**raw, "data": {"train": train}})
    assert recipe_of(config.task).divides_texts(config) is expected


def test_a_column_may_have_the_name_of_the_language_in_either_form() -> None:
    data = Data(train="a.csv", source_language="zh-CN", target_language="eng")
    assert data.fields({"source": ["src"], "target": ["tgt"]}) == {
        "source": ["src", "zh-CN", "zh"],
        "target": ["tgt", "eng", "en"],
    }


PRESET = {"architecture": "preset", "path": "p"}
AS_IT_IS = {"task": "generation", "run": "r", "model": PRESET, "training": {"epochs": 0}}


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (
            {**GENERATION, "training": {"epochs": 0}},
            r"training\.epochs: found 0, which makes a run of a preset as it is, but a lstm starts from random weights",
        ),
        (
            {**AS_IT_IS, "task": "classification"},
            r"training\.epochs: found 0, but of a preset only the encoder is read, .* task classification starts from",
        ),
        ({**AS_IT_IS, "task": "question_answering"}, r"training\.epochs: found 0, .* task question_answering starts"),
        ({**AS_IT_IS, "data": {"test": 0.1}}, r"data\.test: found a share of data\.train, which is missing; expected"),
        ({**AS_IT_IS, "model": {**PRESET, "lora_rank": 4}}, r"model\.lora_rank: found a rank, but .* leave it out"),
        ({**AS_IT_IS, "training": {}}, "the key 'data' is missing"),
        ({**AS_IT_IS, "training": {"epochs": 1}, "data": {"test": "a"}}, r"the key 'data\.train' is missing"),
        ({**AS_IT_IS, "training": {"epochs": -1}}, r"training\.epochs: found -1: expected a number from 0"),
    ],
)
def test_only_a_preset_that_writes_needs_no_training(raw: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        parse_config(raw)
    assert "\n" not in str(caught.value)


def test_a_preset_as_it_is_needs_no_training_data(tmp_path) -> None:
    for data in ({}, {"test": "a.txt"}, {"train": "a.txt"}):
        config = parse_config({**AS_IT_IS, "data": data})
        save_config(config, tmp_path / "c.yaml")
        assert load_config(tmp_path / "c.yaml") == config
        assert config.data.first_files == next(iter(data.values()), None)
    assert parse_config(AS_IT_IS).data.first_files is None
