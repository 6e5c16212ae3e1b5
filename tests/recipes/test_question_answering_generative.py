"""Question answering in writing, from files to sides: what is read, skipped and cut."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from textapp.catalog import parse_config, recipe_of
from textapp.config import Config
from textapp.errors import DataError
from textapp.recipes.splits import load_splits

ROWS = [
    {"id": "a", "question": "who wrote the book", "context": "ada wrote the book", "answer": "ada"},
    {"id": "b", "question": "what is two and two", "answer": ["four", "4"]},
    {"id": "c", "question": "who wrote the paper", "context": "ada wrote the book", "answer": "nobody knows"},
    {"id": "d", "question": "where is the book", "context": "bob has the book", "answer": ""},
    {"id": "e", "question": " ", "context": "bob has the book", "answer": "bob"},
]


def config_of(folder: Path, rows: list[dict], **changes: object) -> Config:
    (folder / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    raw = {
        "task": "question_answering", "mode": "generative", "run": str(folder / "run"),
        "data": {"train": "train.jsonl", "validation": "train.jsonl", "language": "en"},
        "tokenizer": {"kind": "characters", "vocabulary_size": 60}, "model": {"architecture": "lstm"}, **changes,
    }  # fmt: skip
    return parse_config(raw)


RECIPE = recipe_of("question_answering", "generative")


def test_the_same_tables_as_for_extraction_and_contexts_may_be_missing(tmp_path: Path, caplog) -> None:
    with caplog.at_level(logging.WARNING, logger="textapp"):
        splits = load_splits(RECIPE, config_of(tmp_path, ROWS), tmp_path)
    assert [(row["id"], row["context"], row["answer"]) for row in splits.train] == [
        ("a", "ada wrote the book", "ada"), ("b", "", "four"), ("c", "ada wrote the book", "nobody knows"),
    ]  # fmt: skip
    assert [each["text"] for each in splits.train[1]["answers"]] == ["four", "4"]
    skipped, dropped, *_ = caplog.messages
    assert "skipped 1 of 5 questions, which have no answer, such as" in skipped and skipped.endswith("train.jsonl:4")
    assert "dropped 1 of 4 training questions, which are empty, such as" in dropped
    assert [row["id"] for row in splits.validation] == ["a", "b", "c", "e"]


def test_squad_is_read_and_its_questions_without_an_answer_skipped(tmp_path: Path, caplog) -> None:
    qas = [{"id": "1", "question": "who", "answers": [{"text": "ada", "answer_start": 0}], "is_impossible": False},
           {"id": "2", "question": "why", "answers": [], "is_impossible": True}]  # fmt: skip
    squad = {"data": [{"paragraphs": [{"context": "ada did it", "qas": qas}]}]}
    (tmp_path / "squad.json").write_text(json.dumps(squad))
    config = config_of(tmp_path, ROWS, data={"train": "squad.json", "validation": "squad.json"})
    splits = load_splits(RECIPE, config, tmp_path)
    assert [(row["question"], row["answer"]) for row in splits.train] == [("who", "ada")]
    assert "skipped 1 of 2 questions" in caplog.text and "question 2" in caplog.text


def test_data_without_answers_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="none of 1 question has an answer, which mode: generative learns to write"):
        load_splits(RECIPE, config_of(tmp_path, ROWS[3:4]), tmp_path)
    with pytest.raises(DataError, match=r"no question can be trained on, such as .*train.jsonl:1: all are empty"):
        load_splits(RECIPE, config_of(tmp_path, ROWS[4:]), tmp_path)


def test_a_share_has_no_context_in_common_with_train(tmp_path: Path) -> None:
    rows = [{"question": f"question {n}", "context": f"context {n // 4}" if n < 40 else "", "answer": "x"}
            for n in range(80)]  # fmt: skip
    config = config_of(tmp_path, rows, data={"train": "train.jsonl", "validation": 0.2})
    splits = load_splits(RECIPE, config, tmp_path)
    assert len(splits.validation) == 16
    contexts = [{row["context"] for row in part if row["context"]} for part in (splits.train, splits.validation)]
    assert contexts[0] & contexts[1] == set()
    assert any(not row["context"] for row in splits.validation)  # those without one are not bound together


def test_sources_hold_question_and_context_cut_at_its_end(tmp_path: Path, caplog) -> None:
    config = config_of(tmp_path, ROWS[:3], lengths=[24, 32])
    splits = load_splits(RECIPE, config, tmp_path)
    with caplog.at_level(logging.WARNING, logger="textapp"):
        prepared = RECIPE.prepare(config, splits, tmp_path)
    ids, end = prepared.task.tokenizer.ids, prepared.task.end_id
    whole = [*ids("who wrote the book"), end, *ids("ada wrote the book"), end]
    first, second, _ = [source.tolist() for source in prepared.data["train"].sources]
    assert first == [*whole[:31], end] and len(whole) > 32
    assert second == [*ids("what is two and two"), end]
    assert prepared.data["train"].targets[0].tolist() == [*ids("ada"), end]
    assert [prepared.task.features(record)["token_ids"] for record in splits.train][0] == first
    told = [line for line in caplog.messages if "cut at its end" in line]
    assert told == ["2 of 3 training questions have more than 32 tokens with their context, which is cut at its end"]
    assert prepared.languages == ["en"] and prepared.task.target_tokenizer is prepared.task.tokenizer
    assert (prepared.config.mode, prepared.config.training.monitor) == ("generative", "f1")


def test_the_profile_counts_contexts_and_answers_in_them(tmp_path: Path) -> None:
    config = config_of(tmp_path, ROWS[:3])
    profile = RECIPE.profile(config, load_splits(RECIPE, config, tmp_path))
    assert (profile["mode"], profile["contexts"], profile["without_context"]) == ("generative", 1, 1)
    assert profile["copied_share"] == pytest.approx(33.33) and profile["overlaps"] == {"validation": 2}
    assert "2 questions of validation are about a context that is also in train" in profile["warnings"][0]
    shown = RECIPE.sections(profile)[0].values
    assert shown["answer stands in its context"] == "33.33 % of train" and shown["without a context"] == 1


def test_inputs_may_lack_context_and_answer(tmp_path: Path) -> None:
    from textapp.records.layout import Layout

    config = config_of(tmp_path, [{"question": "who"}, {"question": "why", "context": "because"}])
    rows = [row for _, row in RECIPE.scan("train.jsonl", Layout.of_config(config, RECIPE.keys), tmp_path)]
    assert [(row["question"], row["context"]) for row in rows] == [("who", ""), ("why", "because")]
