"""What a report tells: read from the folders of runs and their bundles. No model is opened, TensorFlow is not needed.

Everything outside of the manifests may be missing or damaged; then it is left out.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from textapp.artifact import REQUEST, Artifact, exports_of, open_artifact, stale_exports, variant
from textapp.catalog import task_class
from textapp.config.yaml_text import read_yaml
from textapp.errors import ArtifactError, ConfigError, UsageError
from textapp.metrics.bootstrap import confusion_intervals, share_interval
from textapp.records.sources import describe
from textapp.report.kept import kept
from textapp.report.sizes import KERAS, sizes
from textapp.untrusted import (
    NUMBER,
    OBJECT,
    TEXT,
    Kind,
    check_regular,
    list_of,
    mapping_of,
    read_json,
    read_text,
    whole,
)

METRICS, CONFIG, EVALUATED, GOLDEN = "metrics.json", "config.yaml", "evaluation/metrics.json", "golden.json"
LISTINGS = {"mistakes": "Wrong answers, the surest first", "outputs": "Answers"}  # file -> title
SHARES = ("accuracy", "exact_match")  # figures that are shares of the examples
SAMPLES_SHOWN = 10
_SPEED = ("latency_ms", "tokens_per_second", "time_to_first_token_ms", "start_ms", "peak_memory_mb", "threads")
_MEASURED = {"measured": TEXT, "machine": OBJECT, "profile": OBJECT, "limit": OBJECT}
_OPERATOR = Kind(
    "its name and its percent of the time",
    lambda value: isinstance(value, list) and len(value) == 2 and TEXT.fits(value[0]) and NUMBER.fits(value[1]),
)
_NOT_NEGATIVE = Kind("a number from 0", lambda value: NUMBER.fits(value) and value >= 0)
_MOST_TEXT = 1 << 20  # characters that are read of a listing, bytes of a config


@dataclass(frozen=True)
class Variant:
    """One file of a model, with its figures.

    Attributes:
        name: `litert int8`.
        run: name of the run folder.
        file: of the target and number format.
        sizes: see `report/sizes.py`.
        quality: figure -> value.
        intervals: figure -> `[low, high]`.
        data: what the quality was measured on.
        speed: `latency_ms`, `tokens_per_second`, `time_to_first_token_ms`, `start_ms`, `peak_memory_mb`, as measured.
        measured: when and on which `machine`; `profile` and `limit`, if they were measured.
    """

    name: str
    run: str
    sizes: Mapping[str, int] = field(default_factory=dict)
    quality: Mapping[str, float] = field(default_factory=dict)
    intervals: Mapping[str, Sequence[float]] = field(default_factory=dict)
    data: str = ""
    speed: Mapping[str, Any] = field(default_factory=dict)
    measured: Mapping[str, Any] = field(default_factory=dict)

    @property
    def title(self) -> str:
        return f"{self.run} · {self.name}"

    @property
    def p50(self) -> float | None:
        """The median milliseconds of an answer."""
        return mapping(self.speed.get("latency_ms")).get("p50") or None


@dataclass(frozen=True)
class RunFacts:
    """A run.

    Attributes:
        name: of its folder.
        manifest: of the run.
        sha256: of its model, by which compressed runs name it.
        config: the text of config.yaml.
        train_files: the files of its training data, as the config names them.
        metrics: the content of metrics.json; may be empty.
        variants: the run itself, then its bundles.
        confusion: counts `[classes, classes]` of the labels of the manifest, and the data that they are of.
        samples: title and rows of answers to read; each row maps columns to text.
        plots: files beside the run, relative to it.
        notes: what was left out, and why.
        data: the checksums of its data, of the files in their order; empty if they are not known.
    """

    name: str
    manifest: Mapping[str, Any]
    sha256: str
    config: str = ""
    train_files: str = ""
    metrics: Mapping[str, Any] = field(default_factory=dict)
    variants: Sequence[Variant] = ()
    confusion: tuple[Sequence[Sequence[int]], str] | None = None
    samples: tuple[str, Sequence[Mapping[str, str]]] | None = None
    plots: Sequence[str] = ()
    notes: Sequence[str] = ()
    data: Sequence[str] = ()

    @property
    def compression(self) -> Mapping[str, Any]:
        """What a compression did; empty if the run is none."""
        return mapping(self.metrics.get("compression"))

    @property
    def parent(self) -> Mapping[str, str]:
        """The `run` that it was made from and the `sha256` of its model; empty if it was made from none."""
        return {name: each for name, each in mapping(self.manifest.get("parent")).items() if isinstance(each, str)}


@dataclass(frozen=True)
class Facts:
    """All runs of a report.

    Attributes:
        runs: of one task.
        measures: figure -> title of the task's measures, the main one first.
        left_out: runs that could not be opened, with the reason.
    """

    runs: Sequence[RunFacts]
    measures: Mapping[str, str]
    left_out: Sequence[str] = ()

    @property
    def variants(self) -> list[Variant]:
        return [variant for run in self.runs for variant in run.variants]


def gather(runs: Sequence[Artifact], left_out: Sequence[str] = ()) -> Facts:
    """The facts of runs, which are measured by the same figures.

    Args:
        runs: at least one.
        left_out: what to tell of others.

    Raises:
        UsageError: they are of different tasks.
    """
    kinds = [" ".join(filter(None, (run.manifest["task"], run.manifest.get("mode")))) for run in runs]
    other = next((index for index, kind in enumerate(kinds) if kind != kinds[0]), None)
    if other is not None:
        raise UsageError(
            f"{runs[other].path}: is of {kinds[other]}, but {runs[0].path} of {kinds[0]}: make a report for each task"
        )
    return Facts([run_facts(run) for run in runs], task_class(runs[0].manifest).measures, left_out)


def run_facts(run: Artifact) -> RunFacts:
    """The facts of one run and the bundles in it."""
    path, metrics, notes = run.path, read(run.path / METRICS), []
    bundles = []
    for folder in exports_of(path):
        try:
            bundles.append(open_artifact(folder))
        except ArtifactError as error:
            notes.append(f"left out: {error}")
    notes += [f"left out: {folder}: holds another model than the run: export it anew" for folder in stale_exports(path)]
    evaluated = read(path / EVALUATED)
    variants = [variant_facts(each, metrics, evaluated, path) for each in (run, *bundles)]
    return RunFacts(
        name=path.resolve().name,
        manifest=run.manifest,
        sha256=run.manifest["files"].get(KERAS, ""),
        config=(config := _text(path / CONFIG)),
        train_files=_train_files(config),
        metrics=metrics,
        variants=variants,
        confusion=_confusion(evaluated, metrics, run.manifest.get("labels", ())),
        samples=_samples(path, bundles),
        plots=[name for name in ("evaluation/confusion.png",) if (path / name).is_file()],
        notes=notes,
        data=[each for each in mapping(read(path / REQUEST).get("data")).values() if isinstance(each, str)],
    )


def variant_facts(artifact: Artifact, metrics: Mapping[str, Any], evaluated: Mapping[str, Any], run: Path) -> Variant:
    """The facts of a run as it is, or of a bundle.

    Args:
        artifact: the run or the bundle.
        metrics: what the training measured of the run.
        evaluated: what `textapp evaluate` measured of the run.
        run: its folder.
    """
    row = kept(artifact)
    quality, data = _quality(artifact, row, metrics, evaluated)
    return Variant(
        name=variant(artifact.manifest) + _folder_if_unusual(artifact),
        run=run.resolve().name,
        sizes={**_counted(artifact), **sizes(artifact.path)},
        quality=numbers(quality),
        intervals=intervals(quality),
        data=data,
        speed=_speed(row),
        measured=_measured(row),
    )


def _counted(artifact: Artifact) -> dict[str, int]:
    """The parameters of a SavedModel as its export counted them; without TensorFlow nobody reads its file."""
    counts = numbers(artifact.manifest.get("verification"))
    found = {name: counts[name] for name in ("parameters", "nonzero") if whole(0, 2**63).fits(counts.get(name))}
    return found if len(found) == 2 and found["nonzero"] <= found["parameters"] else {}


def numbers(value: Any) -> dict[str, float]:
    """The entries of a mapping that are numbers a page can show; of those that are none, nothing."""
    return {name: each for name, each in mapping(value).items() if NUMBER.fits(each)}


def _speed(row: Mapping[str, Any]) -> dict[str, Any]:
    """Speed and memory as they were measured; no time is negative."""
    given = {name: row[name] for name in _SPEED if name in row}
    found = {name: numbers(each) if isinstance(each, Mapping) else each for name, each in given.items()}
    times = mapping_of(_NOT_NEGATIVE)
    return {name: each for name, each in found.items() if times.fits(each) or _NOT_NEGATIVE.fits(each)}


def _measured(row: Mapping[str, Any]) -> dict[str, Any]:
    """When and on which machine it was measured, its profile and its limit."""
    found = {name: row[name] for name, kind in _MEASURED.items() if name in row and kind.fits(row[name])}
    profile = mapping(found.get("profile"))
    if not list_of(_OPERATOR).fits(profile.get("operators", [])):
        del found["profile"]
    return {**found, "limit": numbers(found["limit"])} if "limit" in found else found


def intervals(quality: Mapping[str, Any]) -> dict[str, Sequence[float]]:
    """The intervals of figures: those that were measured, else those that follow from counts.

    Args:
        quality: figures with `examples`, possibly `intervals` and `confusion`.
    """
    measured = mapping(quality.get("intervals"))
    if measured:
        return {name: ends for name, ends in measured.items() if _is_interval(ends)}
    examples, found = quality.get("examples"), {}
    if whole(1).fits(examples):
        shares = {name: share_interval(quality[name], examples) for name in SHARES if _is_percent(quality.get(name))}
        found = {name: ends for name, ends in shares.items() if ends is not None}
        confusion = quality.get("confusion")
        if _is_matrix(confusion) and sum(map(sum, confusion)) == examples:
            found |= confusion_intervals(confusion)
    return found


def read(file: Path) -> Mapping[str, Any]:
    """The object in a JSON file; empty if it is missing or damaged."""
    try:
        return mapping(read_json(file))
    except (OSError, ArtifactError):
        return {}


def mapping(value: Any) -> Mapping[str, Any]:
    """A value, if it is a mapping, else an empty one."""
    return value if isinstance(value, Mapping) else {}


def _quality(
    artifact: Artifact, row: Mapping[str, Any], metrics: Mapping[str, Any], evaluated: Mapping[str, Any]
) -> tuple[Mapping[str, Any], str]:
    """The best known figures of quality, and the data that they are of: benchmark, evaluate, training or export."""
    if row:
        return row, str(row.get("data", ""))
    if artifact.kind == "bundle":
        found = mapping(artifact.manifest.get("quality"))
        return found, "the examples that the export was verified on" if found else ""
    if evaluated:
        return evaluated, str(evaluated.get("data", ""))
    for split in ("test", "validation"):
        if found := mapping(metrics.get(split)):
            return found, f"{split} ({found.get('data', '')})"
    return {}, ""


def _confusion(
    evaluated: Mapping[str, Any], metrics: Mapping[str, Any], labels: Sequence[str]
) -> tuple[Sequence[Sequence[int]], str] | None:
    splits = [(name, mapping(metrics.get(name))) for name in ("test", "validation")]
    candidates = [(evaluated.get("confusion"), str(evaluated.get("data", "")))]
    candidates += [(found.get("confusion"), f"{name} ({found.get('data', '')})") for name, found in splits]
    for counts, data in candidates:
        if _is_matrix(counts) and len(counts) == len(labels):
            return counts, data
    return None


def _samples(run: Path, bundles: Sequence[Artifact]) -> tuple[str, Sequence[Mapping[str, str]]] | None:
    """Answers that `evaluate` listed, else the golden ones of a bundle."""
    for name, title in LISTINGS.items():
        if rows := _table(run / "evaluation" / f"{name}.tsv"):
            return title, rows
    for bundle in bundles:
        try:
            golden = read_json(bundle.path / GOLDEN)
        except (OSError, ArtifactError):
            continue
        found = [_readable(each) for each in golden if isinstance(each, Mapping)] if isinstance(golden, list) else []
        if found := [each for each in found if each]:
            return f"Answers that {variant(bundle.manifest)} gave when it was exported", found[:SAMPLES_SHOWN]
    return None


def _table(file: Path) -> list[dict[str, str]]:
    try:
        check_regular(file)
        with file.open(encoding="utf-8", errors="replace", newline="") as opened:
            lines = io.StringIO(opened.read(_MOST_TEXT), newline="")
        rows = list(islice(csv.DictReader(lines, delimiter="\t"), SAMPLES_SHOWN))
    except (OSError, ArtifactError, csv.Error):
        return []
    return [{str(name): str(value or "") for name, value in row.items()} for row in rows]


def _readable(example: Mapping[str, Any]) -> dict[str, str]:
    """The texts of a golden example: without token ids, and the names of signatures."""
    return {name: value for name, value in example.items() if isinstance(value, str) and name != "signature"}


def _folder_if_unusual(artifact: Artifact) -> str:
    """The name of a bundle's folder, if it is not that of its target."""
    name = artifact.path.resolve().name
    return f" ({name})" if artifact.kind == "bundle" and name != artifact.manifest.get("target") else ""


def _text(file: Path) -> str:
    try:
        return read_text(file, _MOST_TEXT)
    except (OSError, ArtifactError):
        return ""


def _train_files(config: str) -> str:
    """What a config names as training data: `train.tsv`, `train.zh | train.en`."""
    try:
        data = mapping(mapping(read_yaml(config, str).value).get("data"))
        return describe(data["train"]) if data.get("train") else ""
    except (ConfigError, KeyError, TypeError, AttributeError):
        return ""


def _is_percent(value: Any) -> bool:
    return NUMBER.fits(value) and 0 <= value <= 100


def _is_interval(ends: Any) -> bool:
    return list_of(NUMBER, exactly=2).fits(ends)


def _is_matrix(counts: Any) -> bool:
    return (
        isinstance(counts, list)
        and bool(counts)
        and all(list_of(whole(), exactly=len(counts)).fits(row) for row in counts)
    )
