"""Child processes that run a module of this package: their environment, the cores that they share, their end."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from pathlib import Path

PACKAGE_ROOT = Path(__file__).parents[1]
# Variables that set how many threads the libraries start; without them one a core.
TENSORFLOW_THREADS = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")
THREAD_SETTINGS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", *TENSORFLOW_THREADS)


def usable_cores() -> int:
    """The number of cores that this process may use; at least 1."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def child_environment(**extra: str) -> dict[str, str]:
    """This process's environment for a child that imports textapp, from the same place, and logs only errors.

    Args:
        extra: further variables; they replace those of the same name.
    """
    search_path = os.pathsep.join(filter(None, [str(PACKAGE_ROOT), os.environ.get("PYTHONPATH")]))
    return {**os.environ, "PYTHONPATH": search_path, "TF_CPP_MIN_LOG_LEVEL": "3", **extra}


def end_with_parent() -> None:
    """Lets this process get SIGTERM when the one that started it is killed; on Linux."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, int(signal.SIGTERM))  # PR_SET_PDEATHSIG


def slurm_tasks() -> int:
    """The number of tasks of the step of Slurm (`srun`) that this process is one of; 1 outside of one."""
    found = os.environ.get("SLURM_STEP_NUM_TASKS", "1")
    return int(found) if found.isdigit() else 1
