from __future__ import annotations

import numpy as np
import pytest

from textapp.batches.buckets import FILL
from textapp.batches.stream import stream_plan


def test_windows_stand_side_by_side_from_another_place_each_epoch() -> None:
    plans = [stream_plan(100, 8, 4, seed=1, epoch=epoch) for epoch in range(20)]
    assert {plan.steps for plan in plans} == {3} and {plan.examples for plan in plans} == {11}
    for plan in plans:
        starts = np.sort(plan.starts[plan.starts != FILL])
        assert (np.diff(starts) == 8).all() and starts[0] >= 0 and starts[-1] + 8 < 100
    assert len({int(plan.starts[plan.starts != FILL].min()) for plan in plans}) > 3
    assert (plans[3].starts == stream_plan(100, 8, 4, seed=1, epoch=3).starts).all()


@pytest.mark.parametrize("tokens", [9, 10, 17, 18])
def test_a_short_text_has_a_window(tokens: int) -> None:
    for epoch in range(9):
        plan = stream_plan(tokens, 8, 2, seed=0, epoch=epoch)
        assert plan.examples == 1 and 0 <= plan.starts[0].max() <= tokens - 9
