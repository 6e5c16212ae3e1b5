from __future__ import annotations

import numpy as np

from textapp.batches.buckets import FILL
from textapp.batches.packing import packed_plan

COUNTS = np.random.default_rng(0).integers(1, 17, 101)


def test_every_token_once_and_documents_stay_whole() -> None:
    plan = packed_plan(COUNTS, 16, 4, seed=1, epoch=0)
    assert plan.positions.shape == plan.segments.shape == (plan.steps, 4, 16)
    assert sorted(plan.positions[plan.positions != FILL]) == list(range(COUNTS.sum()))
    assert ((plan.segments == 0) == (plan.positions == FILL)).all()
    starts = np.concatenate([[0], np.cumsum(COUNTS)])
    for positions, segments in zip(plan.positions.reshape(-1, 16), plan.segments.reshape(-1, 16), strict=True):
        for segment in range(1, segments.max() + 1):
            tokens = positions[segments == segment]
            document = np.searchsorted(starts, tokens[0], side="right") - 1
            assert tokens.tolist() == list(range(starts[document], starts[document + 1]))


def test_little_padding_the_same_steps_and_another_order_each_epoch() -> None:
    plans = [packed_plan(COUNTS, 16, 4, seed=1, epoch=epoch) for epoch in (0, 0, 1, 2)]
    rows = (plans[0].segments[:, :, 0] > 0).sum()
    assert COUNTS.sum() > 0.9 * 16 * rows
    assert len({plan.steps for plan in plans}) == 1 and plans[0].examples == 101
    assert (plans[0].positions == plans[1].positions).all() and not (plans[0].positions == plans[2].positions).all()


def test_the_docstring_example() -> None:
    plan = packed_plan([5, 3, 2], 8, 2, seed=0, epoch=0)
    rows = sorted(plan.segments[0].tolist())
    assert rows == [[1, 1, 0, 0, 0, 0, 0, 0], [1, 1, 1, 1, 1, 2, 2, 2]]
