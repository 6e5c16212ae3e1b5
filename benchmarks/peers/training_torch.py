"""Training steps of the torch twin of a classifier, on the batches that textapp made, from the same weights."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from serve import facts_of, serve
from torch.nn import functional
from twins import load_twin

EPSILON = 1e-7  # of Keras's Adam


def load(job: dict[str, Any]) -> tuple[Callable[[int], float], dict[str, Any]]:
    work = Path(job["work"])
    facts, torch_threads = facts_of(work), job["threads"]
    torch.set_num_threads(torch_threads)
    training = facts["training"]
    model = load_twin(work).train()
    parameters = [parameter.requires_grad_() for parameter in model.parameters()]
    optimizer = torch.optim.AdamW(
        parameters, lr=training["learning_rate"], eps=EPSILON, weight_decay=training["weight_decay"] or 0.0, fused=True
    )
    with np.load(work / "batches.npz") as arrays:
        batches = [
            tuple(torch.from_numpy(arrays[f"{number}/{name}"]).long() for name in ("token_ids", "targets"))
            for number in range(job["batches"])
        ]

    def step(index: int) -> float:
        token_ids, targets = batches[index]
        optimizer.zero_grad()
        loss = functional.cross_entropy(model(token_ids, (token_ids != facts["pad_id"]).long()), targets)
        loss.backward()
        if training["clip_norm"]:
            torch.nn.utils.clip_grad_norm_(parameters, training["clip_norm"])
        optimizer.step()
        return loss.item()

    rows = float(np.mean([len(targets) for _, targets in batches]))
    size = sum(parameter.numel() * 4 for parameter in parameters)
    return step, {"version": f"torch {torch.__version__}", "size_bytes": size, "rows": rows}


if __name__ == "__main__":
    serve(load, json.loads)
