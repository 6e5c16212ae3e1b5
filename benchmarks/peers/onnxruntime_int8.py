"""ONNX Runtime: the fused graph with dynamic int8 that build.py wrote, or the float32 graph before it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from serve import Job, batches, facts_of, serve, serve_whole


def open_session(path: Path, threads: int) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def runner(session: onnxruntime.InferenceSession) -> Callable[[dict[str, np.ndarray]], np.ndarray]:
    names = [node.name for node in session.get_inputs()]
    return lambda arrays: session.run(None, {name: arrays[name] for name in names})[0]


def load_single(job: Job) -> tuple[Callable[[int], int], dict[str, Any]]:
    # Without padding there is nothing to mask: the plain graph is this system at its best.
    path = job.work / f"{'masked' if job.length else 'plain'}{'' if job.variant == 'fp32' else '.int8'}.onnx"
    facts = {"version": f"onnxruntime {onnxruntime.__version__}", "size_bytes": path.stat().st_size}
    return job.answerer(runner(open_session(path, job.threads)), facts_of(job.work)["pad_id"]), facts


def load_whole(job: Job) -> tuple[Callable[[int], list[int]], dict[str, Any]]:
    encode, pad_id = job.encoder(), facts_of(job.work)["pad_id"]
    path = job.work / "masked.int8.onnx"
    runners = [runner(open_session(path, 1)) for _ in range(job.threads)]

    def answer_all(batch: int) -> list[int]:
        jobs = batches(job, encode, batch, pad_id)
        labels = [0] * len(job.texts)

        def work(worker: int) -> None:
            for indices, arrays in jobs[worker :: job.threads]:
                for index, row in zip(indices, runners[worker](arrays), strict=True):
                    labels[index] = int(row.argmax())

        with ThreadPoolExecutor(job.threads) as pool:
            list(pool.map(work, range(job.threads)))
        return labels

    return answer_all, {"version": f"onnxruntime {onnxruntime.__version__}", "batches": [1, 8, 32]}


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))
    serve_whole(load_whole) if "--whole" in sys.argv else serve(load_single)
