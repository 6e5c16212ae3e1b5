"""`--quantize auto`: tries every number format of a target, and takes the fastest one that passes the check."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from textapp.arrays import spread
from textapp.errors import ExportError
from textapp.export.children import run_child
from textapp.objectives.checks.check import Verdict
from textapp.runners.inputs import Inputs, save_inputs

MAX_TIMED = 200
SECONDS = 4.0
# Files whose latencies differ by less are equally fast, within the noise of a machine; then the smaller one is taken.
TIE = 1.05


class Candidate(NamedTuple):
    """A verified .tflite file."""

    quantize: str
    model_path: Path
    verdict: Verdict


def choose(
    make: Callable[[str], Candidate],
    formats: Sequence[str],
    target: str,
    inputs: Inputs,
    figures: Sequence[str],
    work: Path,
) -> tuple[Candidate, list[dict[str, Any]]]:
    """Makes and measures all candidates, and chooses one.

    Args:
        make: a function from a number format to its verified file; raises ExportError if it fails the check.
        formats: the number formats to try.
        target: `litert` or `tflite-runtime`.
        inputs: real examples by signature, so that each bucket counts as often as it is used.
        figures: names of the figures of each report to return.
        work: a folder for scratch files.

    Returns:
        The fastest candidate, and what was tried: `{quantize, size_bytes, latency_ms, *figures}`,
        or `{quantize, reason}` for one that failed.

    Raises:
        ExportError: all failed.
    """
    candidates, refused = _made(make, formats)
    latency_ms = _latencies(candidates, target, inputs, work)
    tried = [_figures(candidate, latency_ms[candidate.quantize], figures) for candidate in candidates]
    best = fastest(tried)
    return next(c for c in candidates if c.quantize == best), [*tried, *refused]


def smallest(
    make: Callable[[str], Candidate], formats: Sequence[str], figures: Sequence[str]
) -> tuple[Candidate, list[dict[str, Any]]]:
    """Like `choose`, for a target whose speed is not measured here: the smallest file, which reads the fewest bytes.

    Args:
        make, formats, figures: as for `choose`.

    Raises:
        ExportError: all failed.
    """
    candidates, refused = _made(make, formats)
    tried = [_figures(candidate, None, figures) for candidate in candidates]
    return min(candidates, key=lambda each: each.model_path.stat().st_size), [*tried, *refused]


def _made(make: Callable[[str], Candidate], formats: Sequence[str]) -> tuple[list[Candidate], list[dict[str, Any]]]:
    """The candidates that pass, and for each other `{quantize, reason}`.

    Raises:
        ExportError: all failed.
    """
    candidates, refused = [], []
    for quantize in formats:
        try:
            candidates.append(make(quantize))
        except ExportError as error:
            refused.append({"quantize": quantize, "reason": str(error)})
    if not candidates:
        raise ExportError(
            "\n".join(["no number format passes the check:", *(f"  {e['quantize']}: {e['reason']}" for e in refused)])
        )
    return candidates, refused


def fastest(tried: list[dict[str, Any]]) -> str:
    """The number format with the lowest median latency; among those within 5 % of it, that of the smallest file."""
    minimum = min(entry["latency_ms"]["p50"] for entry in tried)
    near = [entry for entry in tried if entry["latency_ms"]["p50"] <= TIE * minimum]
    return min(near, key=lambda entry: entry["size_bytes"])["quantize"]


def _latencies(candidates: list[Candidate], target: str, inputs: Inputs, work: Path) -> Mapping[str, dict[str, float]]:
    file = work / "timing.npz"
    total = sum(len(rows["token_ids"]) for rows in inputs.values())
    share = min(1.0, MAX_TIMED / total)
    timed = {}
    for signature, named in inputs.items():
        count = len(named["token_ids"])
        chosen = spread(range(count), max(1, round(share * count)))
        timed[signature] = {name: rows[chosen] for name, rows in named.items()}
    save_inputs(file, timed)
    models = {candidate.quantize: str(candidate.model_path) for candidate in candidates}
    job = {"models": models, "runtime": target, "inputs": str(file), "seconds": SECONDS}
    return run_child("textapp.export.answers", job, f"timing in {target}")["latency_ms"]


def _figures(candidate: Candidate, latency_ms: dict[str, float] | None, figures: Sequence[str]) -> dict[str, Any]:
    timed = {} if latency_ms is None else {"latency_ms": {name: round(ms, 4) for name, ms in latency_ms.items()}}
    return {
        "quantize": candidate.quantize,
        "size_bytes": candidate.model_path.stat().st_size,
        **timed,
        **{name: candidate.verdict.report[name] for name in figures},
    }
