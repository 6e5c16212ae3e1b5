"""Classification from texts to token ids."""

from __future__ import annotations

import logging

from textapp.catalog import parse_config, recipe_of
from textapp.records.splits import Splits


def test_the_tokenizer_reads_both_texts_of_train_alone() -> None:
    given = parse_config({
        "task": "classification", "run": "r", "data": {"train": "a"}, "model": {"architecture": "mlp"},
        "tokenizer": {"kind": "characters", "vocabulary_size": 100},
    })  # fmt: skip
    train = [{"text": "abc", "text_pair": "XYZ", "label": "1"}] * 20
    splits = Splits(train, [{"text": "q", "label": "1"}], [], {})
    recipe = recipe_of("classification")
    tokenizer = recipe.tokenizer(recipe.resolve(given, 20, "en"), splits, "en")
    assert {"a", "b", "c", "x", "y", "z"} <= set(tokenizer.pieces()) and "q" not in tokenizer.pieces()


def config_of(**given):
    raw = {
        "task": "classification", "run": "r", "data": {"train": "a"}, "model": {"architecture": "mlp"},
        "tokenizer": {"kind": "characters", "vocabulary_size": 100}, **given,
    }  # fmt: skip
    return parse_config(raw)


def test_the_profile_reads_the_cleaned_texts() -> None:
    train = [
        {"text": f'<div class="review"><p>{text}</p></div>', "label": label}
        for text, label in (("很好看 电影", "pos"), ("不好看 电影", "neg"), ("好看", "pos"), ("难看", "neg")) * 3
    ]
    train += [{"text": "好看", "label": "pos"}, {"text": "<br>", "label": "neg"}]
    splits = Splits(train, [{"text": "<i>难看</i>", "label": "neg"}], [], {"train": "a"})
    recipe = recipe_of("classification")
    found = recipe.profile(config_of(cleaning=["html", "whitespace"]), splits)
    assert found["language"] == "zh"
    terms = [term for kinds in found["keywords"].values() for part in kinds.values() for term in part]
    assert "很好看" in terms and not {"div", "class", "review", "p"}.intersection(terms)
    assert found["duplicates"]["rows"] == 9 and found["overlaps"]["validation"]["rows"] == 1
    assert found["overlaps"]["validation"]["examples"][0]["text"] == "难看"
    assert found["odd"]["train"]["empty"] == 1
    raw = recipe.profile(config_of(cleaning=["whitespace"]), splits)
    assert (raw["language"], raw["odd"]["train"]["empty"], raw["overlaps"]["validation"]["rows"]) == ("en", 0, 0)


def test_training_and_check_warn_of_labels_that_look_alike(tmp_path, caplog) -> None:
    labels = ["Boots"] * 12 + ["Boots\u200b"] * 3 + ["Hats"] * 12
    train = [{"text": f"text {number}", "label": label} for number, label in enumerate(labels)]
    splits = Splits(train, [{"text": "x", "label": "Boots"}], [], {"train": "a"})
    recipe = recipe_of("classification")
    line = (
        r"labels look alike, and are classes of their own: 'Boots' (13), 'Boots\u200b' (3, differs in U+200B):"
        r" write them in one way if they mean the same"
    )
    found = recipe.profile(config_of(), splits)
    assert line in found["warnings"]
    assert r"fewer than 10 training examples: 'Boots\u200b'" in found["warnings"]
    shown = next(part for part in recipe.sections(found) if part.title == "labels")
    assert [row[0] for row in shown.rows] == ["Boots", r"Boots\u200b", "Hats"]
    with caplog.at_level(logging.WARNING, "textapp"):
        recipe.prepare(config_of(), splits, tmp_path)
    assert [entry.getMessage() for entry in caplog.records if entry.levelno >= logging.WARNING] == [line]
