"""Lets .tflite files answer prepared inputs in a process of its own: `python -m textapp.export.answers JOB`.

An export is verified and timed here, because this process has no TensorFlow, as a device has none.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from textapp.arrays import filled_up
from textapp.decoding.forced import GENERATED, GENERATED_TOKENS, force_all
from textapp.decoding.signatures import rows_of
from textapp.errors import TextappError
from textapp.runners.edge import EdgeRunner
from textapp.runners.inputs import Inputs, load_inputs
from textapp.runners.interpreter import version


def answers(runner: EdgeRunner, inputs: Inputs) -> dict[str, np.ndarray]:
    """Every signature on every row: `{"classify_16/probabilities": [examples, classes]}`."""
    found: dict[str, np.ndarray] = {}
    for signature, named in inputs.items():
        size, count = rows_of(signature), len(next(iter(named.values())))
        parts = [runner.run(signature, filled_up(features, size)) for features in _parts(named, size)]
        for name in parts[0] if parts else ():
            found[f"{signature}/{name}"] = np.concatenate([part[name] for part in parts])[:count]
    return found


def with_own(forced: Inputs, found: Mapping[str, np.ndarray]) -> Inputs:
    """Adds to each `generate_*.expected` the texts that the file itself generated for these rows, as `generate_*.own`."""
    own = {}
    for group, named in forced.items():
        signature, way = group.split(".")
        if way == "expected":
            rows = slice(len(named[GENERATED]))
            generated = {name: found[f"{signature}/{name}"][rows] for name in ("token_ids", "num_tokens")}
            own[f"{signature}.own"] = {
                **named,
                GENERATED: generated["token_ids"],
                GENERATED_TOKENS: generated["num_tokens"],
            }
    return forced | own


def latencies(model_paths: Mapping[str, str], runtime: str, inputs: Inputs, seconds: float) -> dict[str, list[float]]:
    """Times several files side by side on the same inputs, each input by each file in turn.

    In turn, so that a slow minute of the machine is a slow minute for all of them.

    Args:
        model_paths: a name for each file.
        runtime: `litert` or `tflite-runtime`.
        inputs: the inputs of each signature, as many as real texts go there.
        seconds: how long to measure in all; every input is taken at least once.

    Returns:
        Milliseconds of each call, by the name of the file.
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
    runner = EdgeRunner(job["model"], runtime=job["runtime"])
    found = answers(runner, inputs)
    if "forced" in job:
        found |= force_all(runner, with_own(load_inputs(job["forced"]), found))
    np.savez(job["outputs"], **found)
    return {"runtime": version(job["runtime"]), "tensorflow": "tensorflow" in sys.modules}


def main(arguments: Sequence[str]) -> None:
    """Prints one JSON object; a fault that a user can mend is `{"error": message}`."""
    try:
        print(json.dumps(_work(json.loads(arguments[0]))))
    except (TextappError, OSError) as error:
        print(json.dumps({"error": str(error)}))


if __name__ == "__main__":
    main(sys.argv[1:])
