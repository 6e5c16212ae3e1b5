"""PyTorch: the twin with a cache of keys and values; dynamic int8 Linear layers, bfloat16, or float32."""

from __future__ import annotations

import io
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from generator_torch import Generator
from serve import facts_of, serve, weights_of
from writing import WritingJob


def load_single(job: WritingJob) -> tuple[Callable[[int], Any], dict[str, Any]]:
    torch.set_num_threads(job.threads)
    model = Generator(facts_of(job.work), weights_of(job.work)).eval()
    if job.variant == "bfloat16":
        model = model.to(torch.bfloat16)
    elif job.variant == "int8":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = torch.ao.quantization.quantize_dynamic(model, {torch.nn.Linear}, dtype=torch.qint8)
    kept = io.BytesIO()
    torch.save(model.state_dict(), kept)
    facts = {"version": f"torch {torch.__version__.split('+')[0]}", "size_bytes": kept.tell()}
    return job.answerer(model.generate), facts


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))
    serve(load_single, WritingJob.parse)
