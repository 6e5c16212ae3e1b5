"""Leading a model along given tokens, on a chain whose logits one can compute by hand."""

from __future__ import annotations

import numpy as np
import pytest
from toys import START, Chain, InPlace, random_chain

from textapp.decoding.forced import GENERATED, GENERATED_TOKENS, force, force_all, read_all

LOGITS = np.log(
    [[1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 8, 4], [1] * 6, [1, 1, 1, 9, 1, 3], [2, 1, 1, 1, 1, 1]]
)
FEATURES = {"token_ids": np.array([[5, 5, 0, 0], [4, 0, 0, 0]], np.int32)}


@pytest.mark.parametrize("max_batch", [1, 2])
def test_every_step_is_told_after_the_given_tokens(max_batch):
    chain = Chain(LOGITS, max_batch=max_batch, mixing=0.0, memory=False)
    features = {"token_ids": np.array([[5, START, 0, 0], [START, 0, 0, 0]], np.int32), "num_tokens": np.array([2, 1])}
    steps = force(chain, "prefill_4", features, np.array([[5, 0, 0], [4, 3, 0]]), np.array([1, 2]))
    np.testing.assert_array_equal(steps.best, [[4, 0, 0], [4, 3, 0]])
    np.testing.assert_allclose(steps.gap, [[np.log(2), 0, 0], [0, 0, 0]], atol=1e-6)
    expected = [[np.log(4 / 16), 0, 0], [np.log(8 / 16), np.log(9 / 16), 0]]
    np.testing.assert_allclose(steps.log_probability, expected, atol=1e-6)


def test_what_is_never_written_is_never_the_likeliest_yet_has_its_probability():
    chain = Chain(LOGITS, mixing=0.0, memory=False)
    features = {"token_ids": np.array([[START, 0, 0, 0]], np.int32), "num_tokens": np.array([1])}
    steps = force(chain, "prefill_4", features, np.array([[5]]), np.array([1]), never_ids=[4])
    assert steps.best == [[5]] and steps.gap == [[0]]
    assert steps.log_probability == pytest.approx(np.log(4 / 16), abs=1e-6)


@pytest.mark.parametrize("memory", [False, True])
def test_reading_whole_texts_gives_the_figures_of_the_steps(memory):
    chain = Chain(LOGITS, memory=memory, score=True, max_batch=2)
    group = {"token_ids": np.array([[5, 4, 0, 0], [4, 3, 5, 0]], np.int32)}
    group |= {GENERATED: np.array([[4, 5, 3], [2, 0, 0]]), GENERATED_TOKENS: np.array([3, 1])}
    group |= {} if memory else {"num_tokens": np.array([2, 3])}
    groups = {
        "generate_4_6.expected": group,
        "generate_4_6.reference": {name: each[:1] for name, each in group.items()},
    }
    read = read_all(chain, groups, START, pad_id=0, source_pad_id=0)
    assert sum(rows for kind, rows in chain.calls if kind == "score") == 2  # a text that two groups share is read once
    steps = force_all(chain, groups)
    assert read.keys() == steps.keys()
    for key, values in read.items():
        np.testing.assert_allclose(values, steps[key], atol=1e-6)
        assert values[0].any() and not values[1:, 1:].any()


def test_groups_go_through_the_prefill_of_their_signature():
    chain = Chain(LOGITS, mixing=0.0)
    group = {**FEATURES, GENERATED: np.array([[4], [4]]), GENERATED_TOKENS: np.array([1, 1])}
    found = force_all(chain, {"generate_4_6.expected": group})
    assert set(found) == {f"generate_4_6.expected/{name}" for name in ("best", "gap", "log_probability")}
    assert chain.calls == [("prefill", 1), ("prefill", 1)]


def test_a_text_that_two_groups_share_is_stepped_once():
    chain = Chain(LOGITS, mixing=0.0)
    expected = {**FEATURES, GENERATED: np.array([[4, 3], [4, 0]]), GENERATED_TOKENS: np.array([2, 1])}
    own = {**expected, GENERATED: np.array([[4, 3], [5, 0]])}
    found = force_all(chain, {"generate_4_6.expected": expected, "generate_4_6.own": own})
    assert chain.calls.count(("prefill", 1)) == 3
    for name, values in force_all(Chain(LOGITS, mixing=0.0), {"generate_4_6.own": own}).items():
        np.testing.assert_array_equal(found[name], values)
    assert found["generate_4_6.own/gap"][1, 0] > 0 == found["generate_4_6.expected/gap"][1, 0]


def test_tokens_read_at_once_are_told_one_by_one_and_those_of_own_texts_are_read_so():
    chain = random_chain(2, 9, InPlace, memory=False, several=3)
    group = {"token_ids": np.array([[5, 4, 0, 0]], np.int32), "num_tokens": np.array([2])}
    group |= {GENERATED: np.array([[4, 5, 8, 6, 7, 4, 8, 3]]), GENERATED_TOKENS: np.array([8])}
    names = ("own", "at_once", "expected", "reference")
    found = force_all(chain, {f"generate_4_6.{name}": group for name in names})
    assert [rows for kind, rows in chain.calls if kind == "decode"] == [1] * 7 + [3, 3, 3]
    for name in ("best", "gap", "log_probability"):
        for other in names[1:]:
            np.testing.assert_array_equal(found[f"generate_4_6.own/{name}"], found[f"generate_4_6.{other}/{name}"])
