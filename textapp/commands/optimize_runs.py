"""The runs and bundles of a search: each candidate trained and exported in its folder, once."""

from __future__ import annotations

import json
import logging
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml

from textapp.artifact import MANIFEST, Artifact, open_artifact, replaced_folder
from textapp.commands.optimize_work import finished, run_job
from textapp.compression.recipe import as_data, load_recipe, parse_recipe
from textapp.compression.search_space import ALONE, FORMATS, Candidate, Pace, epochs_of, shortened
from textapp.compression.trainings import EPOCHS, MODEL
from textapp.errors import ArtifactError, UsageError, plural
from textapp.files import write_text
from textapp.recipes.training_run import METRICS

log = logging.getLogger("textapp")
RUNS, RECIPES = "runs", "recipes"  # in the folder of a search


class CandidateRuns:
    """`runs/`, `recipes/` and `logs/` of a search.

    Args:
        artifact: the run that is compressed.
        folder: of the search.
        target: of the exports.
        recipes: name -> recipe as data.
        data_dir: base folder of relative data paths.

    Attributes:
        base: the copy of the run.
        model: the hash of its model.
    """

    def __init__(
        self, artifact: Artifact, folder: Path, target: str, recipes: Mapping[str, dict[str, Any]], data_dir: Path
    ) -> None:
        self.folder, self.target, self.recipes, self.data_dir = folder, target, recipes, data_dir
        self.model = artifact.manifest["files"][MODEL]
        self.base = self._copied(artifact)

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

    def place(self, candidate: Candidate, length: float) -> Path:
        """The folder of the run of a candidate."""
        if candidate.alone:
            return self.base.path
        short = "" if length == 1 else f"-{100 * length:.0f}percent"
        return self.base.path.with_name(f"{self.base.path.name}-{candidate.recipe}{short}")

    def is_made(self, candidate: Candidate, length: float) -> bool:
        """Whether the run of a candidate is there."""
        return finished(self.place(candidate, length), self.model)

    def make(self, candidate: Candidate, length: float, pace: Pace, left: Callable[[], float]) -> dict[str, Any]:
        """Trains and exports a candidate, as far as that is not done.

        Args:
            candidate: what to make.
            length: the share of the epochs of its recipe.
            pace: of trainings on this machine.
            left: tells the seconds that are left.

        Returns:
            `path` of the bundle in the folder of the search; `trained_seconds` and `expected_seconds`, if it was
            trained now.

        Raises:
            Failed: it cannot be made.
            OutOfTime: the time was over before it was.
        """
        run, made = self.place(candidate, length), {}
        if not candidate.alone:
            made = self._trained(candidate, length, run, pace, left)
        bundle = run / "exports" / f"{self.target}-{candidate.quantize}"
        parent = open_artifact(run).manifest["files"][MODEL]
        if not finished(bundle, parent):
            log.info("%s: exporting", candidate.name)
            self._job(candidate, {
                "do": "export", "run": str(run), "target": self.target, "quantize": candidate.quantize,
                "output": str(bundle),
            }, left)  # fmt: skip
        return {"path": bundle.relative_to(self.folder).as_posix(), **made}

    def _trained(
        self, candidate: Candidate, length: float, run: Path, pace: Pace, left: Callable[[], float]
    ) -> dict[str, Any]:
        recipe = shortened(self.recipes[candidate.recipe], length)
        if finished(run, self.model) and _recipe_of(run) == as_data(parse_recipe(recipe)):
            return {}
        file = self.folder / RECIPES / f"{run.name.removeprefix(self.base.path.name + '-')}.yaml"
        write_text(file, yaml.safe_dump(recipe, sort_keys=False))
        expected, began = pace.seconds(recipe), time.monotonic()
        log.info("%s: training, %s, about %.0f s", candidate.name, plural(epochs_of(recipe), "epoch"), expected)
        self._job(candidate, {
            "do": "compress", "run": str(self.base.path), "recipe": str(file), "new_run": str(run)
        }, left)  # fmt: skip
        unscaled = Pace(pace.epoch_seconds).seconds(recipe)
        return {"trained_seconds": round(time.monotonic() - began, 1), "expected_seconds": round(unscaled, 1)}

    def _job(self, candidate: Candidate, job: Mapping[str, Any], left: Callable[[], float]) -> None:
        log_file = self.folder / "logs" / f"{candidate.name.replace(' + ', '-')}.log"
        run_job({**job, "data_dir": str(self.data_dir)}, log_file, left())


def own_training(artifact: Artifact) -> tuple[int, float | None]:
    """The epochs of a run's training, and the seconds of one; (3, None) if it does not tell."""
    try:
        training = json.loads((artifact.path / METRICS).read_text(encoding="utf-8"))["training"]
        epochs = len(training["history"])
        return max(1, epochs), float(training["seconds"]) / max(1, epochs)
    except (OSError, ValueError, KeyError, TypeError):
        return EPOCHS, None


def given_recipes(files: Sequence[Path], epochs: int) -> dict[str, dict[str, Any]]:
    """The recipes of files by name, each step that trains with its epochs.

    Args:
        files: YAML files.
        epochs: of a student whose recipe does not say.

    Raises:
        UsageError: two files have one name, or one has a name of its own meaning.
        ConfigError: a recipe has a fault.
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
