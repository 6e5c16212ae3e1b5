"""The figures of `textapp benchmark` and `textapp report --measure`, kept in the run: `evaluation/benchmark.json`.

A row belongs to the run itself (`.`) or to a bundle in it (`exports/litert`), and names the files that it was measured
on by a checksum, so that figures of a model that was replaced are not taken for those of the new one.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from textapp.arrays import plain
from textapp.artifact import BENCHMARK, Artifact, sha256_of
from textapp.errors import ArtifactError
from textapp.files import write_text
from textapp.untrusted import read_json

OWN = "."  # the run itself


def place_of(artifact: Artifact) -> tuple[Path, str] | None:
    """The run that keeps the figures of an artifact, and the name of its row; None for a bundle outside of a run."""
    if artifact.kind == "run":
        return artifact.path, OWN
    run = artifact.parent
    return None if run is None else (run, f"exports/{artifact.path.resolve().name}")


def keep(rows: Iterable[tuple[Artifact, Mapping[str, Any]]]) -> None:
    """Writes the rows of artifacts into the runs that they belong to; other rows that a run keeps stay.

    Raises:
        OSError: a run cannot be written.
    """
    by_run: dict[Path, dict[str, Any]] = {}
    for artifact, row in rows:
        place = place_of(artifact)
        if place is not None:
            by_run.setdefault(place[0], {})[place[1]] = {**row, "model": checksum(artifact)}
    for run, new in by_run.items():
        content = {**_rows(run), **new}
        write_text(run / BENCHMARK, json.dumps(plain(content), ensure_ascii=False, indent=2) + "\n")


def kept(artifact: Artifact) -> dict[str, Any]:
    """The figures that were measured on this very model; empty if there are none, or they are damaged."""
    place = place_of(artifact)
    row = {} if place is None else _rows(place[0]).get(place[1], {})
    return row if isinstance(row, dict) and row.get("model") == checksum(artifact) else {}


def checksum(artifact: Artifact) -> str:
    """Of all files that the manifest lists."""
    return sha256_of(artifact.manifest["files"])


def _rows(run: Path) -> dict[str, Any]:
    try:
        content = read_json(run / BENCHMARK)
    except (OSError, ArtifactError):
        return {}
    return content if isinstance(content, dict) else {}
