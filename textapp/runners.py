"""What answers: a model in memory behind `run(signature, features)`, and several of them that work at the same time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol, TypeVar

import numpy as np

from textapp.errors import UsageError

Job = TypeVar("Job")


class Runner(Protocol):
    """A model in memory.

    Attributes:
        max_batch: rows that one call may have; 1 where the shapes are fixed.
    """

    max_batch: int

    def run(self, signature: str, features: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Features `[batch, length]` int32 to outputs `[batch, ...]`."""
        ...

    def clone(self) -> Runner:
        """A runner of the same model that another thread may use at the same time."""
        ...


class Runners:
    """One runner and, once several workers are asked for, its clones.

    Args:
        runner: the first.
    """

    def __init__(self, runner: Runner) -> None:
        self._runners = [runner]

    def share_out(self, jobs: Iterable[Job], work: Callable[[Runner, Job], None], workers: int = 1) -> None:
        """Lets each job be done by the worker that is free. Give the longest first: so all of them end together.

        Args:
            jobs: what is to be done, in the order of the beginnings.
            work: does one job with the runner that it is handed; it keeps its result itself.
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


def groups(
    signatures: Sequence[tuple[str, int]], most: int, sizes: Sequence[int] = ()
) -> list[tuple[str, int, list[int]]]:
    """Groups of at most `most` examples that share a signature, those of the longest signature first.

    Args:
        signatures: name and length of the signature of each example.
        most: rows of one call.
        sizes: of the examples; those of like size come together, the largest first. Empty: they keep their order.

    Returns:
        `(signature, length, indices)` of each group.

    Example: `groups([("classify_4", 4), ("classify_8", 8), ("classify_4", 4)], 8)` is
    `[("classify_8", 8, [1]), ("classify_4", 4, [0, 2])]`.
    """
    indices: dict[tuple[str, int], list[int]] = {}
    order = sorted(range(len(signatures)), key=lambda index: -sizes[index]) if sizes else range(len(signatures))
    for index in order:
        indices.setdefault(signatures[index], []).append(index)
    return [
        (*signature, members[start : start + most])
        for signature, members in sorted(indices.items(), key=lambda item: -item[0][1])
        for start in range(0, len(members), most)
    ]
