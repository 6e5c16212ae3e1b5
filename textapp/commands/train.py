"""`textapp train`: from a config to a finished run folder, resumed where it was cut off."""

from __future__ import annotations

import json
import logging
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from textapp.artifact import (
    TARGET_TOKENIZER,
    TOKENIZER,
    check_place,
    partial_folder,
    swap,
    write_fault,
    write_manifest,
    write_text,
)
from textapp.commands import tables
from textapp.commands.prepare import CACHE, Prepared, locate, prepare
from textapp.config import Config, data_directory, differing_key, load_config, parse_config, save_config
from textapp.errors import ArtifactError
from textapp.noise import import_tensorflow
from textapp.records.layout import settle_columns
from textapp.records.loading import load_splits

if TYPE_CHECKING:
    import keras

    from textapp.training.trainer import History

log = logging.getLogger("textapp")
CONFIG, METRICS = "config.yaml", "metrics.json"
REQUEST = "request.json"  # in checkpoints/: the config as asked for, to tell whether a later call asks for the same
SHOWN = {
    "accuracy": "accuracy", "f1_macro": "macro F1", "bleu": "BLEU", "chrf": "chrF", "perplexity": "perplexity",
    "nats_per_character": "nats a character",
}  # fmt: skip
PACKAGES = ("textapp", "tensorflow", "keras", "keras-hub", "numpy", "sentencepiece", "tokenizers")


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
    final = Path(config.run)
    if check_place(final, "run", f"checkpoints/{REQUEST}") and not overwrite:
        raise ArtifactError(f"{final}: finished already; --overwrite trains it anew, --run DIR another beside it")
    # Before TensorFlow, which takes seconds: faults in the data show at once.
    splits = load_splits(config, data_dir)
    located = locate(config, data_dir)
    import_tensorflow()
    from textapp.training.strategy import is_chief, make_strategy

    partial = partial_folder(final)
    strategy = make_strategy(config.training.device)
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as scratch:
        chief = is_chief(strategy)
        if chief:
            _open_partial(config, final, partial, overwrite)
        with _writing(partial):
            # Every worker makes the same tokenizer and ids from the same data; only the chief's are kept.
            prepared = prepare(located, splits, partial if chief else Path(scratch))
            model, history = _fit(prepared, strategy, partial)
            if chief:
                _finish(prepared, model, history, partial, data_dir, time.perf_counter() - started)
    if chief:
        swap(partial, final)
        log.info("run: %s", final)
    return final


@contextmanager
def _writing(partial: Path) -> Iterator[None]:
    """Says of a disk that is full what stands there still."""
    try:
        yield
    except Exception as error:
        fault = write_fault(error)
        if fault is None:
            raise
        raise ArtifactError(
            f"{partial}: could not be written: {fault}; a finished run that was there before is unchanged: "
            "free some space and give the same command again"
        ) from error


def _open_partial(config: Config, final: Path, partial: Path, overwrite: bool) -> None:
    """Makes or reopens the folder of the work in progress, or says why this call may not."""
    request = partial / "checkpoints" / REQUEST
    begun = (partial / "checkpoints" / "last.npz").is_file()
    if begun and not overwrite and request.is_file():
        try:
            asked = parse_config(json.loads(request.read_text(encoding="utf-8")), source=str(request))
        except ValueError as error:
            raise ArtifactError(f"{request}: not readable as JSON ({error}): --overwrite starts anew") from error
        key = differing_key(asked, config)
        if key:
            raise ArtifactError(
                f"{partial}: was begun with another config: '{key}' differs; --overwrite starts anew, "
                "the same config resumes it"
            )
        log.info("resuming %s", partial)
        return
    shutil.rmtree(partial, ignore_errors=True)
    request.parent.mkdir(parents=True)
    write_text(request, json.dumps(config.model_dump(mode="json"), ensure_ascii=False))


# --- the model -----------------------------------------------------------------------------------------------------


def _fit(prepared: Prepared, strategy: Any, partial: Path) -> tuple[keras.Model, History]:
    """Trains the model in the precision that pays here; returns it plain, in float32, with its best weights."""
    import keras

    from textapp.layers import plain_weights
    from textapp.training.strategy import choose_precision
    from textapp.training.trainer import train_model

    config, training = prepared.config, prepared.config.training
    precision = choose_precision(training.precision, config.model.architecture, training.device)
    keras.utils.set_random_seed(config.seed)
    with strategy.scope():
        model = _build(prepared.build, precision)
    log.info("model: %s, %s", config.model.architecture, _sizes(model))
    batches, validation = prepared.batches(), prepared.validation(model)
    history = train_model(
        model,
        batches,
        config=training,
        loss=prepared.loss(),
        strategy=strategy,
        folder=partial,
        validate=validation,
        samples=getattr(validation, "samples", None),
    )
    trained_apart = any(getattr(config.model, name, None) for name in ("subwords", "lora_rank"))
    if precision == "float32" and not trained_apart:
        return model, history
    whole = _build(prepared.build_plain, "float32")
    whole.set_weights(plain_weights(model))
    return whole, history


def _sizes(model: keras.Model) -> str:
    """How many parameters a model has, and how many of them are trained where that is not all."""
    trained = sum(int(np.prod(variable.shape)) for variable in model.trainable_variables)
    total = model.count_params()
    return f"{total:,} parameters" + (f", of which {trained:,} are trained" if trained < total else "")


def _build(build: Callable[[], keras.Model], precision: str) -> keras.Model:
    import keras

    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision)
    try:
        return build()
    finally:
        keras.config.set_dtype_policy(before)


# --- the end -------------------------------------------------------------------------------------------------------


def _finish(
    prepared: Prepared, model: keras.Model, history: History, partial: Path, data_dir: Path, seconds: float
) -> None:
    """Measures the model on what it did not see, and writes the rest of the run folder."""
    from textapp.objectives.runner import MODEL

    splits = prepared.splits
    figures: dict[str, Any] = {}
    for name, records in (("validation", splits.validation), ("test", splits.test)):
        if records:
            figures[name] = {"data": splits.origin[name], **prepared.figures(model, records)}
            log.info("%s", summary(name, figures[name]))
    training = {"seconds": round(seconds, 1), "parameters": model.count_params(), "history": history.epochs}
    if history.average is not None:
        training["average"] = history.average
    metrics = tables.plain({**figures, "training": training})
    model.save(partial / MODEL)
    write_text(partial / METRICS, json.dumps(metrics, ensure_ascii=False, indent=2) + "\n")
    save_config(prepared.config, partial / CONFIG)
    shutil.rmtree(partial / CACHE, ignore_errors=True)
    tokenizer_files = [
        f"{folder}/{file.name}"
        for folder in (TOKENIZER, TARGET_TOKENIZER)
        if (partial / folder).is_dir()
        for file in sorted((partial / folder).iterdir())
    ]
    manifest = _manifest(prepared, model, data_dir)
    write_manifest(partial, manifest, [MODEL, METRICS, CONFIG, *tokenizer_files])


def _manifest(prepared: Prepared, model: keras.Model, data_dir: Path) -> dict[str, Any]:
    config, tokenizer = prepared.config, prepared.task.tokenizer
    return {
        "kind": "run",
        "task": config.task,
        "architecture": config.model.architecture,
        "parameters": model.count_params(),
        "languages": prepared.languages,
        **settle_columns(config.data.train, config, data_dir).to_manifest(),
        "lengths": prepared.task.lengths,
        "lengths_from": "config" if prepared.lengths_given else "data",
        **prepared.manifest(),
        "tokenizer": {name: getattr(tokenizer, name) for name in ("kind", "vocabulary_size", "pad_id", "unknown_id")},
        "parent": None,
        "data_dir": str(data_dir.resolve()),
        "seed": config.seed,
        "versions": {name: metadata.version(name) for name in PACKAGES if _installed(name)},
    }


def _installed(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True


def summary(name: str, figures: Mapping[str, Any]) -> str:
    """One line for a reader: `test: accuracy 91.20, macro F1 90.87 on 500 examples`."""
    shown = [f"{words} {figures[key]:.2f}" for key, words in SHOWN.items() if key in figures]
    return f"{name}: {', '.join(shown)} on {figures['examples']:,} examples ({figures['data']})"
