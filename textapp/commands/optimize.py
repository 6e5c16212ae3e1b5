"""`textapp optimize`: searches recipes of compression and number formats for the fastest file within a budget."""

from __future__ import annotations

import json
import logging
import math
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from textapp.artifact import open_artifact
from textapp.commands import tables
from textapp.commands.compress import config_of_run
from textapp.commands.optimize_runs import RECIPES
from textapp.commands.optimize_search import BEST, JOURNAL, Search
from textapp.commands.optimize_work import Failed, run_job
from textapp.compression.recipe import load_recipe
from textapp.compression.search_budget import Budget, parse_latency, parse_size
from textapp.compression.search_journal import is_journal
from textapp.errors import ArtifactError, ConfigError, ExportError, OptionError, TextappError, UsageError, require
from textapp.export.options import EDGE_TARGETS
from textapp.files import resolved, write_text
from textapp.folders import WorkFolder, mark
from textapp.locks import owner
from textapp.runners.interpreter import available

log = logging.getLogger("textapp")
RESULT = "result.json"  # in the folder of a search
SEARCH = "search"  # in its marker
SHOWN = 8  # names of candidates that were not started


def optimize(
    run: Path,
    target: str = "litert",
    max_drop: float = 0.5,
    max_size: str | None = None,
    max_latency: str | None = None,
    minutes: float = 60.0,
    keep: Path | None = None,
    recipes: Sequence[Path] = (),
    data_dir: Path | None = None,
    as_json: bool = False,
) -> Path:
    """Searches for the fastest file of a run that keeps a budget; goes on where an earlier call was stopped or killed.

    Args:
        run: the run folder.
        target: `litert` or `tflite-runtime`.
        max_drop: that a file may lose on validation: points of accuracy, F1 or BLEU, or percent of perplexity.
        max_size: of model and tokenizer, such as `5MB`.
        max_latency: of the median answer to one text, such as `3ms`.
        minutes: for the search, together with what earlier calls took for what they finished.
        keep: the folder of the search; None: the name of the run, and `-optimize`.
        recipes: of compression, in place of those that textapp makes for the run.
        data_dir: base folder of relative data paths.
        as_json: print JSON.

    Returns:
        The bundle.

    Raises:
        UsageError: an option has a fault, `keep` is no folder of a search, or Optuna is not installed.
        ConfigError: a recipe has a fault.
        ArtifactError: this is no run of this version, or the journal is damaged or of another search.
        DataError: the data cannot be read.
        ExportError: nothing keeps the budget, or there was no time for anything.
    """
    budget = Budget(
        max_drop, parse_size(max_size) if max_size else None, parse_latency(max_latency) if max_latency else None
    )
    if not minutes > 0:
        raise OptionError(f"minutes: found {minutes:g}, expected more than 0, such as 60", "minutes")
    _check_target(target)
    require("optuna", "optimize")
    artifact = open_artifact(run, "a run folder")
    if artifact.kind != "run":
        raise ArtifactError(f"{run}: found a bundle, expected a run folder: optimize the run that it came from")
    config = config_of_run(artifact)
    folder = keep or Path(f"{str(run).rstrip('/')}-optimize")
    _check_folder(folder, recipes)
    if recipes:
        _check_recipes(run, recipes)
    new = not resolved(folder).exists()
    with WorkFolder(resolved(folder), "search"):
        resolved(folder).mkdir(parents=True, exist_ok=True)
        mark(folder, SEARCH)
        try:
            search = Search(artifact, config, folder, target, budget, recipes, data_dir)
        except TextappError:
            if new:
                shutil.rmtree(resolved(folder))
            raise
        with tables.stdout_for_json(as_json):
            try:
                search.go(minutes)
                result = search.result()
            except KeyboardInterrupt:
                log.info("%s has what was measured: the same command goes on", folder)
                raise
        write_text(folder / RESULT, json.dumps(result, ensure_ascii=False, indent=2) + "\n")
    tables.emit(result, as_json, lambda console: _show(console, result))
    if result["best"] is None:
        raise ExportError(_nothing(result, budget))
    return folder / BEST


def _check_target(target: str) -> None:
    if target not in EDGE_TARGETS:
        raise UsageError(f"--target: found {target}, expected {' or '.join(EDGE_TARGETS)}: the others have one format")
    if target not in available():
        raise UsageError(f"--target {target}: its interpreter is not installed: pip install 'textapp[{target}]'")


def _check_folder(folder: Path, recipes: Sequence[Path]) -> None:
    """Checks that a folder holds a search, or nothing, and that no recipe that is read is in its way.

    Raises:
        UsageError: it does not, or a recipe is.
    """
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir()) and not _is_search(folder)):
        raise UsageError(f"--keep {folder}: exists and is no folder of a search: use one that is new or empty")
    for file in recipes:
        if resolved(folder) / RECIPES in resolved(file).parents:
            raise UsageError(f"--recipe {file}: is where the search writes its own recipes: copy it elsewhere")


def _check_recipes(run: Path, recipes: Sequence[Path]) -> None:
    """Checks that recipes can be read and fit the run, before anything is trained.

    Raises:
        ConfigError: one does not.
    """
    for file in recipes:
        load_recipe(file)
    with tempfile.TemporaryDirectory() as folder:
        try:
            job = {"do": "check", "run": str(run), "recipes": [str(file) for file in recipes]}
            run_job(job, Path(folder) / "log", math.inf)
        except Failed as error:
            if error.refused:  # else it is no fault of a recipe, and the search tells more
                raise ConfigError(str(error)) from error


def _is_search(folder: Path) -> bool:
    """Whether a folder has the mark of a search, or at least its journal."""
    return owner(folder).get("purpose") == SEARCH or is_journal(folder / JOURNAL)


# --- what is told ---------------------------------------------------------------------------------------------------


def _nothing(result: Mapping[str, Any], budget: Budget) -> str:
    near = next(each for each in result["candidates"] if each["name"] == result["nearest"])
    return (
        f"none of {len(result['candidates'])} candidates keeps the budget ({budget.words()}): the nearest is "
        f"{near['name']}, which {near['reason']}: allow more, or more --minutes"
    )


def _show(console: Any, result: Mapping[str, Any]) -> None:
    measure, title = result["measure"], result["title"]
    reference, tests = result["reference"], bool(result["reference"]["test"])

    def cells(name: str, row: Mapping[str, Any], validation: Mapping[str, Any], test: Mapping[str, Any] | None) -> list:
        found = [
            name, f"{row['latency_ms']['p50']:.3f}" if row else None, f"{row['speedup']:.2f}" if row else None,
            tables.size(row["size_bytes"]) if row else None, tables.size(row["gzip_bytes"]) if row else None,
            f"{validation[measure]:.2f}", f"{row['drop']:.2f}" if row else None,
        ]  # fmt: skip
        found += [f"{test[measure]:.2f}" if test else None] if tests else []
        best = bool(row) and row["name"] == result["best"]
        return found + [("best" if best else "front" if row.get("front") else "")]

    rows = [cells("the run in Keras", {}, reference["validation"], reference["test"])]
    rows += [cells(each["name"], each, each["validation"], each["test"]) for each in result["candidates"]]
    columns = ["candidate", "p50 ms", "times as fast", "size", "gzip", f"{title}, validation", "drop"]
    columns += ["test"] if tests else []
    console.print(tables.table(None, [*columns, ""], rows))
    for each in result["candidates"]:
        if each["reason"]:
            tables.line(console, f"{each['name']}: {each['reason']}")
        if each["epochs_share"] < 1:
            share = f"{each['epochs_share']:.0%}"
            tables.line(console, f"{each['name']}: trained for {share} of its epochs, as time was short")
    for name, words in result["failed"].items():
        tables.line(console, f"{name}: could not be made: {words}")
    if result["stopped"]:
        tables.line(console, f"{result['stopped']}: stopped, as the time was over; with more --minutes it goes on")
    if result["not_started"]:
        more = len(result["not_started"]) - SHOWN
        names = ", ".join(result["not_started"][:SHOWN]) + (f" and {more} more" if more > 0 else "")
        tables.line(console, f"not started, as they would pass the time; more --minutes try them: {names}")
    tables.line(
        console,
        f"times as fast as {result['reference_file']}, measured in turns with one thread; size of model and tokenizer, "
        "gzip of the model",
    )
    if result["path"]:
        tables.line(console, f"bundle: {result['path']} ({result['best']})")
