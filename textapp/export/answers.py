"""Runs .tflite files on prepared inputs in a separate process: `python -m textapp.export.answers JOB`.

Exports are verified and timed in this process because, like a device, it has no TensorFlow.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from textapp.arrays import filled_up
from textapp.decoding.forced import (
    AT_ONCE,
    EXTENDED,
    GENERATED,
    GENERATED_TOKENS,
    NEVER_GENERATED,
    OWN,
    WHOLE_CACHE,
    force_all,
)
from textapp.decoding.signatures import extend_of, lengths_of, rows_of, several_of, short_places
from textapp.errors import TextappError
from textapp.runners.edge import EdgeRunner
from textapp.runners.inputs import Inputs, load_inputs
from textapp.runners.interpreter import version
from textapp.runners.runner import Runner


def answers(runner: Runner, inputs: Inputs) -> dict[str, np.ndarray]:
    """Runs every signature on all of its inputs: `{"classify_16/probabilities": [examples, classes]}`."""
    outputs: dict[str, np.ndarray] = {}
    for signature, named in inputs.items():
        size, count = rows_of(signature), len(next(iter(named.values())))
        parts = [runner.run(signature, filled_up(features, size)) for features in _parts(named, size)]
        for name in parts[0] if parts else ():
            outputs[f"{signature}/{name}"] = np.concatenate([part[name] for part in parts])[:count]
    return outputs


def with_own(forced: Inputs, outputs: Mapping[str, np.ndarray], signatures: Iterable[str] = ()) -> Inputs:
    """Adds for each group `generate_*.expected` a group `generate_*.own` with the texts that the file generated.

    Args:
        forced: the groups for forced decoding, see `textapp.decoding.forced.force_all`.
        outputs: of the file, as `answers` returns them.
        signatures: of the file. If it reads several tokens at once, these texts are in groups `generate_*.at_once`, and
            only the first also in `generate_*.own`, whose tokens are read one by one; in `generate_*.whole_cache`, if
            these texts are so short that they have a signature of their own; if it reads the end of a prompt as a new
            turn, `generate_*.extended` has the first token after each prompt.
    """
    own, signatures = {}, list(signatures)
    several, extends = several_of(signatures) > 1, extend_of(signatures) > 0
    short = max(short_places(signatures), default=0)
    for group, named in forced.items():
        signature, origin = group.split(".")
        if origin == "expected":
            token_ids, counts = (outputs[f"{signature}/{name}"] for name in ("token_ids", "num_tokens"))
            rows = min(len(named[GENERATED]), len(token_ids))
            texts = {**named, GENERATED: token_ids, GENERATED_TOKENS: counts}
            own[f"{signature}{OWN}"] = _first(texts, 1 if several else rows)
            if several:
                own[f"{signature}{AT_ONCE}"] = _first(texts, rows)
            if sum(lengths_of(signature)) <= short:
                own[f"{signature}{WHOLE_CACHE}"] = _first(texts, 1)
            if extends:
                one = {**texts, GENERATED: token_ids[:, :1], GENERATED_TOKENS: np.minimum(counts, 1)}
                own[f"{signature}{EXTENDED}"] = _first(one, rows)
    return forced | own


def _first(group: Mapping[str, np.ndarray], rows: int) -> dict[str, np.ndarray]:
    """The first texts of a group for forced decoding."""
    return {name: values if name == NEVER_GENERATED else values[:rows] for name, values in group.items()}


def latencies(model_paths: Mapping[str, str], runtime: str, inputs: Inputs, seconds: float) -> dict[str, list[float]]:
    """Measures the latency of several files on the same inputs.

    The files alternate on each input, so that a slow phase of the machine affects all of them.

    Args:
        model_paths: name -> path of each file.
        runtime: `litert` or `tflite-runtime`.
        inputs: of each signature, as many as real texts use it.
        seconds: total duration; every input is run at least once.

    Returns:
        Name of the file -> milliseconds of each call.
    """
    runners = {name: EdgeRunner(path, runtime=runtime) for name, path in model_paths.items()}
    calls = [(signature, features) for signature, named in inputs.items() for features in _parts(named)]
    for signature in inputs:
        for runner in runners.values():
            for features in _parts(inputs[signature])[:5]:
                runner.run(signature, features)
    times: dict[str, list[float]] = {name: [] for name in runners}
    end = time.perf_counter() + seconds
    while not times[next(iter(times))] or time.perf_counter() < end:
        for signature, features in calls:
            for name, runner in runners.items():
                start = time.perf_counter()
                runner.run(signature, features)
                times[name].append(1000 * (time.perf_counter() - start))
    return times


def _parts(named: Mapping[str, np.ndarray], size: int = 1) -> list[dict[str, np.ndarray]]:
    count = len(next(iter(named.values())))
    return [{name: rows[start : start + size] for name, rows in named.items()} for start in range(0, count, size)]


def _work(job: Mapping[str, Any]) -> dict[str, Any]:
    inputs = load_inputs(job["inputs"])
    if "models" in job:
        times = latencies(job["models"], job["runtime"], inputs, job["seconds"])
        figures = {name: [float(np.percentile(values, share)) for share in (50, 90)] for name, values in times.items()}
        return {"latency_ms": {name: {"p50": p50, "p90": p90} for name, (p50, p90) in figures.items()}}
    runner = EdgeRunner(job["model"], job.get("threads", 1), runtime=job["runtime"])
    outputs = answers(runner, inputs)
    if "forced" in job:
        outputs |= force_all(runner, with_own(load_inputs(job["forced"]), outputs, runner.signatures))
    np.savez(job["outputs"], **outputs)
    return {"runtime": version(job["runtime"]), "tensorflow": "tensorflow" in sys.modules}


def main(arguments: Sequence[str]) -> None:
    """Runs a job and prints one JSON object; an error that a user can fix is `{"error": message}`."""
    try:
        print(json.dumps(_work(json.loads(arguments[0]))))
    except (TextappError, OSError) as error:
        print(json.dumps({"error": str(error)}))


if __name__ == "__main__":
    main(sys.argv[1:])
