"""From records to features: the config is completed, the tokenizer found or trained, every text becomes ids."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from textapp.config import Config
from textapp.defaults import MOST_IN_BUCKET, resolve
from textapp.records.cache import TokenCache, folder_key
from textapp.records.loading import Splits, label_names
from textapp.tasks.classification import ClassificationTask
from textapp.text.language import guess_language
from textapp.text.tokenizer import SETTINGS, Tokenizer, load_tokenizer
from textapp.text.vectors import vector_dim

if TYPE_CHECKING:
    from textapp.models.preset import Facts

Record = dict[str, Any]
Features = dict[str, list[np.ndarray]]

log = logging.getLogger("textapp")
TOKENIZER, CACHE = "tokenizer", "cache"
MOST_TOKENS = 4096  # of one text, before the buckets are known


@dataclass(frozen=True)
class Prepared:
    """All that training needs: the completed config, the splits, and each split's features and targets.

    `lengths_given` tells buckets that the config names from buckets that were chosen from the data.
    """

    config: Config
    splits: Splits
    task: ClassificationTask
    features: dict[str, Features]
    targets: dict[str, np.ndarray]
    language: str
    lengths_given: bool


def prepare(config: Config, splits: Splits, folder: Path) -> Prepared:
    """Completes the config, finds or trains the tokenizer, and turns every text into ids.

    Args:
        config: its files located.
        splits: its records.
        folder: keeps tokenizer/ and the ids, for the next time.
    """
    lengths_given = config.lengths is not None
    language = config.data.language or guess_language([record["text"] for record in splits.train])
    config = resolve(config, len(splits.train), language=language)
    log.info(
        "data: %s training, %s validation, %s test examples (%s)",
        len(splits.train), len(splits.validation), len(splits.test), language,
    )  # fmt: skip
    if (folder / TOKENIZER / SETTINGS).is_file():  # of a run that goes on
        tokenizer = load_tokenizer(folder / TOKENIZER)
    else:
        tokenizer = make_tokenizer(config, splits, language)
        tokenizer.save(folder / TOKENIZER)
    labels = label_names(splits.train)
    task = _task(config, labels, tokenizer, [MOST_TOKENS])
    cache = TokenCache(folder / CACHE)
    key = folder_key(folder / TOKENIZER)
    named = {name: records for name, records in splits._asdict().items() if name != "origin"}
    features = {name: _features(task, records, cache, key) for name, records in named.items()}
    counts = [len(ids) for ids in features["train"]["token_ids"]]
    most = _preset(config).max_length if config.model.architecture == "preset" else None
    config = resolve(config, len(splits.train), counts, language, most or MOST_IN_BUCKET)
    log.info("buckets: %s tokens; vocabulary: %s", config.lengths, tokenizer.vocabulary_size)
    task = _task(config, labels, tokenizer, config.lengths)
    targets = {name: _targets(task, records) for name, records in named.items()}
    return Prepared(config, splits, task, features, targets, language, lengths_given)


def locate(config: Config, data_dir: Path) -> Config:
    """Finds the files that the model starts from, and takes the width of word vectors from their file.

    A relative path starts at `data_dir` where the file is there, else at the working directory.

    Raises:
        DataError: the file of word vectors is missing or not in the format.
    """
    model = config.model
    given = {key: getattr(model, key, None) for key in ("vectors", "path")}
    update: dict[str, Any] = {
        key: str(data_dir / path) for key, path in given.items() if path and (data_dir / path).exists()
    }
    if given["vectors"] and model.embedding_dim is None:
        update["embedding_dim"] = vector_dim(update.get("vectors", given["vectors"]))
    return config.model_copy(update={"model": model.model_copy(update=update)})


def make_tokenizer(config: Config, splits: Splits, language: str) -> Tokenizer:
    """The preset's tokenizer, else one trained on the training texts.

    Args:
        config: resolved, its files located.
        splits: of which train alone is read.
        language: of the texts, `en`.
    """
    settings = config.tokenizer
    if settings.kind == "preset":
        from textapp.text.preset import preset_tokenizer

        return preset_tokenizer(config.model.path)
    from textapp.text.training import train_tokenizer

    texts = [text for record in splits.train for text in (record["text"], record.get("text_pair")) if text]
    log.info("tokenizer: training %s on %s texts", settings.kind, f"{len(texts):,}")
    return train_tokenizer(settings.kind, settings.vocabulary_size, texts, config.cleaning, language, config.seed)


def _task(config: Config, labels: Sequence[str], tokenizer: Tokenizer, lengths: Sequence[int]) -> ClassificationTask:
    pair = config.data.columns.text_pair is not None
    segments = pair and config.model.architecture == "preset" and _preset(config).segments
    return ClassificationTask(tokenizer, labels, lengths, config.data.labels == "multiple", pair, segments)


def _preset(config: Config) -> Facts:
    from textapp.models.preset import facts  # brings TensorFlow: only where there is a preset

    return facts(config.model.path)


def _features(task: ClassificationTask, records: Sequence[Record], cache: TokenCache, key: str) -> Features:
    """What the model takes of every record; tokenised once and kept on disk."""
    fields = ["text", "text_pair"] if task.pair else ["text"]
    ids = [cache.ids([record.get(name) or "" for record in records], key, task.tokenizer.ids) for name in fields]
    rows = [task.joined(*(part.tolist() for part in parts)) for parts in zip(*ids, strict=True)]
    names = ("token_ids", "segment_ids") if task.segments else ("token_ids",)
    return {name: [np.asarray(row[name], np.int32) for row in rows] for name in names}


def _targets(task: ClassificationTask, records: Sequence[Record]) -> np.ndarray:
    """`[examples]` int32, with several labels a text `[examples, labels]` float32."""
    return np.array([task.target(record) for record in records], np.float32 if task.multiple else np.int32)
