"""Question answering by a language model, from files to documents: which recipe serves, what is cut and learnt."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from textapp.arrays import IGNORED
from textapp.catalog import parse_config, recipe_of, recipe_of_config
from textapp.config import Config
from textapp.errors import ConfigError
from textapp.recipes.resolving import writer_role
from textapp.recipes.splits import load_splits

ROWS = [
    {"id": "a", "question": "who wrote the book", "context": "ada wrote the book", "answer": "ada"},
    {"id": "b", "question": "what is two and two", "answer": ["four", "4"]},
    {"id": "c", "question": "who wrote the paper", "context": "ada wrote the book", "answer": "nobody  knows"},
]
RECIPE = recipe_of("question_answering", "generative", "decoder")


def config_of(folder: Path, **changes: Any) -> Config:
    (folder / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS), encoding="utf-8")
    raw = {
        "task": "question_answering", "mode": "generative", "run": str(folder / "run"),
        "data": {"train": "train.jsonl", "validation": "train.jsonl", "language": "en"},
        "tokenizer": {"kind": "characters", "vocabulary_size": 60},
        "model": {"architecture": "lstm", "role": "decoder"}, **changes,
    }  # fmt: skip
    return parse_config(raw)


@pytest.mark.parametrize(
    ("config", "role"),
    [
        ({"model_type": "llama"}, "decoder"), ({"model_type": "bart"}, "encoder-decoder"),
        ({"model_type": "mt5"}, "encoder-decoder"), ({"class_name": "BartBackbone"}, "encoder-decoder"),
        ({"model_type": "x", "is_encoder_decoder": True}, "encoder-decoder"),
        ({"class_name": "T5Backbone"}, "encoder-decoder"), ({"class_name": "Qwen3Backbone"}, "decoder"),
        ({"model_type": "qwen2", "is_encoder_decoder": False}, "decoder"), (["no keys"], "decoder"),
    ],
)  # fmt: skip
def test_a_folder_tells_its_role(config: Any, role: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert writer_role(str(tmp_path)) == role


def test_a_name_tells_the_role_of_its_preset(tmp_path: Path) -> None:
    names = ("bart_base_en", "flan_t5_base_multi", "hf://google/t5-small", "llama3_8b_en", "models/qwen.gguf")
    assert [writer_role(name) for name in names] == ["encoder-decoder"] * 3 + ["decoder"] * 2


def test_the_config_chooses_the_recipe(tmp_path: Path) -> None:
    written = type(recipe_of("question_answering", "generative"))
    assert type(recipe_of_config(config_of(tmp_path), tmp_path)) is type(RECIPE)
    assert type(recipe_of_config(config_of(tmp_path, model={"architecture": "lstm"}), tmp_path)) is written
    preset: dict[str, Any] = {"tokenizer": None, "model": {"architecture": "preset", "path": "llama"}}
    (tmp_path / "llama").mkdir()
    for kind, recipe in (("llama", type(RECIPE)), ("bart", written)):  # a path below the data
        (tmp_path / "llama" / "config.json").write_text(json.dumps({"model_type": kind}))
        assert type(recipe_of_config(config_of(tmp_path, **preset), tmp_path)) is recipe
    preset["model"]["role"] = "decoder"
    assert type(recipe_of_config(config_of(tmp_path, **preset), tmp_path)) is type(RECIPE)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": {"architecture": "transformer", "role": "decoder", "encoder_layers": 2}},
         "encoder_layers: found 2, but task question_answering with mode: generative and model.role: decoder has"),
        ({"mode": "extractive"}, "model.role: found 'decoder', but task question_answering with mode: extractive"
         " has no such key .it is for question_answering with mode: generative."),
        ({"model": {"architecture": "lstm", "role": "reader"}}, "model.role: found 'reader': expected one of decoder"),
        ({"lengths": [16], "generate_lengths": [[16, 4]]}, r"\[16, 4\], expected a sum of at most 16, the context"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(changes: dict, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        config_of(tmp_path, **changes)


def test_documents_hold_prompts_without_loss_and_answers(tmp_path: Path) -> None:
    config = config_of(tmp_path)
    prepared = RECIPE.prepare(config, load_splits(RECIPE, config, tmp_path), tmp_path)
    task, tokenizer = prepared.task, prepared.task.tokenizer
    first, second, third = prepared.data["train"]
    answer = [*tokenizer.ids("\nAnswer: ada")[len(tokenizer.ids("\nAnswer:")) :], tokenizer.end_id]
    prompt = [
        tokenizer.start_id,
        *tokenizer.ids("ada wrote the book"),
        *tokenizer.ids("\nQuestion: who wrote the book\nAnswer:"),
    ]
    assert first.inputs.tolist() == [*prompt, *answer[:-1]]
    assert first.targets.tolist() == [*[IGNORED] * (len(prompt) - 1), *answer]
    assert tokenizer.decode(second.inputs.tolist()).strip() == "Question: what is two and two\nAnswer: four"
    assert tokenizer.decode(third.targets[third.targets != IGNORED].tolist()).strip() == "nobody knows"
    for record, document in zip(prepared.splits.train, prepared.data["train"], strict=True):  # as on the device
        count = int((document.targets == IGNORED).sum()) + 1
        assert document.inputs[:count].tolist() == task.features(record)["token_ids"]
        assert document.targets[document.targets != IGNORED].tolist() == task.reference_ids(record)
    read = max(len(task.features(record)["token_ids"]) for record in prepared.splits.train)
    longest = prepared.config.generate_lengths[-1]
    assert longest[0] >= read and longest[1] == 16 and prepared.config.lengths == [sum(longest)]
    assert (prepared.config.model.role, prepared.config.training.monitor) == ("decoder", "f1")


def test_a_long_context_is_cut_before_the_question(tmp_path: Path, caplog) -> None:
    config = config_of(tmp_path, lengths=[60], generate_lengths=[[52, 8]])
    splits = load_splits(RECIPE, config, tmp_path)
    with caplog.at_level(logging.WARNING, logger="textapp"):
        prepared = RECIPE.prepare(config, splits, tmp_path)
    first, third = (prepared.data["train"][row].inputs for row in (0, 2))
    text = prepared.task.tokenizer.decode(first.tolist())
    assert text.startswith("ada wr") and text.endswith("Question: who wrote the book\nAnswer: ada")
    assert first[:52].tolist() == prepared.task.features(splits.train[0])["token_ids"] and len(third) == 60
    told = [line for line in caplog.messages if "cut at its end" in line]
    assert told == ["2 of 3 training questions have more than 52 tokens with their context, which is cut at its end"]


def test_the_profile_counts_prompts_and_answers(tmp_path: Path) -> None:
    config = config_of(tmp_path)
    profile = RECIPE.profile(config, load_splits(RECIPE, config, tmp_path))
    assert (profile["mode"], profile["role"], profile["contexts"]) == ("generative", "decoder", 1)
    assert profile["without_context"] == 1 and profile["overlaps"] == {"validation": 2}
    assert profile["lengths"]["longest"] > len("ada wrote the bookQuestion: who wrote the paperAnswer:")
    assert RECIPE.sections(profile)[0].values["answer stands in its context"] == "33.33 % of train"
