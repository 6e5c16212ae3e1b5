"""What one core of this machine can do: read memory, multiply in float32. A model's speed is told as a share of it.

    python -m textapp.metrics.machine BYTES         {"bytes_per_second": .., "multiply_adds_per_second": ..}

It runs in a process of its own, so that NumPy has as many threads as the environment says.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from textapp.processes import child_environment

_CPU = Path("/proc/cpuinfo")
_SMALL = 1 << 26  # bytes; more than that comes from memory, and few readings are enough
_EDGE = 512  # of the square matrices to multiply


def machine() -> dict[str, Any]:
    """The processor, its number of cores, and the load when asked: `{"cpu": "AMD EPYC", "cores": 2, "load": 0.5}`."""
    lines = _CPU.read_text(encoding="utf-8", errors="replace").splitlines() if _CPU.is_file() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    found = {"cpu": next(names, "unknown CPU"), "cores": os.cpu_count() or 1}
    return {**found, **({"load": round(os.getloadavg()[0], 1)} if hasattr(os, "getloadavg") else {})}


def core_speed(num_bytes: int, threads: dict[str, str]) -> dict[str, float]:
    """Measures one core in a child process, just now.

    Args:
        num_bytes: how much it reads again and again; what fits a cache is read from there.
        threads: variables of the environment that set the number of threads.

    Returns:
        `bytes_per_second` and `multiply_adds_per_second`.

    Raises:
        subprocess.CalledProcessError: the child failed.
    """
    command = [sys.executable, "-m", "textapp.metrics.machine", str(num_bytes)]
    done = subprocess.run(command, env=child_environment(**threads), capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def _reading(num_bytes: int) -> float:
    half = max(1024, num_bytes // 8)
    numbers, times = np.ones(2 * half, np.float32), []
    for _ in range(100 if numbers.nbytes < _SMALL else 10):
        start = time.perf_counter()
        np.dot(numbers[:half], numbers[half:])  # the fastest way to read in NumPy
        times.append(time.perf_counter() - start)
    return numbers.nbytes / min(times)


def _multiplying() -> float:
    matrix, times = np.ones((_EDGE, _EDGE), np.float32), []
    for _ in range(10):
        start = time.perf_counter()
        matrix @ matrix
        times.append(time.perf_counter() - start)
    return _EDGE**3 / min(times)


if __name__ == "__main__":
    speeds = {"bytes_per_second": _reading(int(sys.argv[1])), "multiply_adds_per_second": _multiplying()}
    print(json.dumps(speeds))
