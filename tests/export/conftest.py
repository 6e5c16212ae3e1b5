"""Small trained runs, made once: an export only needs a model.keras, a tokenizer and a manifest."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from exports import write_small_model
from writers import make_documents, make_pairs

from textapp.artifact import Artifact, open_artifact, write_manifest
from textapp.catalog import task_from_manifest
from textapp.text.training import train_tokenizer

GOOD, BAD = ["lovely", "bright", "warm", "clever"], ["dull", "grey", "cold", "clumsy"]
FILLER = ["the", "film", "was", "a", "very", "long", "story", "about", "some", "people", "in", "an", "old", "town"]


def make_records(count: int, seed: int = 0) -> list[dict[str, Any]]:
    """Texts of 1 to 30 words, one of which tells the label."""
    dice = random.Random(seed)
    records = []
    for index in range(count):
        words = dice.choices(FILLER, k=dice.randrange(30))
        words.insert(dice.randint(0, len(words)), dice.choice(BAD if index % 2 else GOOD))
        records.append({"text": " ".join(words), "label": "bad" if index % 2 else "good"})
    return records


def make_run(
    folder: Path, build: Callable[[int], Any], records: list[dict[str, Any]], manifest: Mapping[str, Any] | None = None,
    epochs: int = 6, cleaning: tuple[str, ...] = ("nfkc", "lowercase", "whitespace"),
) -> Artifact:  # fmt: skip
    """Trains `build(vocabulary_size)`, token ids to logits, on records and writes it as a run folder."""
    import keras

    tokenizer = train_tokenizer("sentencepiece", 200, [record["text"] for record in records], cleaning, "en")
    content = {
        "kind": "run", "task": "classification", "architecture": "mlp", "languages": ["en"],
        "labels": ["bad", "good"], "multiple": False, "inputs": ["text"], "features": ["token_ids"],
        "lengths": [16, 32], "lengths_from": "data", "parent": None,
        "tokenizer": {"kind": tokenizer.kind, "pad_id": 0, "vocabulary_size": tokenizer.vocabulary_size},
        **(manifest or {}),
    }  # fmt: skip
    task = task_from_manifest(content, tokenizer)
    keras.utils.set_random_seed(1)
    model = build(tokenizer.vocabulary_size)
    if epochs:
        rows = np.zeros((len(records), 32), np.int32)
        for row, record in zip(rows, records, strict=True):
            ids = task.features(record)["token_ids"]
            row[: len(ids)] = ids
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(optimizer=keras.optimizers.Adam(0.01), loss=loss)
        targets = np.array([task.target(record) for record in records])
        model.fit({"token_ids": rows}, targets, batch_size=32, epochs=epochs, verbose=0)
    folder.mkdir(parents=True)
    model.save(folder / "model.keras")
    tokenizer.save(folder / "tokenizer")
    write_manifest(folder, content)
    return open_artifact(folder)


def build_bag(vocabulary_size: int) -> Any:
    """A masked mean of embeddings: large enough that the converter quantizes it (1,024 weights and more)."""
    import keras
    from keras import layers, ops

    token_ids = keras.Input((None,), dtype="int32", name="token_ids")
    real = ops.expand_dims(ops.cast(ops.not_equal(token_ids, 0), "float32"), -1)
    vectors = layers.Embedding(vocabulary_size, 32)(token_ids)
    mean = ops.sum(vectors * real, 1) / ops.maximum(ops.sum(real, 1), 1.0)
    return keras.Model({"token_ids": token_ids}, layers.Dense(2)(layers.Dense(64, activation="relu")(mean)))


@pytest.fixture(scope="session")
def model_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A .tflite file with the signatures `classify_4` and `classify_8`. Read only."""
    return write_small_model(tmp_path_factory.mktemp("small"))


@pytest.fixture(scope="session")
def records() -> list[dict[str, Any]]:
    return make_records(240)


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory, records: list[dict[str, Any]]) -> Artifact:
    """A bag of embeddings with the buckets 16 and 32 that answers nearly all of `records`. Read only."""
    return make_run(tmp_path_factory.mktemp("runs") / "bag", build_bag, records)


@pytest.fixture(scope="session")
def pairs() -> list[dict[str, Any]]:
    return make_pairs(240)


@pytest.fixture(scope="session")
def translator(tiny_writer: Callable[[str], Path]) -> Artifact:
    """A small translator with two signatures, which has learnt `pairs`. Read only."""
    return open_artifact(tiny_writer("translation"))


@pytest.fixture(scope="session")
def documents() -> list[dict[str, Any]]:
    return make_documents(240)


@pytest.fixture(scope="session")
def language_model(tiny_writer: Callable[[str], Path]) -> Artifact:
    """A small language model with two signatures, which has learnt `documents`. Read only."""
    return open_artifact(tiny_writer("generation"))
