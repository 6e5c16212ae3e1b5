"""`--quantize auto`: every way that a target offers, measured here; the fastest that still answers well is taken."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from textapp.arrays import spread
from textapp.errors import ExportError
from textapp.export.children import run_child
from textapp.objectives.checks.check import Verdict
from textapp.runners.inputs import Inputs, save_inputs

MOST_TIMED = 200
SECONDS = 4.0
# Two files this close are equally fast on a machine that does other things too: then the smaller one is better.
TIE = 1.05


class Candidate(NamedTuple):
    """A verified file."""

    quantize: str
    model_path: Path
    verdict: Verdict


def choose(
    make: Callable[[str], Candidate],
    ways: Sequence[str],
    target: str,
    inputs: Inputs,
    figures: Sequence[str],
    work: Path,
) -> tuple[Candidate, list[dict[str, Any]]]:
    """Makes and measures all candidates.

    Args:
        make: a quantization to its verified file; ExportError where it is refused.
        ways: the quantizations to try.
        target: `litert` or `tflite-runtime`.
        inputs: of real examples, each in the signature that serves it, so buckets count as often as used.
        figures: names of the figures of each report that are shown.
        work: a folder for scratch files.

    Returns:
        The fastest candidate, and what was tried: `{quantize, size_bytes, latency_ms, *figures}`,
        or `{quantize, reason}` for what was refused.

    Raises:
        ExportError: all were refused.
    """
    candidates, refused = [], []
    for quantize in ways:
        try:
            candidates.append(make(quantize))
        except ExportError as error:
            refused.append({"quantize": quantize, "reason": str(error)})
    if not candidates:
        raise ExportError(
            "\n".join(["no way of quantizing passes:", *(f"  {e['quantize']}: {e['reason']}" for e in refused)])
        )
    latency_ms = _latencies(candidates, target, inputs, work)
    tried = [_figures(candidate, latency_ms[candidate.quantize], figures) for candidate in candidates]
    best = fastest(tried)
    return next(c for c in candidates if c.quantize == best), [*tried, *refused]


def fastest(tried: list[dict[str, Any]]) -> str:
    """The quantization with the least median latency; among those within 5 % of it, the smallest file."""
    least = min(entry["latency_ms"]["p50"] for entry in tried)
    near = [entry for entry in tried if entry["latency_ms"]["p50"] <= TIE * least]
    return min(near, key=lambda entry: entry["size_bytes"])["quantize"]


def _latencies(candidates: list[Candidate], target: str, own: Inputs, work: Path) -> Mapping[str, dict[str, float]]:
    inputs = work / "timing.npz"
    total = sum(len(rows["token_ids"]) for rows in own.values())
    share = min(1.0, MOST_TIMED / total)
    timed = {}
    for signature, named in own.items():
        count = len(named["token_ids"])
        chosen = spread(range(count), max(1, round(share * count)))
        timed[signature] = {name: rows[chosen] for name, rows in named.items()}
    save_inputs(inputs, timed)
    models = {candidate.quantize: str(candidate.model_path) for candidate in candidates}
    job = {"models": models, "runtime": target, "inputs": str(inputs), "seconds": SECONDS}
    return run_child("textapp.export.answers", job, f"timing in {target}")["latency_ms"]


def _figures(candidate: Candidate, latency_ms: dict[str, float], figures: Sequence[str]) -> dict[str, Any]:
    return {
        "quantize": candidate.quantize,
        "size_bytes": candidate.model_path.stat().st_size,
        "latency_ms": {name: round(value, 4) for name, value in latency_ms.items()},
        **{name: candidate.verdict.report[name] for name in figures},
    }
