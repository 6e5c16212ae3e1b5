"""Tiny trained runs that write: a translator of made-up words, and a language model of sentences over them."""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from textapp.artifact import Artifact, open_artifact, write_manifest
from textapp.catalog import task_from_manifest
from textapp.config import TransformerModel
from textapp.models import GeneratorSettings, build_generator
from textapp.text.training import train_tokenizer

WORDS = {
    "rot": "red", "blau": "blue", "haus": "house", "hund": "dog", "katze": "cat", "baum": "tree", "wald": "wood",
    "nacht": "night", "tag": "day", "meer": "sea", "brot": "bread", "wein": "wine",
}  # fmt: skip
PAIRS = [[8, 12], [16, 20]]


def make_pairs(count: int, seed: int = 0) -> list[dict[str, Any]]:
    """Sentences of 1 to 9 words, each word translated in its place."""
    dice = random.Random(seed)
    chosen = [dice.choices(list(WORDS), k=dice.randint(1, 9)) for _ in range(count)]
    return [{"source": " ".join(words), "target": " ".join(WORDS[word] for word in words)} for words in chosen]


def dividing_end(texts: list[list[int]]) -> int:
    """A token that would end these texts at as many different places as any other."""
    places = {token: len({(*text, token).index(token) for text in texts}) for text in texts for token in text}
    return max(places, key=places.get)


def make_documents(count: int, seed: int = 0) -> list[dict[str, Any]]:
    """Texts in which every word is followed by a certain other one."""
    dice, words = random.Random(seed), list(WORDS.values())
    starts = [(dice.randrange(len(words)), dice.randint(4, 16)) for _ in range(count)]
    return [
        {"text": " ".join(words[(start + 5 * place) % len(words)] for place in range(length))}
        for start, length in starts
    ]


def make_writer(
    folder: Path, records: list[dict[str, Any]], manifest: Mapping[str, Any] | None = None, steps: int = 250,
    cleaning: tuple[str, ...] = (), **settings: Any,
) -> Artifact:  # fmt: skip
    """Trains a small Transformer on records, `{source, target}` or `{text}`, and writes it as a run folder."""
    import keras

    translates = "source" in records[0]
    texts = [text for record in records for text in record.values()]
    tokenizer = train_tokenizer("sentencepiece", 60, texts, cleaning, "en")
    content = {
        "kind": "run", "task": "translation" if translates else "generation", "architecture": "transformer",
        "languages": ["de", "en"] if translates else ["en"], "lengths": [8, 16] if translates else [36],
        "lengths_from": "data", "generate_lengths": PAIRS, "shared_tokenizer": True, "running_text": False,
        "features": ["token_ids"], "parent": None,
        "tokenizer": {"kind": tokenizer.kind, "pad_id": 0, "vocabulary_size": tokenizer.vocabulary_size},
        **(manifest or {}),
    }  # fmt: skip
    keras.utils.set_random_seed(1)
    sizes = {"num_heads": 2, "positions": "learned", "tie_embeddings": True, "dropout": 0.0, **settings}
    config = TransformerModel(architecture="transformer", hidden_dim=32, num_layers=2, intermediate_dim=64, **sizes)
    model = build_generator(
        config,
        GeneratorSettings(
            vocabulary_size=tokenizer.vocabulary_size,
            pad_id=0,
            start_id=2,
            end_id=3,
            max_length=40,
            max_source_length=16 if translates else None,
            never_ids=tokenizer.never_ids,
        ),
    )
    _train(model, _batch(task_from_manifest(content, tokenizer), records), steps)
    folder.mkdir(parents=True)
    model.save(folder / "model.keras")
    tokenizer.save(folder / "tokenizer")
    write_manifest(folder, content)
    return open_artifact(folder)


def _batch(task: Any, records: list[dict[str, Any]]) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Inputs and targets of all records, padded to one length."""
    ids = [task.target_ids(record) for record in records]
    length = max(map(len, ids)) + 1
    read, targets = np.zeros((2, len(ids), length), np.int32)
    for row, own in enumerate(ids):
        read[row, : len(own) + 1], targets[row, : len(own) + 1] = [2, *own], [*own, 3]
    if task.name == "generation":
        return {"token_ids": read}, targets
    sources = np.zeros((len(ids), 16), np.int32)
    for row, record in enumerate(records):
        own = task.features(record)["token_ids"]
        sources[row, : len(own)] = own
    return {"token_ids": sources, "target_ids": read}, targets


def _train(model: Any, batch: tuple[dict[str, np.ndarray], np.ndarray], steps: int) -> None:
    import keras
    import tensorflow as tf

    optimizer = keras.optimizers.Adam(5e-3)
    optimizer.build(model.trainable_variables)

    @tf.function
    def step(features: Any, targets: Any) -> None:
        with tf.GradientTape() as tape:
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(targets, model(features, training=True))
            real = tf.cast(targets != 0, tf.float32)
            loss = tf.reduce_sum(losses * real) / tf.reduce_sum(real)
        optimizer.apply(tape.gradient(loss, model.trainable_variables), model.trainable_variables)

    features, targets = batch
    dice = np.random.default_rng(0)
    for _ in range(steps):
        rows = dice.integers(0, len(targets), 48)
        step({name: tf.constant(values[rows]) for name, values in features.items()}, tf.constant(targets[rows]))
