"""A training, from prepared data to the files of a finished run."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from textapp.arrays import plain
from textapp.artifact import TARGET_TOKENIZER, TOKENIZER, write_manifest
from textapp.config import save_config
from textapp.errors import ArtifactError, plural
from textapp.files import write_text
from textapp.prepared import Prepared
from textapp.records.layout import Layout
from textapp.records.token_ids import CACHE
from textapp.text.tokenizer import load_tokenizers

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

    from textapp.objectives.objective import Objective
    from textapp.training.loop import Hooks
    from textapp.training.trainer import History

log = logging.getLogger("textapp")
CONFIG, METRICS = "config.yaml", "metrics.json"
PACKAGES = ("textapp", "tensorflow", "keras", "keras-hub", "numpy", "sentencepiece", "tokenizers")


def fit(
    prepared: Prepared,
    objective: Objective,
    folder: Path,
    strategy: tf.distribute.Strategy,
    make_hooks: Callable[[keras.Model], Hooks] | None = None,
    weights: Sequence[np.ndarray] | None = None,
) -> tuple[keras.Model, History]:
    """Trains the model; for `training.epochs` 0 it is the preset as it is.

    Args:
        prepared: the data, the config and the task.
        objective: of the same task.
        folder: for checkpoints and logs; an interrupted training in it is resumed.
        strategy: distribution strategy.
        make_hooks: takes the model that is trained, and returns the hooks of the training loop.
        weights: of the inference form of a finished model, which is then trained in this form; None: a new model, in
            its training form.

    Returns:
        The model in its inference form, in float32, with its best weights; and the history of the epochs.

    Raises:
        Interrupted: by Ctrl-C or SIGTERM, after a checkpoint.
        ArtifactError: the weights are of another model than the config describes.
    """
    import keras

    from textapp.layers import inference_weights
    from textapp.training.loop import Hooks
    from textapp.training.strategy import choose_precision
    from textapp.training.trainer import History, train_model

    config, training = prepared.config, prepared.config.training
    if training.epochs == 0:
        model = build_under(lambda: objective.build_inference(prepared), "float32")
        log.info("model: %s as it is, %s", config.model.architecture, _sizes(model))
        return model, History(training.monitor or "loss")
    precision = choose_precision(training.precision, config.model, training.device)
    keras.utils.set_random_seed(config.seed)
    with strategy.scope():
        model = build_under(lambda: begun(prepared, objective, weights), precision)
        hooks = make_hooks(model) if make_hooks else Hooks()
    log.info("model: %s, %s", config.model.architecture, _sizes(model))
    batches, validation = objective.batches(prepared), objective.validation(prepared, model)
    history = train_model(
        model,
        batches,
        config=training,
        loss=objective.loss(prepared),
        strategy=strategy,
        folder=folder,
        validate=validation,
        samples=getattr(validation, "samples", None),
        hooks=hooks,
    )
    if precision == "float32" and (weights is not None or not config.model.training_form):
        return model, history
    inference = build_under(lambda: objective.build_inference(prepared), "float32")
    inference.set_weights(inference_weights(model))
    return inference, history


def begun(prepared: Prepared, objective: Objective, weights: Sequence[np.ndarray] | None) -> keras.Model:
    """A new model in its training form, or one of the inference form with these weights.

    Args:
        prepared, objective, weights: as for `fit`.

    Raises:
        ArtifactError: the weights are of another model than the config describes.
    """
    if weights is None:
        return objective.build(prepared)
    model = objective.build_inference(prepared)
    found, expected = [each.shape for each in weights], [tuple(each.shape) for each in model.weights]
    if found != expected:
        pairs = zip_longest(found, expected, fillvalue="none")
        one, other = next(pair for pair in pairs if pair[0] != pair[1])
        raise ArtifactError(
            f"model.keras: found a weight of the shape {one}, expected {other}, as its config gives in this version of "
            "textapp: train it again"
        )
    model.set_weights(weights)
    return model


def finish(
    prepared: Prepared,
    objective: Objective,
    model: keras.Model,
    history: History,
    folder: Path,
    layout: Layout,
    data_dir: Path,
    seconds: float,
    parent: Mapping[str, Any] | None = None,
    compression: Mapping[str, Any] | None = None,
    saved: Path | None = None,
) -> None:
    """Measures the model on validation and test, and writes the rest of the run folder.

    Args:
        prepared, objective: as for `fit`.
        model, history: as `fit` returned them.
        folder: of the run, with its tokenizers.
        layout: of the data files.
        data_dir: base folder of relative data paths.
        seconds: duration of the training.
        parent: the run that the training began with, for the manifest.
        compression: what a compression did, for metrics.json.
        saved: a file of this model, which the run gets as it is, so that its sizes are those that were measured; None:
            the model is saved.

    Raises:
        ArtifactError: the folder was changed during the training, so that a file of the run is missing.
    """
    from textapp.models.saving import MODEL

    _check_tokenizers(prepared, folder)  # before minutes of measuring
    prepared = objective.settled(prepared, model)
    splits = prepared.splits
    figures: dict[str, Any] = {}
    for name, records in (("validation", splits.validation), ("test", splits.test)):
        if records:
            figures[name] = {"data": splits.origin[name], **objective.figures(prepared, model, records)}
            log.info("%s", summary(name, figures[name], prepared.task.measures))
    training = {
        "seconds": round(seconds, 1), "examples": splits.train_size, "parameters": model.count_params(),
        "history": history.epochs,
    }  # fmt: skip
    if history.average is not None:
        training["average"] = history.average
    if saved is None:
        model.save(folder / MODEL)
    else:
        shutil.copyfile(saved, folder / MODEL)
    metrics = plain({**figures, "training": training, **({"compression": compression} if compression else {})})
    write_text(folder / METRICS, json.dumps(metrics, ensure_ascii=False, indent=2) + "\n")
    save_config(prepared.config, folder / CONFIG)
    shutil.rmtree(folder / CACHE, ignore_errors=True)
    _check_tokenizers(prepared, folder)
    tokenizer_files = [
        f"{tokenizer}/{file.name}"
        for tokenizer in (TOKENIZER, TARGET_TOKENIZER)
        if (folder / tokenizer).is_dir()
        for file in sorted((folder / tokenizer).iterdir())
    ]
    manifest = {**_manifest(prepared, objective, model, layout, data_dir), "parent": parent}
    write_manifest(folder, manifest, [MODEL, METRICS, CONFIG, *tokenizer_files])


def _check_tokenizers(prepared: Prepared, folder: Path) -> None:
    """Checks that the tokenizers of the training are in its folder, as `prepare` wrote them."""
    ours = prepared.task.tokenizer, getattr(prepared.task, "target_tokenizer", prepared.task.tokenizer)
    try:
        saved = load_tokenizers(folder)
    except (ArtifactError, OSError) as error:
        raise ArtifactError(f"{folder}: was changed during the training, which is not finished: {error}") from error
    for found, expected, name in zip(saved, ours, (TOKENIZER, TARGET_TOKENIZER), strict=True):
        if (found.kind, found.vocabulary_size) != (expected.kind, expected.vocabulary_size):
            raise ArtifactError(
                f"{folder / name}: was changed during the training, which is not finished: found {found.kind} of "
                f"{found.vocabulary_size} tokens, expected {expected.kind} of {expected.vocabulary_size}: run the "
                "command with --overwrite to train anew"
            )


def summary(name: str, figures: Mapping[str, Any], measures: Mapping[str, str]) -> str:
    """A line of the log: `test: accuracy 91.20, macro F1 90.87 on 500 examples (test.tsv)`.

    Args:
        name: of the split.
        figures: of the split.
        measures: name -> title of the figures to show.
    """
    shown = [f"{words} {figures[key]:.2f}" for key, words in measures.items() if key in figures]
    return f"{name}: {', '.join(shown)} on {plural(figures['examples'], 'example')} ({figures['data']})"


def _manifest(
    prepared: Prepared, objective: Objective, model: keras.Model, layout: Layout, data_dir: Path
) -> dict[str, Any]:
    config, tokenizer = prepared.config, prepared.task.tokenizer
    return {
        "kind": "run",
        "task": config.task,
        **({} if config.mode is None else {"mode": config.mode}),
        **({} if config.model.role is None else {"role": config.model.role}),
        "architecture": config.model.architecture,
        "parameters": model.count_params(),
        "languages": prepared.languages,
        **layout.to_manifest(),
        "lengths": prepared.task.lengths,
        "lengths_from": "config" if prepared.lengths_given else "data",
        **objective.manifest(prepared),
        "tokenizer": {name: getattr(tokenizer, name) for name in ("kind", "vocabulary_size", "pad_id", "unknown_id")},
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


def _sizes(model: keras.Model) -> str:
    """The number of parameters of a model, and of those that are trained if these are fewer."""
    trained = sum(int(np.prod(variable.shape)) for variable in model.trainable_variables)
    total = model.count_params()
    return f"{total:,} parameters" + (f", of which {trained:,} are trained" if trained < total else "")


def build_under(build: Callable[[], keras.Model], precision: str) -> keras.Model:
    """Builds a model under a dtype policy of Keras, by its name."""
    import keras

    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision)
    try:
        return build()
    finally:
        keras.config.set_dtype_policy(before)
