"""`textapp optimize`: searches recipes of compression and number formats for the fastest file within a budget."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import yaml

import textapp
from textapp.arrays import spread
from textapp.artifact import MANIFEST, Artifact, check_target, open_artifact, replaced_folder
from textapp.catalog import recipe_of_manifest
from textapp.commands import tables
from textapp.commands.benchmark import model_size
from textapp.commands.compress import config_of_run
from textapp.commands.examples import own_splits
from textapp.commands.optimize_work import Clock, Failed, OutOfTime, finished, quality, run_job, timed_in_turns
from textapp.compression.recipe import as_data, load_recipe, parse_recipe
from textapp.compression.search_budget import (
    Budget,
    Measured,
    drop,
    fastest,
    front,
    in_megabytes,
    limited,
    parse_latency,
    parse_size,
    reason,
)
from textapp.compression.search_journal import LENGTH, REASON, RECIPE, REFUSED, ROW, SECONDS, Journal, Trial
from textapp.compression.search_space import (
    ALONE,
    FORMATS,
    Candidate,
    Pace,
    epochs_of,
    known_good,
    own_recipes,
    shortened,
)
from textapp.compression.trainings import EPOCHS, MODEL
from textapp.config import Config, data_directory
from textapp.errors import ArtifactError, ExportError, OptionError, UsageError, require
from textapp.export.options import EDGE_TARGETS
from textapp.folders import WorkFolder, resolved, write_text
from textapp.metrics.generation import FALLING
from textapp.metrics.machine import machine
from textapp.metrics.size import gzip_bytes
from textapp.recipes.training_run import METRICS
from textapp.report.kept import keep as keep_figures
from textapp.runners.interpreter import available
from textapp.tasks.task import Record

log = logging.getLogger("textapp")
JOURNAL, RESULT, BEST, RUNS = "journal.log", "result.json", "best", "runs"  # in the folder of a search
MAX_RECORDS = 2000  # of validation; the same for all candidates
ROUNDS = 3  # of the last measurement
FINALISTS = 8  # that are measured once more, all in turns, and on test
FIRST_EXPORT = 30.0  # seconds that an export and its measurement are expected to take, before one was made
MEASURE = 10.0  # seconds of a measurement, before one was made
SHOWN = 8  # names of candidates that were not started
RESERVE = 0.2  # share of the time that is kept for the last measurement, at most
REFERENCE, ANCHOR, TEST = "quality of the run", "reference file", "test of "  # what a journal remembers


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
    artifact = open_artifact(run)
    if artifact.kind != "run":
        raise ArtifactError(f"{run}: found a bundle, expected a run folder: optimize the run that it came from")
    config = config_of_run(artifact)
    folder = keep or Path(f"{str(run).rstrip('/')}-optimize")
    _check_folder(folder)
    with WorkFolder(resolved(folder), "search"):
        search = _Search(artifact, config, folder, target, budget, recipes, data_dir)
        with tables.stdout_for_json(as_json):
            search.go(minutes)
            result = search.result()
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


def _check_folder(folder: Path) -> None:
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir()) and not _is_search(folder)):
        raise UsageError(f"--keep {folder}: exists and is no folder of a search: use one that is new or empty")


def _is_search(folder: Path) -> bool:
    return (folder / JOURNAL).is_file() or (folder / RUNS).is_dir()


class _Search:
    """A search in its folder: `journal.log`, `runs/`, `recipes/`, `logs/`, `best/`, `result.json`."""

    def __init__(
        self, artifact: Artifact, config: Config, folder: Path, target: str, budget: Budget, files: Sequence[Path],
        data_dir: Path | None,
    ) -> None:  # fmt: skip
        self.folder, self.target, self.budget = folder, target, budget
        self.data_dir = data_directory(data_dir, artifact.manifest.get("data_dir")).resolve()
        self.model = artifact.manifest["files"][MODEL]
        task = recipe_of_manifest(artifact.manifest)
        splits = own_splits(artifact, data_dir)
        if not splits.validation:
            raise UsageError(f"{artifact.path}: has no validation split, on which candidates are compared: give it one")
        self.validation: list[Record] = spread(splits.validation, MAX_RECORDS)
        self.test: list[Record] = list(splits.test)
        self.origins = splits.origin
        self.measures = task.task.measures
        epochs, epoch_seconds = _trained(artifact)
        preset = config.tokenizer is not None and config.tokenizer.kind == "preset"
        own = own_recipes(config.model.model_dump(mode="json"), task.keys.role, epochs, preset)
        self.recipes = _given(files, epochs) if files else own
        self.base = self._copied(artifact)
        about = {
            "run": f"{artifact.path.resolve().name} ({self.model[:12]})", "target": target,
            "textapp": textapp.__version__, "machine": _machine(),
            "validation": f"{len(self.validation)} examples ({_digest(self.validation)})",
            **{f"{RECIPE}{name}": _digest(recipe) for name, recipe in self.recipes.items()},
        }  # fmt: skip
        self.journal = Journal(folder / JOURNAL, about, budget, [ALONE, *self.recipes], FORMATS)
        self.epoch_seconds = epoch_seconds
        self.not_started: list[str] = []
        self.stopped: str | None = None
        self.measuring = MEASURE

    # --- the search --------------------------------------------------------------------------------------------------

    def go(self, minutes: float) -> None:
        """Tries candidates until the time or the space is over."""
        done = self.journal.done()
        self.clock = Clock(60 * minutes, sum(each[SECONDS] for each in done.values()))
        self.reserve = RESERVE * 60 * minutes
        if done:
            log.info("%d candidates are measured already; %.0f s are left", len(done), max(0.0, self.clock.left))
        self.reference = self._remembered(REFERENCE, self.base, self.validation)
        self.measure = limited(self.reference)
        first = known_good(self.recipes)
        for trial in self.journal.candidates(first):
            if self._left() < 0:
                trial.skip()
                self.not_started = [each.name for each in first if each.name not in self.journal.done()]
                break
            length = self._length(trial)
            if length is None:
                trial.skip()
            elif not self._try(trial, length):
                break

    def _left(self) -> float:
        """The seconds that a training may take: what is left but for its export, and for the last measurement."""
        exports = [
            each[SECONDS] - each.get("trained_seconds", 0.0) for each in self.journal.done().values() if ROW in each
        ]
        return self._work_left() - (median(exports) if exports else FIRST_EXPORT)

    def _work_left(self) -> float:
        """The seconds that are left but for the last measurement."""
        return self.clock.left - min(self.reserve, 3 * self.measuring)

    def _length(self, trial: Trial) -> float | None:
        """The share of the epochs that a candidate is begun with; None if it is not to be begun."""
        candidate, done = trial.candidate, self.journal.done()
        refused = [each[REFUSED] for name, each in done.items() if each.get(REFUSED)]
        if candidate.quantize in refused or candidate.recipe in refused:
            return None
        if candidate.alone:
            return 1.0
        known = self._trained_length(candidate) or trial.length
        length = known or self._pace().longest(self.recipes[candidate.recipe], self._left())
        if length is None:
            self.not_started.append(candidate.name)
        return length

    def _trained_length(self, candidate: Candidate) -> float | None:
        """The share of the epochs that the run of a recipe was trained with, if it is there."""
        lengths = [
            each[LENGTH] for name, each in self.journal.done().items()
            if name.startswith(f"{candidate.recipe} + ") and LENGTH in each
        ]  # fmt: skip
        return next((each for each in lengths if finished(self._run(candidate, each), self.model)), None)

    def _pace(self) -> Pace:
        ratios = [
            each["trained_seconds"] / each["expected_seconds"]
            for each in self.journal.done().values() if each.get("expected_seconds")
        ]  # fmt: skip
        return Pace(self.epoch_seconds, median(ratios) if ratios else 1.0)

    def _try(self, trial: Trial, length: float) -> bool:
        """Makes and measures a candidate; False if the time is over."""
        candidate, began = trial.candidate, time.monotonic()
        trial.begin(length)
        try:
            made = self._made(candidate, length)
            row, more = self._measured(candidate, made)
        except OutOfTime:
            self.stopped = candidate.name
            trial.stopped()
            log.info("%s: stopped, as the time was over", candidate.name)
            return False
        except (Failed, ArtifactError) as error:
            trial.failed(str(error), time.monotonic() - began, _never(candidate, error))
            log.info("%s: failed: %s", candidate.name, error)
            return True
        trial.measured(row, time.monotonic() - began, {**made, **more})
        log.info(
            "%s: %.2f times as fast, %s, %s %.2f (%+.2f)", candidate.name, 1 / row.time, in_megabytes(row.size_bytes),
            self.measures.get(self.measure, self.measure), more["figures"][self.measure], 0.0 - row.drop,
        )  # fmt: skip
        return True

    # --- making ------------------------------------------------------------------------------------------------------

    def _copied(self, artifact: Artifact) -> Artifact:
        """The run, copied into the folder of the search: a run that is replaced meanwhile changes nothing here."""
        place = self.folder / RUNS / artifact.path.resolve().name
        with suppress(ArtifactError, OSError):
            if (place / MANIFEST).read_bytes() == (artifact.path / MANIFEST).read_bytes():
                return open_artifact(place)
        if place.exists():
            raise ArtifactError(
                f"{place}: found another run than {artifact.path}, so this is the folder of another search: use "
                "another --keep DIR"
            )
        with replaced_folder(place, "search") as new:
            for name in [*artifact.manifest["files"], MANIFEST]:
                (new / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(artifact.path / name, new / name)
        return open_artifact(place)

    def _run(self, candidate: Candidate, length: float) -> Path:
        """The folder of the run of a candidate."""
        if candidate.alone:
            return self.base.path
        short = "" if length == 1 else f"-{100 * length:.0f}percent"
        return self.base.path.with_name(f"{self.base.path.name}-{candidate.recipe}{short}")

    def _made(self, candidate: Candidate, length: float) -> dict[str, Any]:
        """Trains and exports a candidate, as far as that is not done; returns where it is and how long it took."""
        run, made = self._run(candidate, length), {}
        if not candidate.alone:
            made = self._trained(candidate, length, run)
        bundle = run / "exports" / f"{self.target}-{candidate.quantize}"
        parent = open_artifact(run).manifest["files"][MODEL]
        if not finished(bundle, parent):
            log.info("%s: exporting", candidate.name)
            self._job(candidate, {
                "do": "export", "run": str(run), "target": self.target, "quantize": candidate.quantize,
                "output": str(bundle),
            })  # fmt: skip
        return {"path": bundle.relative_to(self.folder).as_posix(), **made}

    def _trained(self, candidate: Candidate, length: float, run: Path) -> dict[str, Any]:
        recipe = shortened(self.recipes[candidate.recipe], length)
        if finished(run, self.model) and _recipe_of(run) == as_data(parse_recipe(recipe)):
            return {}
        file = self.folder / "recipes" / f"{run.name.removeprefix(self.base.path.name + '-')}.yaml"
        write_text(file, yaml.safe_dump(recipe, sort_keys=False))
        expected, began = self._pace().seconds(recipe), time.monotonic()
        log.info("%s: training, %d epochs, about %.0f s", candidate.name, epochs_of(recipe), expected)
        self._job(candidate, {
            "do": "compress", "run": str(self.base.path), "recipe": str(file), "new_run": str(run)
        })  # fmt: skip
        unscaled = Pace(self.epoch_seconds).seconds(recipe)
        return {"trained_seconds": round(time.monotonic() - began, 1), "expected_seconds": round(unscaled, 1)}

    def _job(self, candidate: Candidate, job: Mapping[str, Any]) -> None:
        log_file = self.folder / "logs" / f"{candidate.name.replace(' + ', '-')}.log"
        run_job({**job, "data_dir": str(self.data_dir)}, log_file, self._work_left())

    # --- measuring ---------------------------------------------------------------------------------------------------

    def _measured(self, candidate: Candidate, made: Mapping[str, Any]) -> tuple[Measured, dict[str, Any]]:
        """The figures of a candidate, timed in turns with the reference file and the fastest so far."""
        began = time.monotonic()
        bundle = open_artifact(self.folder / made["path"])
        rows = self._rows()
        best = fastest([row for row, _ in rows.values()], self.budget)
        anchor = self.journal.remembered(ANCHOR)
        names = list(dict.fromkeys(name for name in (anchor, best.name if best else None) if name in rows))
        others = [open_artifact(self.folder / rows[name][1]["path"]) for name in names]
        times = timed_in_turns([bundle, *others], self.validation)
        p50 = dict(zip([candidate.name, *names], (each["p50"] for each in times), strict=True))
        figures = quality(bundle, self.validation)
        if anchor not in rows:
            self.journal.remember(ANCHOR, candidate.name)
            anchor = candidate.name
        lost = drop(self.measure, self.reference[self.measure], figures[self.measure])
        row = Measured(
            candidate.name, p50[candidate.name] / p50[anchor], p50[candidate.name], model_size(bundle.path),
            round(lost, 4),
        )  # fmt: skip
        self.measuring = max(self.measuring, time.monotonic() - began)
        return row, {
            "figures": figures, "latency_ms": times[0], "gzip_bytes": gzip_bytes(bundle.path / "model.tflite"),
            "in_turns_with": {name: p50[name] for name in names},
        }  # fmt: skip

    def _rows(self) -> dict[str, tuple[Measured, dict[str, Any]]]:
        """Name -> figures of each candidate that was measured, and what else is known of it."""
        return {name: (Measured(**each[ROW]), each) for name, each in self.journal.done().items() if ROW in each}

    def _remembered(self, name: str, artifact: Artifact, records: Sequence[Record]) -> dict[str, Any]:
        """The quality of a run or a bundle, measured once in a search."""
        found = self.journal.remembered(name)
        if found is None:
            log.info("measuring %s", name)
            found = quality(artifact, records)
            self.journal.remember(name, found)
        return found

    # --- the end -----------------------------------------------------------------------------------------------------

    def result(self) -> dict[str, Any]:
        """Measures the finalists in turns and on test, and puts the best in its place.

        Raises:
            ExportError: there is none.
        """
        known = self._rows()
        failed = {name: each[REASON] for name, each in self.journal.done().items() if REASON in each}
        if not known:
            raise ExportError(_no_candidate(failed, self.not_started))
        rows, latencies = self._in_turns({name: row for name, (row, _) in known.items()})
        best, on_front = fastest(list(rows.values()), self.budget), [row.name for row in front(list(rows.values()))]
        told = [*on_front, *([best.name] if best else [])]
        tested = self._tested({name: each for name, each in latencies.items() if name in told}, known)
        self._put(best, known)
        unit = self._unit()
        candidates = [
            {
                "name": name, "speedup": round(1 / row.time, 3), "latency_ms": latencies.get(name, more["latency_ms"]),
                "size_bytes": row.size_bytes, "gzip_bytes": more["gzip_bytes"], "drop": row.drop,
                "validation": more["figures"], "test": tested.get(name), "epochs_share": more[LENGTH],
                "seconds": more[SECONDS], "path": more["path"], "front": name in on_front,
                "keeps_budget": self.budget.keeps(row),
                "reason": reason(row, list(rows.values()), best, self.budget, unit),
            }
            for name, (row, more) in sorted(
                ((name, (rows[name], more)) for name, (_, more) in known.items()), key=lambda item: item[1][0].time
            )
        ]  # fmt: skip
        return {
            "run": str(self.base.path), "target": self.target, "machine": machine(), "budget": vars(self.budget),
            "measure": self.measure, "title": self.measures.get(self.measure, self.measure), "unit": unit,
            "data": {name: self.origins.get(name) for name in ("validation", "test") if self.origins.get(name)},
            "reference": {"validation": self.reference, "test": tested.get(REFERENCE)},
            "reference_file": self.journal.remembered(ANCHOR),
            "best": best.name if best else None, "path": str(self.folder / BEST) if best else None,
            "nearest": self.budget.nearest(list(rows.values())).name, "front": on_front, "candidates": candidates,
            "failed": failed, "stopped": self.stopped, "not_started": self.not_started,
            "seconds": round(sum(each[SECONDS] for each in self.journal.done().values()), 1),
        }  # fmt: skip

    def _in_turns(self, rows: dict[str, Measured]) -> tuple[dict[str, Measured], dict[str, dict[str, float]]]:
        """The figures with new times of the finalists, all measured in turns, and the latencies of these."""
        anchor = self.journal.remembered(ANCHOR)
        paths = {name: each["path"] for name, (_, each) in self._rows().items()}
        names: list[str] = []
        latencies: dict[str, dict[str, float]] = {}
        for _ in range(ROUNDS):  # new times may bring others to the front
            best = fastest(list(rows.values()), self.budget)
            chosen = sorted(front(list(rows.values())), key=lambda row: (not self.budget.keeps(row), row.time))
            chosen = [best, *chosen] if best else chosen
            more = list(dict.fromkeys([*names, anchor, *(row.name for row in chosen)]))[: FINALISTS + 1]
            if more == names:
                break
            names = more
            log.info("measuring %d finalists in turns", len(names))
            bundles = [open_artifact(self.folder / paths[name]) for name in names]
            latencies = dict(zip(names, timed_in_turns(bundles, self.validation), strict=True))
            rows = {**rows, **{
                name: replace(rows[name], time=each["p50"] / latencies[anchor]["p50"], latency_ms=each["p50"])
                for name, each in latencies.items()
            }}  # fmt: skip
        return rows, latencies

    def _tested(self, latencies: Mapping[str, dict[str, float]], known: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        """The quality on test of candidates and of the run; kept in their runs for `textapp report`.

        Args:
            latencies: of each candidate, measured in turns.
            known: figures of all.
        """
        if not self.test:
            tables.note("the run has no test split: the quality is that on validation alone")
            return {}
        found = {REFERENCE: self._remembered(f"{TEST}the run", self.base, self.test)}
        kept = []
        for name, latency_ms in latencies.items():
            more = known[name][1]
            bundle = open_artifact(self.folder / more["path"])
            found[name] = self._remembered(f"{TEST}{name}", bundle, self.test)
            kept.append((bundle, {
                "path": str(bundle.path), "variant": tables.variant(bundle.manifest), "threads": 1,
                "data": f"test ({self.origins['test']})", "size_bytes": known[name][0].size_bytes,
                "latency_ms": latency_ms, **found[name],
                "measured": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "machine": machine(),
            }))  # fmt: skip
        keep_figures(kept)
        return found

    def _put(self, best: Measured | None, known: Mapping[str, Any]) -> None:
        """Copies the best bundle to `best/`; that of an earlier budget goes."""
        place = self.folder / BEST
        if best is None:
            if check_target(place, "bundle"):
                with replaced_folder(place, "search"):
                    pass
                with suppress(OSError):  # files of the user stay
                    place.rmdir()
            return
        check_target(place, "bundle")
        with replaced_folder(place, "search") as new:
            shutil.copytree(self.folder / known[best.name][1]["path"], new, dirs_exist_ok=True)

    def _unit(self) -> str:
        title = self.measures.get(self.measure, self.measure)
        return f"% of {title}" if self.measure in FALLING else f"points of {title}"


# --- before the search ----------------------------------------------------------------------------------------------


def _trained(artifact: Artifact) -> tuple[int, float | None]:
    """The epochs of a run's training, and the seconds of one; (3, None) if it does not tell."""
    try:
        training = json.loads((artifact.path / METRICS).read_text(encoding="utf-8"))["training"]
        epochs = len(training["history"])
        return max(1, epochs), float(training["seconds"]) / max(1, epochs)
    except (OSError, ValueError, KeyError, TypeError):
        return EPOCHS, None


def _given(files: Sequence[Path], epochs: int) -> dict[str, dict[str, Any]]:
    """The recipes of files by name, each step that trains with its epochs.

    Args:
        files: YAML files.
        epochs: of a student whose recipe does not say.
    """
    found: dict[str, dict[str, Any]] = {}
    for file in files:
        name = file.stem
        if name in found or name in (ALONE, *FORMATS):
            what = "two files of this name" if name in found else "a name that means an export alone"
            raise UsageError(f"--recipe {file}: found {what}, expected another: rename it")
        recipe = load_recipe(file).recipe
        steps = []
        for step in as_data(recipe)["steps"]:
            if "epochs" in step and step["epochs"] is None:
                default = epochs if step["method"] == "distill" else EPOCHS
                step = {**step, "epochs": recipe.training.epochs or default}
            steps.append(step)
        found[name] = {**as_data(recipe), "steps": steps}
    return found


def _recipe_of(run: Path) -> Any:
    """The recipe that a run was made by, as its figures tell."""
    try:
        return json.loads((run / METRICS).read_text(encoding="utf-8"))["compression"]["recipe"]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _never(candidate: Candidate, error: Exception) -> str | None:
    """The recipe that cannot be trained, or the format that the run cannot have, and so no other candidate either."""
    if not isinstance(error, Failed):
        return None
    if error.job == "compress":
        return candidate.recipe
    return candidate.quantize if candidate.alone and error.refused else None


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, ensure_ascii=False).encode()).hexdigest()[:12]


def _machine() -> str:
    found = machine()
    return f"{found['cpu']}, {found['cores']} cores"


# --- what is told ---------------------------------------------------------------------------------------------------


def _no_candidate(failed: Mapping[str, str], not_started: Sequence[str]) -> str:
    if failed:
        lines = [f"  {name}: {words}" for name, words in failed.items()]
        return "\n".join(["found no candidate that could be made, expected one:", *lines])
    return (
        f"found no time for a candidate: {', '.join(not_started[:3]) or 'none'} would pass the time: raise --minutes, "
        "the search goes on"
    )


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
        return found + [("best" if row.get("name") == result["best"] else "front" if row.get("front") else "")]

    rows = [cells("the run in Keras", {}, reference["validation"], reference["test"])]
    rows += [cells(each["name"], each, each["validation"], each["test"]) for each in result["candidates"]]
    columns = ["candidate", "p50 ms", "times as fast", "size", "gzip", f"{title}, validation", "drop"]
    columns += ["test"] if tests else []
    console.print(tables.table(None, [*columns, ""], rows))
    for each in result["candidates"]:
        if each["reason"]:
            tables.line(console, f"{each['name']}: {each['reason']}")
    for name, words in result["failed"].items():
        tables.line(console, f"{name}: could not be made: {words}")
    if result["stopped"]:
        tables.line(console, f"{result['stopped']}: stopped, as the time was over; with more --minutes it goes on")
    if result["not_started"]:
        more = len(result["not_started"]) - SHOWN
        names = ", ".join(result["not_started"][:SHOWN]) + (f" and {more} more" if more > 0 else "")
        tables.line(console, f"not started, as they would pass the time (--minutes): {names}")
    tables.line(
        console,
        f"times as fast as {result['reference_file']}, measured in turns with one thread; size of model and tokenizer, "
        "gzip of the model",
    )
    if result["path"]:
        tables.line(console, f"bundle: {result['path']} ({result['best']})")
