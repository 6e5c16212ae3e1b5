"""OpenVINO GenAI on a GGUF file: greedy, one prompt at a time, the end token not obeyed.

The environment variable OPENVINO_ATTENTION chooses between its two pipelines, PA and SDPA.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import numpy as np
import openvino
import openvino_genai
from serve import serve
from writing import WritingJob


def load_single(job: WritingJob) -> tuple[Callable[[int], Any], dict[str, Any]]:
    file = job.work.parent / f"{job.variant}.gguf"
    paged = os.environ["OPENVINO_ATTENTION"] == "PA"
    # Its own scheduler keeps the prompt before; this one reads each prompt as the others do.
    how = {"scheduler_config": openvino_genai.SchedulerConfig()} if paged else {"ATTENTION_BACKEND": "SDPA"}
    pipeline = openvino_genai.LLMPipeline(str(file), "CPU", INFERENCE_NUM_THREADS=job.threads, **how)
    rules = openvino_genai.GenerationConfig()
    rules.max_new_tokens = job.new
    rules.ignore_eos = True
    rules.apply_chat_template = False

    def answer(index: int) -> Any:
        if job.mode == "text":
            return str(pipeline.generate(job.texts[index], rules))
        (ids,) = pipeline.generate(openvino.Tensor(np.array([job.ids[index]], np.int64)), rules).tokens
        if len(ids) != job.new:
            raise SystemExit(f"an answer has {len(ids)} tokens, expected {job.new}")
        return ids

    return answer, {"version": f"openvino-genai {version('openvino-genai')}", "size_bytes": file.stat().st_size}


if __name__ == "__main__":
    serve(load_single, WritingJob.parse)
