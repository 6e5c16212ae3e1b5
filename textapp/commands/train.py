"""`textapp train`: trains a config into a run folder; resumes an interrupted training."""

from __future__ import annotations

import json
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from textapp.artifact import check_target, partial_folder, swap, write_failure_reason, write_text
from textapp.catalog import load_config, parse_config, recipe_of
from textapp.config import Config, data_directory, differing_key
from textapp.errors import ArtifactError
from textapp.noise import import_tensorflow
from textapp.recipes.resolving import locate
from textapp.recipes.splits import load_splits, settled_layout
from textapp.recipes.training_run import finish, fit

log = logging.getLogger("textapp")
REQUEST = "request.json"  # in checkpoints/: the requested config, compared when a training is resumed


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
        overrides: `key=value` pairs that replace config keys.
        run: the run folder, instead of that of the config.
        data_dir: base folder of relative data paths.
        overwrite: replace a finished or interrupted run.

    Returns:
        The finished run folder.

    Raises:
        ArtifactError: the run is finished, or was started with another config.
    """
    config = load_config(config_path, [*overrides, *([f"run={json.dumps(run)}"] if run else [])])
    return train_config(config, data_directory(data_dir), overwrite)


def train_config(config: Config, data_dir: Path, overwrite: bool = False) -> Path:
    """Trains a config; see `train`.

    Args:
        config: of any task.
        data_dir: base folder of relative data paths.
        overwrite: replace a finished or interrupted run.

    Raises:
        ArtifactError: as for `train`.
    """
    final = Path(os.path.expanduser(config.run))
    if check_target(final, "run", f"checkpoints/{REQUEST}") and not overwrite:
        raise ArtifactError(
            f"{final}: this run is finished already: use --overwrite to replace it, or --run DIR for another one"
        )
    # Before the import of TensorFlow, which takes seconds, so that errors in the data are reported at once.
    recipe = recipe_of(config.task)
    splits = load_splits(recipe, config, data_dir)
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
        with _disk_errors_reported(partial):
            # Every worker makes the same tokenizer and ids from the same data; only those of the chief are saved.
            prepared = recipe.prepare(located, splits, partial if chief else Path(scratch))
            objective = recipe.objective()
            model, history = fit(prepared, objective, partial, strategy)
            if chief:
                layout, seconds = settled_layout(recipe, config, data_dir), time.perf_counter() - started
                finish(prepared, objective, model, history, partial, layout, data_dir, seconds)
    if chief:
        swap(partial, final)
        log.info("run: %s", final)
    return final


@contextmanager
def _disk_errors_reported(partial: Path) -> Iterator[None]:
    """Turns errors of a full disk into ArtifactErrors that tell what is unchanged."""
    try:
        yield
    except Exception as error:
        reason = write_failure_reason(error)
        if reason is None:
            raise
        raise ArtifactError(
            f"{partial}: could not be written: {reason}; an older finished run is unchanged: "
            "free some space and run the same command again"
        ) from error


def _open_partial(config: Config, final: Path, partial: Path, overwrite: bool) -> None:
    """Creates the folder of the training, or reopens that of an interrupted one with the same config."""
    request = partial / "checkpoints" / REQUEST
    started = (partial / "checkpoints" / "last.npz").is_file()
    if started and not overwrite and request.is_file():
        try:
            asked = parse_config(json.loads(request.read_text(encoding="utf-8")), source=str(request))
        except ValueError as error:
            raise ArtifactError(
                f"{request}: cannot be read as JSON ({error}): use --overwrite to start again"
            ) from error
        key = differing_key(asked, config)
        if key:
            raise ArtifactError(
                f"{partial}: was started with another config, '{key}' differs: use the same config to resume it, "
                "or --overwrite to start again"
            )
        log.info("resuming %s", partial)
        return
    shutil.rmtree(partial, ignore_errors=True)
    request.parent.mkdir(parents=True)
    write_text(request, json.dumps(config.model_dump(mode="json"), ensure_ascii=False))
