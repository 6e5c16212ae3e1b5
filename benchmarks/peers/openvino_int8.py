"""OpenVINO: the int8 model that nncf made in build.py, with the hint for latency or for throughput."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openvino
from serve import Job, batches, facts_of, serve, serve_whole


def settings(job: Job, hint: str, streams: int) -> dict[str, Any]:
    return {"PERFORMANCE_HINT": hint, "INFERENCE_NUM_THREADS": job.threads, "NUM_STREAMS": streams}


def size_of(path: Path) -> int:
    return path.stat().st_size + path.with_suffix(".bin").stat().st_size


def load_single(job: Job) -> tuple[Callable[[int], int], dict[str, Any]]:
    path = job.work / ("masked.int8.xml" if job.length else "plain.int8.xml")
    core = openvino.Core()
    model = core.read_model(path)
    if job.length:
        model.reshape({node.get_any_name(): [1, job.length] for node in model.inputs})
    request = core.compile_model(model, "CPU", settings(job, "LATENCY", 1)).create_infer_request()
    names = [node.get_any_name() for node in model.inputs]

    def run(arrays):
        return request.infer({name: arrays[name] for name in names}, share_inputs=True, share_outputs=True)[0]

    facts = {"version": f"openvino {openvino.__version__.split('-')[0]}", "size_bytes": size_of(path)}
    return job.answerer(run, facts_of(job.work)["pad_id"]), facts


def load_whole(job: Job) -> tuple[Callable[[int], list[int]], dict[str, Any]]:
    encode, pad_id = job.encoder(), facts_of(job.work)["pad_id"]
    core = openvino.Core()
    compiled = core.compile_model(
        core.read_model(job.work / "masked.int8.xml"), "CPU", settings(job, "THROUGHPUT", job.threads)
    )

    def answer_all(batch: int) -> list[int]:
        labels = [0] * len(job.texts)

        def keep(request: Any, indices: list[int]) -> None:
            for index, row in zip(indices, request.get_output_tensor(0).data, strict=True):
                labels[index] = int(row.argmax())

        queue = openvino.AsyncInferQueue(compiled, job.threads)
        queue.set_callback(keep)
        for indices, arrays in batches(job, encode, batch, pad_id):
            queue.start_async(arrays, indices)
        queue.wait_all()
        return labels

    return answer_all, {"version": f"openvino {openvino.__version__.split('-')[0]}", "batches": [1, 8, 32]}


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))
    serve_whole(load_whole) if "--whole" in sys.argv else serve(load_single)
