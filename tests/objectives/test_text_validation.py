from __future__ import annotations

from pathlib import Path

import numpy as np

from textapp.batches.sequences import TokenBatches
from textapp.catalog import parse_config, recipe_of
from textapp.models import GeneratorSettings, build_generator
from textapp.objectives.text_validation import TextValidation, strided
from textapp.predictors.generative import GenerativePredictor
from textapp.tasks.translation import TranslationTask
from textapp.text.training import train_tokenizer

RECORDS = [{"source": "ab", "target": "ba"}, {"source": "abc", "target": "cba"}]


def validation() -> TextValidation:
    config = parse_config({
        "task": "translation", "run": "r", "data": {"train": "a.tsv"},
        "model": {
            "architecture": "transformer", "hidden_dim": 8, "num_heads": 2, "encoder_layers": 1, "decoder_layers": 1,
            "dropout": 0.0, "positions": "sinusoidal", "tie_embeddings": True,
        },
    })  # fmt: skip
    tokenizer = train_tokenizer("characters", 20, ["abc"] * 9, purpose="translate")
    size = tokenizer.vocabulary_size
    settings = GeneratorSettings(size, pad_id=0, start_id=2, end_id=3, max_length=9, max_source_length=8)
    model = build_generator(config.model, settings)
    task = TranslationTask(tokenizer, tokenizer, [8], [(8, 8)])
    sources = [np.array([*tokenizer.ids(record["source"]), 3], np.int32) for record in RECORDS]
    targets = [np.array([*tokenizer.ids(record["target"]), 3], np.int32) for record in RECORDS]
    read = [np.array([2, *row[:-1]], np.int32) for row in targets]
    source = TokenBatches({"token_ids": sources, "target_ids": read}, targets, 0, batch_size=2)
    predictor = GenerativePredictor(task, recipe_of("translation").objective().runner(model, task), {}, Path())
    return TextValidation(model, predictor, source, RECORDS, RECORDS[:1])


def test_a_translator_is_scored_and_shown() -> None:
    measured = validation()
    figures = measured()
    assert set(figures) == {"loss", "perplexity", "bleu", "chrf"}
    assert 0 <= figures["bleu"] <= 100 and figures["perplexity"] > 1
    lines = measured.samples()
    assert lines[:2] == ["  > ab", "  = ba"] and len(lines) in (2, 3)


def test_strided() -> None:
    assert strided("abcdef", 3) == ["a", "c", "e"]
    assert strided("ab", 3) == ["a", "b"] and strided("abcde", 3) == ["a", "c", "e"]
