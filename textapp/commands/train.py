"""`textapp train`: trains a config into a run folder; resumes an interrupted training."""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from textapp.artifact import (
    MANIFEST,
    REQUEST,
    check_no_input,
    check_target,
    made_files,
    own_exports,
    sha256,
    sha256_of,
    stale_exports,
    tell_renamed,
    write_failure_reason,
)
from textapp.catalog import load_config, parse_config, recipe_of_config
from textapp.config import Config, data_directory, differing_key
from textapp.errors import ArtifactError, DataError, TextappError, UsageError
from textapp.files import resolved, write_text
from textapp.folders import WorkFolder, scratch_folder
from textapp.noise import import_tensorflow
from textapp.processes import slurm_tasks
from textapp.recipes.resolving import locate
from textapp.recipes.splits import data_files, load_splits, open_prepared, settled_layout
from textapp.recipes.training_run import finish, fit

if TYPE_CHECKING:
    import tensorflow as tf

log = logging.getLogger("textapp")
LAST, PREVIOUS = "checkpoints/last.npz", "checkpoints/previous.npz"


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
        overwrite: replace a finished or interrupted run; files in it that textapp did not make stay.

    Returns:
        The finished run folder.

    Raises:
        ArtifactError: the run is finished, was started with another config or other data, or is trained by another
            process.
        UsageError: the folder is no run, or its place cannot be written.
        DataError: the data cannot be read.
    """
    config = load_config(config_path, [*overrides, *([f"run={json.dumps(run)}"] if run else [])])
    return train_config(config, data_directory(data_dir), overwrite)


def train_config(config: Config, data_dir: Path, overwrite: bool = False) -> Path:
    """Trains a config; see `train`.

    Args:
        config: of any task.
        data_dir: base folder of relative data paths.
        overwrite: replace a finished or interrupted run; files in it that textapp did not make stay.

    Raises:
        ArtifactError: as for `train`.
        UsageError: as for `train`.
        DataError: as for `train`.
    """
    final = Path(os.path.expanduser(config.run))
    place = resolved(final)
    replaces = replaces_run(final, overwrite)
    work = WorkFolder(place, "training", keeps=LAST, overwrite=overwrite)
    with ExitStack() as stack:
        alone = "TF_CONFIG" not in os.environ and slurm_tasks() == 1  # else another worker may be the one that writes
        if alone:
            enter(stack, work, overwrite)
        # Before the import of TensorFlow, which takes seconds, so that errors in the data are reported at once.
        recipe = recipe_of_config(config, data_dir)
        prepared_data = open_prepared(config, data_dir)
        sums = checksums(config, data_dir)
        if prepared_data is not None:
            sums[str(prepared_data.folder / MANIFEST)] = sha256(prepared_data.folder / MANIFEST)
        check_no_input(place, map(Path, sums))
        layout = settled_layout(recipe, config, data_dir, prepared_data)
        splits = load_splits(recipe, config, data_dir, layout, prepared_data)
        located = locate(config, data_dir)
        import_tensorflow()
        from textapp.training.strategy import gone_workers_reported, is_chief, make_strategy

        strategy = make_strategy(config.training.device, config.training.xla)
        stack.enter_context(gone_workers_reported(strategy))
        if strategy.num_replicas_in_sync > 1 or config.training.device in ("mirrored", "multi_worker", "tpu"):
            log.info("replicas: %d", strategy.num_replicas_in_sync)
        started = time.perf_counter()
        chief = is_chief(strategy)
        if chief and not alone:
            enter(stack, work, overwrite)
        # Every worker makes the same tokenizer and ids from the same data; only those of the chief are saved.
        folder = work.new if chief else stack.enter_context(scratch_folder("worker"))
        with disk_errors_reported(work):
            if chief:
                _open_work(config, sums, work, overwrite)
            _check_workers(strategy, config, sums)
            prepared = recipe.prepare(located, splits, folder)
            objective = recipe.objective()
            model, history = fit(prepared, objective, work.new, strategy)
            if chief:
                seconds = time.perf_counter() - started
                finish(prepared, objective, model, history, work.new, layout, data_dir, seconds)
        if chief:
            put_in_place(work, final, replaces)
    return final


def _check_workers(strategy: tf.distribute.Strategy, config: Config, sums: Mapping[str, str]) -> None:
    """Checks that all workers train one model on the same data: else they would, each in part, without a word.

    Raises:
        UsageError: they do not.
    """
    from textapp.training.strategy import bfloat16_hardware, num_workers, of_all_replicas

    if num_workers(strategy) == 1:
        return
    own = config.model_dump(mode="json", exclude={"run"})
    for name in ("train", "validation", "test", "prepared"):
        if not isinstance(own["data"][name], float):  # a file, which may have another path on each machine
            del own["data"][name]
    for what, value in (("configs", own), ("data", list(sums.values()))):
        if len(set(of_all_replicas(strategy, int(sha256_of(value)[:7], 16)))) > 1:
            raise UsageError(
                f"training: the workers have different {what}, expected the same: start all of them with one command, "
                "--set included, and the same files"
            )
    if config.training.precision == "auto" and config.model.attention:
        found = of_all_replicas(strategy, int(bfloat16_hardware(config.training.device) is not None))
        if len(set(found)) > 1:
            raise UsageError(
                "training.precision: auto, but only some of the workers compute in bfloat16: set it to float32, or to "
                "mixed_bfloat16, which the others compute more slowly"
            )


def replaces_run(final: Path, overwrite: bool) -> bool:
    """Whether a run will be replaced by the new one.

    Args:
        final: the place of the new run.
        overwrite: whether it may be.

    Raises:
        ArtifactError: it may not.
        UsageError: as for `check_target`.
    """
    replaces = check_target(final, "run", REQUEST)
    if replaces and not overwrite:
        raise ArtifactError(
            f"{final}: this run is finished already: use --overwrite to replace it, or --run DIR for another one"
        )
    return replaces


def enter(stack: ExitStack, work: WorkFolder, overwrite: bool) -> None:
    """Takes the work folder for this process, and ends what one that was killed began.

    Args:
        stack: leaves the folder at its end.
        work: the folder.
        overwrite: whether a run that another process finished meanwhile may be replaced.

    Raises:
        ArtifactError: another process works there, or has just finished the run.
    """
    stack.enter_context(work)
    tell_renamed(work.settle(made_files))
    if not overwrite and _is_run(work.final):
        raise ArtifactError(f"{work.final}: another process has just finished this run: use --overwrite to replace it")


def _is_run(final: Path) -> bool:
    return (final / MANIFEST).is_file()


def put_in_place(work: WorkFolder, final: Path, replaces: bool) -> None:
    """Puts the finished run in its place, where files of the user stay, and the exports of the old model go.

    Args:
        work: the folder in which it was made.
        final: its place, as messages show it.
        replaces: whether a run is there that may be replaced.

    Raises:
        ArtifactError: a run was put there meanwhile.
    """
    if not replaces and _is_run(work.final):
        raise ArtifactError(
            f"{final}: a run was put there during the training: the new one is {work.new}: move one of them elsewhere"
        )
    gone = own_exports(work.final)
    tell_renamed(work.swap(made_files))
    for name in sorted(bundle.name for bundle in gone):
        log.warning("%s: removed, as it held the model that was replaced: export again", final / "exports" / name)
    for bundle in stale_exports(work.final):
        log.warning("%s: holds another model than this run; it is not shown with it", final / "exports" / bundle.name)
    log.info("run: %s", final)


@contextmanager
def disk_errors_reported(work: WorkFolder) -> Iterator[None]:
    """Turns errors of a full disk, or of a folder that was deleted, into ArtifactErrors that tell what is unchanged.

    Raises:
        ArtifactError: such an error.
    """
    try:
        yield
    except TextappError:
        raise
    except Exception as error:
        reason = write_failure_reason(error)
        if reason is None:
            raise
        if not work.new.is_dir():
            raise ArtifactError(
                f"{work.path}: was deleted during the training, which has ended; an older finished run is unchanged: "
                "run the same command again, and leave this folder alone"
            ) from error
        raise ArtifactError(
            f"{work.path}: could not be written: {reason}; an older finished run is unchanged: "
            "free some space and run the same command again"
        ) from error


def checksums(config: Config, data_dir: Path) -> dict[str, str]:
    """The SHA-256 of each file of the data, by its path.

    Raises:
        DataError: a file cannot be read.
    """
    try:
        return {str(file): sha256(file) for file in data_files(config, data_dir) if file.is_file()}
    except OSError as error:
        raise DataError(f"{error.filename}: cannot be read ({error.strerror})") from error


def _open_work(config: Config, sums: Mapping[str, str], work: WorkFolder, overwrite: bool) -> None:
    """Clears the folder of the training, or goes on in that of an interrupted one with the same config and data."""
    request = work.new / REQUEST
    if not overwrite and (work.new / PREVIOUS).is_file() and not (work.new / LAST).exists():
        log.warning("%s: missing: going on from %s, the checkpoint before it", work.new / LAST, work.new / PREVIOUS)
        os.replace(work.new / PREVIOUS, work.new / LAST)
    if (work.new / LAST).is_file() and not overwrite:
        config_before, sums_before = _read_request(request)
        if key := differing_key(config_before, config):
            raise ArtifactError(
                f"{work.path}: was started with another config, '{key}' differs: use the same config to resume it, "
                "or --overwrite to start again"
            )
        if found := changed(sums_before, sums):
            raise ArtifactError(
                f"{found}, so the training in {work.path} cannot be resumed: use the data it was started with, or "
                "--overwrite to start again"
            )
        log.info("resuming %s", work.path)
        return
    work.clear()
    request.parent.mkdir()
    content = {"config": config.model_dump(mode="json"), "data": sums}
    write_text(request, json.dumps(content, ensure_ascii=False))


def _read_request(request: Path) -> tuple[Config, dict[str, str]]:
    """The config and the checksums that an interrupted training was started with."""
    try:
        content = json.loads(request.read_text(encoding="utf-8"))
        return parse_config(content["config"], source=str(request)), dict(content["data"])
    except (OSError, ValueError, KeyError, TypeError, TextappError) as error:
        raise ArtifactError(
            f"{request}: missing or damaged ({error}), so it is not known how this training was started: use "
            "--overwrite to start again"
        ) from error


def changed(before: Mapping[str, str], now: Mapping[str, str]) -> str | None:
    """The first file of the data that is not as it was, in words; None for none. The folder of the data may differ."""
    if list(before.values()) == list(now.values()):
        return None
    same_files = [Path(file).name for file in before] == [Path(file).name for file in now]
    if same_files:
        before = dict(zip(now, before.values(), strict=True))
    for file, sum in now.items():
        if before.get(file, sum) != sum:
            return f"{file}: changed since the training was started (its sha256 differs)"
    for file, sum in now.items():
        if sum not in before.values():
            return f"{file}: not among the data that the training was started with"
    gone = [file for file, sum in before.items() if sum not in now.values()] or list(before)
    return f"{gone[0]}: no longer among the data, or in another order, since the training was started"
