"""A bundle of textapp that writes, on LiteRT: the runner alone for ids, the predictor for texts."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from serve import facts_of, serve, serve_whole
from textapp_litert import runtime_version
from writing import WritingJob


def load_single(job: WritingJob) -> tuple[Callable[[int], Any], dict[str, Any]]:
    model = job.bundle / "model.tflite"
    facts = {"version": runtime_version(), "size_bytes": model.stat().st_size}
    if job.mode == "text":
        import textapp

        predictor = textapp.load(job.bundle, threads=job.threads)
        return lambda index: predictor(job.texts[index]).output, facts
    from textapp.runners.edge import EdgeRunner

    runner = EdgeRunner(model, threads=job.threads)
    prepared = [_features(ids, job.source, facts_of(job.work)["pad_id"]) for ids in job.ids]
    if job.new == 1:  # what reads a prompt, and gives the logits of the token behind it
        prefill = f"prefill_{job.source}"
        return lambda index: [int(runner.run(prefill, prepared[index])["logits"].argmax())], facts
    signature = f"generate_{job.source}_{job.new}"

    def answer(index: int) -> list[int]:
        found = runner.run(signature, prepared[index])
        return found["token_ids"][0, : found["num_tokens"][0]].tolist()

    return answer, facts


def _features(ids: list[int], source: int, pad_id: int) -> dict[str, np.ndarray]:
    token_ids = np.full((1, source), pad_id, np.int32)
    token_ids[0, : len(ids)] = ids
    return {"token_ids": token_ids, "num_tokens": np.array([len(ids)], np.int32)}


def load_whole(job: WritingJob) -> tuple[Callable[[int], list[str]], dict[str, Any]]:
    import textapp

    predictor = textapp.load(job.bundle)

    def answer_all(batch: int) -> list[str]:
        return [answer.output for answer in predictor.batch(job.texts, workers=job.threads)]

    return answer_all, {"version": runtime_version(), "batches": [predictor.manifest.get("batch_size", 1)]}


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))
    serve_whole(load_whole, WritingJob.parse) if "--whole" in sys.argv else serve(load_single, WritingJob.parse)
