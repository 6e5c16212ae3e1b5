"""Runners of one model that several threads share."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import TypeVar

from textapp.errors import UsageError
from textapp.runners.runner import Runner

Job = TypeVar("Job")


class RunnerPool:
    """Lends runners to threads: one at first, and clones of it on demand, each to one thread at a time.

    Args:
        runner: the first.
        limit: runners at most; who comes when all are lent waits.
    """

    def __init__(self, runner: Runner, limit: int = 1) -> None:
        self._first, self._idle = runner, [runner]
        self._shareable = getattr(runner, "shareable", False)
        self._made, self._limit, self._waiting = 1, check_workers(limit), 0
        self._returned = threading.Condition()

    def borrow(self) -> Runner:
        """A runner that no other thread uses until it is given back, or one that several may use."""
        if self._shareable:
            return self._first
        try:
            return self._idle.pop()  # atomic, and all that a single thread needs
        except IndexError:
            return self._wait_or_make()

    def give_back(self, runner: Runner) -> None:
        """Ends a loan."""
        if not self._shareable:
            self._idle.append(runner)
            if self._waiting:
                with self._returned:
                    self._returned.notify()

    def share_out(self, jobs: Iterable[Job], work: Callable[[Runner, Job], None], workers: int = 1) -> None:
        """Hands each job to the next free worker. Submit the longest jobs first, for balance.

        Args:
            jobs: what is to be done, in the order of submission.
            work: does one job with the runner that it is given, and keeps its result itself.
            workers: threads that work at the same time.

        Raises:
            UsageError: no workers.
        """
        self._limit = max(self._limit, check_workers(workers))
        left = iter(list(jobs))

        def do_jobs(_: int) -> None:
            for job in left:
                runner = self.borrow()
                try:
                    work(runner, job)
                finally:
                    self.give_back(runner)

        if workers == 1:
            do_jobs(0)
            return
        from concurrent.futures import ThreadPoolExecutor  # slow to import, and a single text needs none

        with ThreadPoolExecutor(workers) as threads:
            list(threads.map(do_jobs, range(workers)))

    def _wait_or_make(self) -> Runner:
        with self._returned:
            self._waiting += 1  # before the next look, so that no return is missed
            try:
                while not self._idle:
                    if self._made < self._limit:
                        self._made += 1
                        break
                    self._returned.wait()
                else:
                    return self._idle.pop()
            finally:
                self._waiting -= 1
        try:
            return self._first.clone()
        except BaseException:
            with self._returned:
                self._made -= 1
                self._returned.notify()
            raise


def check_workers(workers: int) -> int:
    """The number of workers of a call.

    Raises:
        UsageError: it is not a whole number from 1.
    """
    if isinstance(workers, bool) or not isinstance(workers, int) or workers < 1:
        raise UsageError(f"workers: found {workers}, expected a whole number from 1")
    return workers
