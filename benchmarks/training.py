"""The speed of training a classifier, against torch on the same batches from the same initial weights.

    python benchmarks/training.py configs/classification/sst2_bench_transformer.yaml --data-dir DATA
    python benchmarks/training.py configs/classification/sst2_bench_lstm.yaml --data-dir DATA

Both make whole training steps, forward, backward, clipped norm and Adam, on the batches of the first epoch, in turns.
To show that the work is the same there is no dropout and no schedule, and the table has the loss at the end of the
first pass. torch has its fused Adam. `--xla` compiles the steps of textapp, too, as `training.xla: true` does.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np
from drive import System, Timing, compare, machine_limits, table

HERE = Path(__file__).parent
BLOCK = 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path, help="of a classifier: a transformer, an lstm of one direction or a cnn")
    parser.add_argument("--data-dir", type=Path, required=True, help="where the config's data paths start")
    parser.add_argument("--batches", type=int, default=60, help="of the first epoch")
    parser.add_argument("--steps", type=int, default=200, help="timed steps of each system")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--xla", action="store_true", help="also textapp's steps compiled by XLA")
    parser.add_argument("--peers-python", type=Path, default=HERE.parent / ".venv-peers" / "bin" / "python")
    parser.add_argument("--work-dir", type=Path, default=HERE.parent / "saved_models" / "benchmarks")
    options = parser.parse_args()
    work = (options.work_dir / f"training-{options.config.stem}").resolve()
    work.mkdir(parents=True, exist_ok=True)
    job: dict[str, Any] = {
        "work": str(work), "config": str(options.config.resolve()), "data_dir": str(options.data_dir.resolve()),
        "batches": options.batches, "threads": options.threads, "xla": False,
    }  # fmt: skip
    # The first one writes the weights and the batches.
    systems = [System("textapp", "training_textapp.py", sys.executable, job)]
    if options.xla:
        systems.append(System("textapp, XLA", "training_textapp.py", sys.executable, {**job, "xla": True}))
    systems.append(System("torch", "training_torch.py", str(options.peers_python), job))
    try:
        timings = compare(systems, _last_losses, options.batches, options.steps, BLOCK)
    finally:
        for system in systems:
            system.close()
    print(f"### Training `{options.config.stem}`, {options.threads} threads\n")
    print(f"{machine_limits()}\n\n{table(timings, _speed)}\n")


def _last_losses(losses: list[float]) -> dict[str, float]:
    return {"loss x 100": 100 * float(np.mean(losses[-10:]))}


def _speed(timing: Timing) -> dict[str, str]:
    return {"examples/s": f"{1000 * timing.facts['rows'] / timing.blocks.mean():,.0f}"}


if __name__ == "__main__":
    main()
