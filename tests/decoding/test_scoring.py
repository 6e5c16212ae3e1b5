from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from toys import InPlace, random_chain

from textapp.decoding.scoring import Window, scores, stepwise_log_probabilities, windows


def test_a_long_text_is_seen_in_windows_with_half_a_context_before_what_counts():
    found = list(windows(7, range(6), range(1, 7), 4))
    assert [(window.read, window.targets, window.first) for window in found] == [
        ([0, 1, 2, 3], [1, 2, 3, 4], 0),
        ([2, 3, 4, 5], [3, 4, 5, 6], 2),
    ]
    assert {window.owner for window in found} == {7}


def test_a_prompt_is_context_alone():
    (window,) = windows(0, range(6), range(1, 7), 8, first=4)
    assert window.first == 4
    assert [window.read for window in windows(0, range(6), range(1, 7), 4, first=5)] == [[2, 3, 4, 5]]


@given(st.integers(1, 60), st.integers(1, 20), st.data())
def test_every_target_counts_once(length, context, data):
    first = data.draw(st.integers(0, length - 1))
    found = list(windows(0, range(length), range(1, length + 1), context, first))
    counted = [target for window in found for target in window.targets[window.first :]]
    assert counted == list(range(first + 1, length + 1))
    assert all(len(window.read) <= context for window in found)


def test_a_target_that_is_the_padding_id_counts():
    """The end of a GPT-2 is its padding too: what fills the targets of a shorter text is told from it."""

    class Runner:
        max_batch = 8

        def run(self, signature, features):
            self.targets = features["targets"].tolist()
            return {"log_probability": np.where(features["targets"] >= 0, -1.0, 9.0)}

    runner = Runner()
    parts = [Window(0, [], [7, 5], [5, 7], 0), Window(1, [], [7], [7], 0)]
    found = scores(runner, parts, pad_id=7, source_pad_id=7)
    assert [values["log_probability"].sum() for values in found] == [-2.0, -1.0]
    assert runner.targets == [[5, 7], [7, -1]]


def test_a_text_is_scored_several_tokens_at_a_time_where_the_file_can():
    targets = [5, 6, 4, 7, 5, 5, 8, 4]
    features = {"token_ids": np.array([[5, 6, 0, 0]], np.int32), "num_tokens": np.array([2], np.int32)}
    values, passes = [], []
    for several in (1, 3):
        chain = random_chain(2, 9, InPlace, memory=False, several=several)
        values.append(stepwise_log_probabilities(chain, "prefill_4", features, 2, targets))
        passes.append([kind for kind, _ in chain.calls].count("decode"))
    np.testing.assert_allclose(values[1], values[0], atol=1e-6)
    assert passes == [7, 3]
