"""The names of the files in a run or a bundle, and which files in such a folder textapp made."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from textapp.errors import ArtifactError
from textapp.untrusted import check_regular, read_json

MANIFEST = "manifest.json"
TOKENIZER, TARGET_TOKENIZER = "tokenizer", "target_tokenizer"  # folders; the second where the sides share no vocabulary
LITERT_LM_FILE = "model.litertlm"  # LiteRT-LM answers from it, textapp does not
MODEL_FILES = ("model.tflite", "model.keras", LITERT_LM_FILE)
SAVED_MODEL = "saved_model"  # all files of this folder may be loaded
SETTINGS, SENTENCEPIECE_FILE, TOKENIZERS_FILE = "settings.json", "sentencepiece.model", "tokenizer.json"
CHAT_TEMPLATE = "chat_template.jinja"
TOKENIZER_FILES = (SETTINGS, SENTENCEPIECE_FILE, TOKENIZERS_FILE, CHAT_TEMPLATE)  # loaded of a tokenizer's folder
LOADED = {*MODEL_FILES, *(f"{name}/{file}" for name in (TOKENIZER, TARGET_TOKENIZER) for file in TOKENIZER_FILES)}
RUN_FILES = (MANIFEST, "config.yaml", "metrics.json", "model.keras")
REQUEST = "checkpoints/request.json"  # the requested config and checksums of the data, for resuming
EVALUATION = ("metrics.json", "mistakes.tsv", "outputs.tsv", "confusion.png")
BENCHMARK = "evaluation/benchmark.json"  # what `textapp benchmark` measured
REPORT = "report.html"
REPORT_MARK = '<meta name="generator" content="textapp report">'  # in the first bytes of a report of ours
CHECKPOINT = re.compile(r"(last|previous|best|epoch_\d+)\.npz(\.partial)?|request\.json")
LOG = re.compile(r"events\.out\.tfevents\..*")
RUN_FOLDERS = {"checkpoints", "logs", "logs/train", "logs/validation", "exports", "evaluation"}


def made_files(folder: Path) -> set[str]:
    """The names of what textapp made: what a manifest lists, and in a run also checkpoints, logs, figures and exports.

    Everything else in it is the user's. Bundles in `exports/` are textapp's where it puts them without being told
    another place, in a folder named like their target; copies under other names are the user's.

    Args:
        folder: a run, bundle or preparation, also one whose manifest is damaged.

    Returns:
        Names relative to the folder, with slashes; with the folders that may be empty.
    """
    listed = _listed(folder)
    if kind_of(folder) in ("bundle", "preparation"):
        return listed | {f"saved_model/{name}" for name in ("assets", "assets.extra", "variables")}
    made = listed or {name for name in RUN_FILES if (folder / name).is_file()}
    made |= RUN_FOLDERS | {BENCHMARK} | {f"evaluation/{name}" for name in EVALUATION}
    made |= {REPORT} if is_report(folder / REPORT) else set()
    for name, pattern in (("checkpoints", CHECKPOINT), ("logs", LOG)):
        files = (path for path in (folder / name).rglob("*") if pattern.fullmatch(path.name))
        made |= {path.relative_to(folder).as_posix() for path in files}
    for bundle in own_exports(folder):
        made |= {f"{bundle.relative_to(folder).as_posix()}/{name}" for name in made_files(bundle)}
    return made


def is_report(file: Path) -> bool:
    """Whether `textapp report` wrote a file."""
    try:
        check_regular(file)
        with file.open(encoding="utf-8", errors="replace") as opened:
            return REPORT_MARK in opened.read(512)
    except (OSError, ArtifactError):
        return False


def exports_of(run: Path) -> list[Path]:
    """The bundles in `exports/` of a run that hold its model; see `stale_exports`."""
    stale = stale_exports(run)
    return [bundle for bundle in _bundles(run) if bundle not in stale]


def stale_exports(run: Path) -> list[Path]:
    """The bundles in `exports/` of a run that hold another model than it, such as copies of the one before."""
    model = _listed_sums(run).get("model.keras")
    parents = {bundle: _content(bundle).get("parent") for bundle in _bundles(run)}
    return [bundle for bundle, each in parents.items() if isinstance(each, dict) and each.get("sha256") != model]


def own_exports(run: Path) -> list[Path]:
    """The bundles of a run in the folders where `export` puts them without `--output`."""
    manifests = {bundle: _content(bundle) for bundle in _bundles(run) if not bundle.is_symlink()}
    return [
        bundle
        for bundle, manifest in manifests.items()
        if manifest.get("kind") == "bundle" and manifest.get("target") == bundle.name
    ]


def _bundles(run: Path) -> list[Path]:
    return sorted(file.parent for file in run.glob(f"exports/*/{MANIFEST}"))


def _content(folder: Path) -> dict[str, Any]:
    """The manifest of a folder, unchecked; empty if there is none."""
    try:
        content = read_json(folder / MANIFEST)
    except (OSError, ArtifactError):
        return {}
    return content if isinstance(content, dict) else {}


def kind_of(folder: Path) -> Any:
    return _content(folder).get("kind")


def _listed(folder: Path) -> set[str]:
    """The manifest and the files that it lists; empty without a manifest."""
    return {MANIFEST, *_listed_sums(folder)} if _content(folder) else set()


def _listed_sums(folder: Path) -> dict[str, Any]:
    files = _content(folder).get("files")
    return files if isinstance(files, dict) else {}
