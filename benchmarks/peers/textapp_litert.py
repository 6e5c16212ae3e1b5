"""The bundle of textapp, on LiteRT: the runner alone for ids, the predictor for texts."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from serve import Job, facts_of, serve, serve_whole


def load_single(job: Job) -> tuple[Callable[[int], int], dict[str, Any]]:
    model = job.bundle / "model.tflite"
    facts = {"version": runtime_version(), "size_bytes": model.stat().st_size}
    if job.mode == "text":
        import textapp

        predictor = textapp.load(job.bundle, threads=job.threads)
        if job.reads:
            return lambda index: predictor(job.texts[index]).answer, facts
        number = {label: index for index, label in enumerate(predictor.task.labels)}
        return lambda index: number[predictor(job.texts[index]).label], facts
    from textapp.runners.edge import EdgeRunner

    runner = EdgeRunner(model, threads=job.threads)
    pad_id = facts_of(job.work)["pad_id"]
    prepared = [
        {
            name: values.astype(np.int32)
            for name, values in job.arrays([row], pad_id).items()
            if name != "attention_mask"
        }
        for row in job.rows
    ]
    if job.reads:
        return lambda index: _span(runner.run(f"answer_{job.length}", prepared[index])), facts
    signature = f"classify_{job.length}"
    return lambda index: int(runner.run(signature, prepared[index])["probabilities"][0].argmax()), facts


def _span(outputs: dict[str, np.ndarray]) -> list[int]:
    return [int(outputs[name][0].argmax()) for name in ("start_logits", "end_logits")]


def load_whole(job: Job) -> tuple[Callable[[int], list[int]], dict[str, Any]]:
    import textapp

    predictor = textapp.load(job.bundle)
    number = {label: index for index, label in enumerate(predictor.task.labels)}

    def answer_all(batch: int) -> list[int]:
        return [number[answer.label] for answer in predictor.batch(job.texts, workers=job.threads)]

    return answer_all, {"version": runtime_version(), "batches": [1]}


def runtime_version() -> str:
    from textapp.runners.interpreter import choose, version

    return version(choose("auto"))


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))
    serve_whole(load_whole) if "--whole" in sys.argv else serve(load_single)
