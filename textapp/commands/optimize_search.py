"""The search of `textapp optimize`: chooses candidates, has them made and measured, and ends with the best."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import textapp
from textapp.arrays import spread
from textapp.artifact import TARGET_TOKENIZER, Artifact, check_target, open_artifact, replaced_folder
from textapp.catalog import recipe_of_manifest
from textapp.commands import tables
from textapp.commands.benchmark import model_size
from textapp.commands.examples import own_splits
from textapp.commands.optimize_runs import CandidateRuns, given_recipes, own_training
from textapp.commands.optimize_work import Clock, Failed, OutOfTime, quality, timed_in_turns
from textapp.commands.train import checksums
from textapp.compression.search_budget import (
    Budget,
    Measured,
    change_words,
    drop,
    fastest,
    front,
    limited,
    reason,
)
from textapp.compression.search_journal import LENGTH, REASON, RECIPE, REFUSED, ROW, SECONDS, Journal, Trial
from textapp.compression.search_space import ALONE, FORMATS, Candidate, Pace, known_good, own_recipes
from textapp.config import Config, data_directory
from textapp.errors import ArtifactError, ExportError, UsageError, plural
from textapp.metrics.machine import machine
from textapp.metrics.names import FALLING
from textapp.metrics.size import gzip_bytes, size_words
from textapp.report.kept import keep as keep_figures
from textapp.tasks.task import Record

log = logging.getLogger("textapp")
JOURNAL, BEST = "journal.log", "best"  # in the folder of a search
MAX_RECORDS = 2000  # of validation; the same for all candidates
ROUNDS = 3  # of the last measurement
FINALISTS = 8  # that are measured once more, all in turns, and on test
FIRST_EXPORT = 30.0  # seconds that an export and its measurement are expected to take, before one was made
MEASURE = 10.0  # seconds of a measurement, before one was made
RESERVE = 0.2  # share of the time that is kept for the last measurement, at most
REFERENCE, ANCHOR, TEST = "quality of the run", "reference file", "test of "  # what a journal remembers


class Search:
    """A search in its folder: `journal.log`, `runs/`, `recipes/`, `logs/`, `best/`.

    Args:
        artifact: the run.
        config: that it was trained with.
        folder: of the search.
        target: of the exports.
        budget: that the best file keeps.
        files: recipes, in place of those that textapp makes for the run.
        data_dir: base folder of relative data paths.

    Raises:
        UsageError: the run has no validation examples, or a recipe's file a name that cannot be.
        ConfigError: a recipe has a fault.
        ArtifactError: the folder is that of another run, or the journal is damaged or of another search.
        DataError: the data cannot be read.
    """

    def __init__(
        self, artifact: Artifact, config: Config, folder: Path, target: str, budget: Budget, files: Sequence[Path],
        data_dir: Path | None,
    ) -> None:  # fmt: skip
        self.folder, self.target, self.budget = folder, target, budget
        self.data_dir = data_directory(data_dir, artifact.manifest.get("data_dir")).resolve()
        task = recipe_of_manifest(artifact.manifest)
        sums = checksums(config, self.data_dir)
        splits = own_splits(artifact, data_dir, sums)
        if not splits.validation:
            raise UsageError(f"{artifact.path}: has no validation split, on which candidates are compared: give it one")
        self.validation: list[Record] = spread(splits.validation, MAX_RECORDS)
        self.test: list[Record] = list(splits.test)
        self.origins = splits.origin
        self.measures = task.task.measures
        epochs, epoch_seconds = own_training(artifact)
        preset = config.tokenizer is not None and config.tokenizer.kind == "preset"
        labels = artifact.manifest.get("labels")
        classes = len(labels) if labels else None
        own = own_recipes(
            config.model.model_dump(mode="json"), task.keys.role, epochs, preset, classes,
            one_tokenizer=not (artifact.path / TARGET_TOKENIZER).is_dir(),
        )  # fmt: skip
        self.recipes = given_recipes(files, epochs) if files else own
        self.runs = CandidateRuns(artifact, folder, target, self.recipes, self.data_dir)
        self.base = self.runs.base
        about = {
            "run": f"{artifact.path.resolve().name} ({self.runs.model[:12]})", "target": target,
            "textapp": textapp.__version__, "machine": _machine(),
            "validation": f"{len(self.validation)} examples ({_digest(self.validation)})",
            "data": f"{plural(len(sums), 'file')} ({_digest(list(sums.values()))})",
            **{f"{RECIPE}{name}": _digest(recipe) for name, recipe in self.recipes.items()},
        }  # fmt: skip
        classifies = task.keys.role == "encoder"  # int8 is for those alone
        self.formats = [each for each in FORMATS if classifies or each != "int8"]
        self.journal = Journal(folder / JOURNAL, about, budget, [ALONE, *self.recipes], self.formats)
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
        self._warn_of_few()
        first = known_good(self.recipes, self.formats)
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

    def _warn_of_few(self) -> None:
        """Warns if one validation example weighs more than the budget, so that chance decides."""
        count = len(self.validation)
        if self.measure not in FALLING and 100 / count > self.budget.max_drop:
            log.warning(
                "%d validation examples: one of them is %.1f %s, more than the allowed drop of %g: raise "
                "data.validation, or --max-drop", count, 100 / count, self._unit(), self.budget.max_drop,
            )  # fmt: skip

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
        return next((each for each in lengths if self.runs.is_made(candidate, each)), None)

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
            made = self.runs.make(candidate, length, self._pace(), self._work_left)
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
            "%s: %.2f times as fast, %s, %s %.2f (%s); %.0f min left",
            candidate.name, 1 / row.time, size_words(row.size_bytes),
            self.measures.get(self.measure, self.measure), more["figures"][self.measure],
            change_words(row.drop, self._unit()), max(0.0, self.clock.left / 60),
        )  # fmt: skip
        return True

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
        told_latencies = {
            name: latencies.get(name) or _scaled(more["latency_ms"], rows[name]) for name, (_, more) in known.items()
        }
        best, on_front = fastest(list(rows.values()), self.budget), [row.name for row in front(list(rows.values()))]
        told = [*on_front, *([best.name] if best else [])]
        tested = self._tested([name for name in latencies if name in told], known)
        self._keep(told_latencies, tested, known)
        self._put(best, known)
        unit = self._unit()
        candidates = [
            {
                "name": name, "speedup": round(1 / row.time, 3), "latency_ms": told_latencies[name],
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
        """The figures with new times of the finalists, all measured in turns, and the latencies of these.

        The milliseconds of the others are those of their ratio to the reference file, as this machine is now.
        """
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
            log.info("measuring %s in turns", plural(len(names), "finalist"))
            bundles = [open_artifact(self.folder / paths[name]) for name in names]
            latencies = dict(zip(names, timed_in_turns(bundles, self.validation), strict=True))
            reference = latencies[anchor]["p50"]
            times = {name: each["p50"] / reference for name, each in latencies.items()}
            rows = {
                name: replace(row, time=times.get(name, row.time), latency_ms=times.get(name, row.time) * reference)
                for name, row in rows.items()
            }
        return rows, latencies

    def _tested(self, names: Sequence[str], known: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        """The quality on test of candidates and of the run.

        Args:
            names: of the candidates.
            known: figures of all.
        """
        if not self.test:
            tables.note("the run has no test split: the quality is that on validation alone")
            return {}
        found = {REFERENCE: self._remembered(f"{TEST}the run", self.base, self.test)}
        for name in names:
            bundle = open_artifact(self.folder / known[name][1]["path"])
            found[name] = self._remembered(f"{TEST}{name}", bundle, self.test)
        return found

    def _keep(
        self, latencies: Mapping[str, dict[str, float]], tested: Mapping[str, dict[str, Any]], known: Mapping[str, Any]
    ) -> None:
        """Keeps the figures of all candidates in their runs, for `textapp report`: on test, else on validation.

        Args:
            latencies: of each candidate, as of one measurement.
            tested: figures on test.
            known: figures of all.
        """
        about = {"measured": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "machine": machine()}
        kept = []
        for name, (row, more) in known.items():
            split = "test" if name in tested else "validation"
            bundle = open_artifact(self.folder / more["path"])
            kept.append((bundle, {
                "path": str(bundle.path), "variant": tables.variant(bundle.manifest), "threads": 1,
                "data": f"{split} ({self.origins[split]})", "size_bytes": row.size_bytes,
                "latency_ms": latencies[name], **(tested.get(name) or more["figures"]), **about,
            }))  # fmt: skip
        keep_figures(kept)

    def _put(self, best: Measured | None, known: Mapping[str, Any]) -> None:
        """Copies the best bundle to `best/`; without one that of an earlier budget stays."""
        place = self.folder / BEST
        earlier = check_target(place, "bundle")
        if best is None:
            if earlier:
                log.warning("%s: stays as it is, the best of an earlier budget; it does not keep this one", place)
            return
        with replaced_folder(place, "search") as new:
            shutil.copytree(self.folder / known[best.name][1]["path"], new, dirs_exist_ok=True)

    def _unit(self) -> str:
        title = self.measures.get(self.measure, self.measure)
        return f"% of {title}" if self.measure in FALLING else f"points of {title}"


def _scaled(latency_ms: Mapping[str, float], row: Measured) -> dict[str, float]:
    """The latencies of one measurement, so that their median is that of a row."""
    factor = row.latency_ms / latency_ms["p50"]
    return {name: round(factor * value, 4) for name, value in latency_ms.items()}


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


def _no_candidate(failed: Mapping[str, str], not_started: Sequence[str]) -> str:
    if failed:
        lines = [f"  {name}: {words}" for name, words in failed.items()]
        return "\n".join(["found no candidate that could be made, expected one:", *lines])
    return (
        f"found no time for a candidate: {', '.join(not_started[:3]) or 'none'} would pass the time: raise --minutes, "
        "the search goes on"
    )
