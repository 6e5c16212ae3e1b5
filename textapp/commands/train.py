"""`textapp train`: from a config to a finished run folder, resumed where it was cut off."""

from __future__ import annotations

import json
import logging
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from textapp.artifact import partial_folder, swap, write_text
from textapp.config import Config, data_directory, differing_key, load_config, parse_config, resolve
from textapp.errors import ArtifactError
from textapp.records.cache import TokenCache
from textapp.records.loading import Splits, load_splits
from textapp.tasks.classification import ClassificationTask
from textapp.text.language import guess_language
from textapp.text.tokenizer import Tokenizer, load_tokenizer

log = logging.getLogger("textapp")
REQUEST = "request.json"  # in checkpoints/: the config as asked for, to tell whether a later call asks for the same
PACKAGES = ("textapp", "tensorflow", "keras", "keras-hub", "numpy", "sentencepiece", "tokenizers")


@dataclass(frozen=True)
class Prepared:
    """All that training needs: the completed config, the splits, and each split's features and targets."""

    config: Config
    splits: Splits
    task: ClassificationTask
    features: dict[str, dict[str, list[np.ndarray]]]
    targets: dict[str, np.ndarray]
    language: str


def train(
    config_path: str | Path,
    overrides: Sequence[str] = (),
    run: str | None = None,
    data_dir: str | Path | None = None,
    overwrite: bool = False,
) -> Path:
    """Trains what a config describes.

    Args:
        config_path: the YAML.
        overrides: `key=value` pairs that replace keys of it.
        run: the folder to make, instead of the config's.
        data_dir: where relative data paths start.
        overwrite: start anew where a run or the rest of one is there.

    Returns:
        The finished run folder.

    Raises:
        ArtifactError: the run is finished already, or was begun with another config.
    """
    config = load_config(config_path, [*overrides, *([f"run={json.dumps(run)}"] if run else [])])
    return train_config(config, data_directory(data_dir), overwrite)


def train_config(config: Config, data_dir: Path, overwrite: bool = False) -> Path:
    """Trains a config that was read already. See `train`."""
    from textapp.training.strategy import make_strategy

    final = Path(config.run)
    strategy = make_strategy(config.training.device)
    chief = strategy.is_chief
    partial = partial_folder(final) if chief else strategy.scratch_folder()
    if chief:
        _open_partial(config, final, partial, overwrite)
    started = time.perf_counter()
    prepared = prepare(config, data_dir, partial)
    model, history = _fit(prepared, strategy, partial)
    if chief:
        _finish(prepared, model, history, partial, data_dir, time.perf_counter() - started)
        swap(partial, final)
        log.info("run: %s", final)
    return final


def _open_partial(config: Config, final: Path, partial: Path, overwrite: bool) -> None:
    """Makes or reopens the folder of the work in progress, or says why this call may not."""
    if final.exists() and not overwrite:
        raise ArtifactError(
            f"{final}: finished already; --overwrite trains it anew, --run DIR trains another beside it"
        )
    request = partial / "checkpoints" / REQUEST
    if partial.exists() and not overwrite and request.is_file():
        begun = parse_config(json.loads(request.read_text(encoding="utf-8")), source=str(request))
        key = differing_key(begun, config)
        if key:
            raise ArtifactError(
                f"{partial}: was begun with another config: '{key}' differs; --overwrite starts anew, "
                "the same config resumes it"
            )
        return
    shutil.rmtree(partial, ignore_errors=True)
    request.parent.mkdir(parents=True)
    write_text(request, json.dumps(config.model_dump(mode="json"), ensure_ascii=False))


def prepare(config: Config, data_dir: Path, folder: Path) -> Prepared:
    """Reads the data, finds or trains the tokenizer, and turns every text into ids.

    Args:
        config: as read.
        data_dir: where relative data paths start.
        folder: keeps tokenizer/ and the ids, for the next time.
    """
    splits = load_splits(config, data_dir)
    config = resolve(config, len(splits.train))
    texts = [record["text"] for record in splits.train]
    language = config.data.language or guess_language(texts)
    log.info(
        "data: %s training, %s validation, %s test examples (%s)",
        len(splits.train), len(splits.validation), len(splits.test), language,
    )  # fmt: skip
    tokenizer = _tokenizer(config, splits, language, folder / "tokenizer")
    task = _task(config, splits, tokenizer, lengths=[4096])
    cache = TokenCache(folder / "cache")
    features = {name: _features(task, records, cache) for name, records in _named(splits).items()}
    counts = [len(ids) for ids in features["train"]["token_ids"]]
    config = resolve(config, len(splits.train), counts)
    log.info("buckets: %s tokens; vocabulary: %s", config.lengths, tokenizer.vocabulary_size)
    task = _task(config, splits, tokenizer, lengths=config.lengths or [])
    targets = {name: _targets(task, records) for name, records in _named(splits).items()}
    return Prepared(config, splits, task, features, targets, language)


def _named(splits: Splits) -> dict[str, list[dict[str, Any]]]:
    return {"train": splits.train, "validation": splits.validation, "test": splits.test}


def _tokenizer(config: Config, splits: Splits, language: str, folder: Path) -> Tokenizer:
    """The tokenizer of a run that goes on, else the preset's, else one trained on the training texts."""
    if (folder / "settings.json").is_file():
        return load_tokenizer(folder)
    settings = config.tokenizer
    if settings.kind == "preset":
        from textapp.text.preset import preset_tokenizer

        tokenizer = preset_tokenizer(config.model.path)
    else:
        from textapp.text.training import train_tokenizer

        texts = [text for record in splits.train for text in (record["text"], record.get("text_pair")) if text]
        log.info("tokenizer: training %s on %s texts", settings.kind, len(texts))
        tokenizer = train_tokenizer(
            settings.kind, settings.vocabulary_size, texts, config.cleaning or [], language, config.seed
        )
    tokenizer.save(folder)
    return tokenizer


def _task(config: Config, splits: Splits, tokenizer: Tokenizer, lengths: Sequence[int]) -> ClassificationTask:
    multiple = config.data.labels == "multiple"
    given = (record["label"] for record in splits.train)
    labels = sorted({label for record_labels in given for label in record_labels} if multiple else set(given))
    pair = config.data.columns.text_pair is not None
    return ClassificationTask(tokenizer, labels, lengths, multiple, pair, segments=pair)


def _features(
    task: ClassificationTask, records: Sequence[dict[str, Any]], cache: TokenCache
) -> dict[str, list[np.ndarray]]:
    """Token ids of every record, tokenised once and kept on disk."""
    tokenizer = task.tokenizer
    names = ("token_ids", "segment_ids") if task.pair else ("token_ids",)
    columns = ["text", "text_pair"] if task.pair else ["text"]
    ids = [cache.ids([record.get(column) or "" for record in records], tokenizer) for column in columns]
    rows = [
        task.joined([int(i) for i in first], [int(i) for i in second[0]] if second else None)
        for first, *second in zip(*ids, strict=True)
    ]
    return {name: [np.asarray(row[name], np.int32) for row in rows] for name in names}


def _targets(task: ClassificationTask, records: Sequence[dict[str, Any]]) -> np.ndarray:
    """`[examples]` int32, with several labels a text `[examples, labels]` float32."""
    return np.array([task.target(record) for record in records], np.float32 if task.multiple else np.int32)


def _fit(prepared: Prepared, strategy: Any, partial: Path) -> tuple[Any, Any]:
    """Trains the model. Returns it in float32, with the history."""
