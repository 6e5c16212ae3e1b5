"""A pool of runners after os.fork."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from textapp.errors import UsageError
from textapp.runners.pool import RunnerPool


class Numbered:
    """A runner that knows how many were made before it."""

    max_batch, made = 1, 0

    def __init__(self, shareable: bool) -> None:
        self.shareable, self.number = shareable, Numbered.made
        Numbered.made += 1

    def clone(self) -> Numbered:
        return Numbered(self.shareable)


def in_a_fork(work: Callable[[], bool]) -> bool:
    child = os.fork()
    if not child:
        answer = 1
        try:
            answer = 0 if work() else 1
        finally:
            os._exit(answer)
    return os.waitpid(child, 0)[1] == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_after_a_fork_a_runner_is_opened_again_or_refused() -> None:
    pool, shared = RunnerPool(Numbered(False)), RunnerPool(Numbered(True))
    first = pool.borrow()
    pool.give_back(first)

    def opened_again() -> bool:
        return pool.borrow().number > first.number

    def refused() -> bool:
        with pytest.raises(UsageError, match="cannot be used after os.fork: call textapp.load in each process"):
            shared.borrow()
        return True

    assert in_a_fork(opened_again) and in_a_fork(refused)
    assert pool.borrow() is first and shared.borrow() is shared.borrow()  # the parent goes on
