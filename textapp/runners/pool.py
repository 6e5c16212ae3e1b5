"""Several runners of one model that work at the same time."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from textapp.errors import UsageError
from textapp.runners.runner import Runner

Job = TypeVar("Job")


class RunnerPool:
    """One runner and, once several workers are asked for, its clones.

    Args:
        runner: the first.
    """

    def __init__(self, runner: Runner) -> None:
        self._runners = [runner]

    def share_out(self, jobs: Iterable[Job], work: Callable[[Runner, Job], None], workers: int = 1) -> None:
        """Hands each job to the next free worker. Submit the longest jobs first, for balance.

        Args:
            jobs: what is to be done, in the order of submission.
            work: does one job with the runner that it is given, and keeps its result itself.
            workers: threads, each with a runner of its own.

        Raises:
            UsageError: no workers.
        """
        if workers < 1:
            raise UsageError(f"workers: found {workers}, expected a whole number from 1")
        while len(self._runners) < workers:
            self._runners.append(self._runners[0].clone())
        if workers == 1:
            for job in jobs:
                work(self._runners[0], job)
            return
        from concurrent.futures import ThreadPoolExecutor  # slow to import, and a single text needs none

        left = iter(list(jobs))

        def run(worker: int) -> None:
            for job in left:
                work(self._runners[worker], job)

        with ThreadPoolExecutor(workers) as pool:
            list(pool.map(run, range(workers)))
