"""Classification from texts to token ids."""

from __future__ import annotations

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
