"""The processes of `textapp prepare`, and its lines of progress."""

from __future__ import annotations

import gc
import logging
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

from textapp.errors import TextappError

log = logging.getLogger("textapp")
# Objects between two searches for cycles, of which records have none: by Python's 700 these take a third of the time.
_OBJECTS = 500_000
Job, Task, Result = TypeVar("Job"), TypeVar("Task"), TypeVar("Result")


class Pool:
    """Processes that work on the tasks of one preparation; they start with the first tasks, unless one is enough.

    Args:
        workers: number of processes; 1: this one does it.
    """

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self._executor: ProcessPoolExecutor | None = None
        self._threshold = gc.get_threshold()

    def __enter__(self) -> Pool:
        gc.set_threshold(_OBJECTS, *self._threshold[1:])
        return self

    def __exit__(self, *_: object) -> None:
        gc.set_threshold(*self._threshold)
        if self._executor is not None:
            self._executor.shutdown(wait=True, cancel_futures=True)

    def results(
        self, begin: Callable[[Job], Callable[[Task], Result]], job: Job, tasks: Sequence[Task]
    ) -> Iterator[tuple[Task, Result]]:
        """Yields each task with its result, as they are finished.

        Args:
            begin: makes the function of a task; called once in each process, a function of a module.
            job: its argument.
            tasks: what to do.

        Raises:
            TextappError: a process was killed.
        """
        if min(self.workers, len(tasks)) <= 1:
            work = begin(job) if tasks else None
            yield from ((task, work(task)) for task in tasks if work is not None)
            return
        if self._executor is None:
            context = multiprocessing.get_context("spawn")
            self._executor = ProcessPoolExecutor(self.workers, mp_context=context, initializer=_begin_child)
        try:
            futures = {self._executor.submit(_work, begin, job, task): task for task in tasks}
            for future in as_completed(futures):
                yield futures[future], future.result()
        except BrokenProcessPool as error:
            raise TextappError(
                "a process that prepares texts was killed (out of memory?): run the same command again, what is "
                "finished is kept"
            ) from error


_begun: dict[str, Callable[[Any], Any]] = {}  # of this process


def _work(begin: Callable[[Any], Callable[[Any], Any]], job: Any, task: Any) -> Any:
    name = f"{begin.__module__}.{begin.__qualname__}"
    if name not in _begun:
        _begun[name] = begin(job)
    return _begun[name](task)


def _begin_child() -> None:
    """Begins a process that ends when the one that started it does."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    gc.set_threshold(_OBJECTS, *gc.get_threshold()[1:])
    parent = multiprocessing.parent_process()
    assert parent is not None

    def follow() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()
