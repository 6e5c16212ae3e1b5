"""PyTorch: the twin with dynamic int8 Linear and LSTM layers, in inference mode."""

from __future__ import annotations

import io
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from serve import Job, facts_of, serve
from twins import load_twin


def load_single(job: Job) -> tuple[Callable[[int], int], dict[str, Any]]:
    torch.set_num_threads(job.threads)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = torch.ao.quantization.quantize_dynamic(
            load_twin(job.work), {torch.nn.Linear, torch.nn.LSTM}, dtype=torch.qint8
        )

    def run(arrays: dict[str, np.ndarray]) -> np.ndarray:
        token_ids, mask = torch.from_numpy(arrays["token_ids"]), torch.from_numpy(arrays["attention_mask"])
        with torch.inference_mode():
            return model(token_ids, mask if job.length else None).numpy()

    kept = io.BytesIO()
    torch.save(model.state_dict(), kept)
    facts = {"version": f"torch {torch.__version__.split('+')[0]}", "size_bytes": kept.tell()}
    return job.answerer(run, facts_of(job.work)["pad_id"]), facts


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))
    serve(load_single)
