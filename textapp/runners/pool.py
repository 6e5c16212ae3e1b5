"""A pool of runners of one model, shared by several threads."""

from __future__ import annotations

import numbers
import os
import threading
import weakref
from collections.abc import Callable, Iterable
from typing import TypeVar

from textapp.errors import OptionError, UsageError
from textapp.runners.runner import Runner
from textapp.untrusted import shown

Job = TypeVar("Job")
MAX_COUNT = 1024  # of threads or of runners; an interpreter keeps the number as a C int, and starts each at once


class RunnerPool:
    """Lends runners to threads, each to one thread at a time: one at first, and clones of it on demand.

    Args:
        runner: the first runner.
        limit: maximum number of runners; while all are lent, a thread waits.
    """

    def __init__(self, runner: Runner, limit: int = 1) -> None:
        self._first, self._idle = runner, [runner]
        self._shareable = getattr(runner, "shareable", False)
        self._made, self._limit, self._waiting = 1, check_count("workers", limit), 0
        self._returned = threading.Condition()
        self._forked = False
        _pools.add(self)

    def borrow(self) -> Runner:
        """A runner that no other thread uses until it is given back, or one that several may use.

        Raises:
            UsageError: the process was forked, and the runner cannot be opened again.
        """
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
        """Runs each job on the next free worker. Submit the longest jobs first, for balance.

        Args:
            jobs: the jobs, in order of submission.
            work: does a job with a runner, and stores the result itself.
            workers: number of threads.

        Raises:
            OptionError: `workers` is not a whole number from 1 to `MAX_COUNT`.
        """
        self._limit = max(self._limit, check_count("workers", workers))
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
        from concurrent.futures import ThreadPoolExecutor  # slow to import, and not needed for a single text

        with ThreadPoolExecutor(workers) as threads:
            list(threads.map(do_jobs, range(workers)))

    def after_fork(self) -> None:
        """Forgets the runners, in the child process: their threads and locks stayed in the parent."""
        self._forked, self._shareable, self._idle, self._made, self._waiting = True, False, [], 0, 0
        self._returned = threading.Condition()

    def _wait_or_make(self) -> Runner:
        if self._forked and getattr(self._first, "shareable", False):
            raise UsageError(
                "a model on TensorFlow cannot be used after os.fork: call textapp.load in each process, after the "
                "fork, or start processes with multiprocessing's 'spawn'"
            )
        with self._returned:
            self._waiting += 1  # before looking again, so that no return is missed
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


_pools: weakref.WeakSet[RunnerPool] = weakref.WeakSet()


def _after_fork() -> None:
    for pool in list(_pools):
        pool.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def check_count(name: str, count: int, most: int = MAX_COUNT) -> int:
    """Returns a number such as that of threads or workers if it is valid.

    Args:
        name: of the option.
        count: the number, also one of NumPy.
        most: the highest that is allowed.

    Raises:
        OptionError: it is not a whole number from 1 to `most`.
    """
    if isinstance(count, bool) or not isinstance(count, numbers.Integral) or not 1 <= count <= most:
        raise OptionError(f"{name}: found {shown(count)}, expected a whole number from 1 to {most}", name)
    return int(count)
