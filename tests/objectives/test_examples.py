from __future__ import annotations

import numpy as np

from textapp.objectives.checks.examples import make_examples, verification_and_calibration
from textapp.tasks.classification import ClassificationTask


class Words:
    """Every word is a token: its length is its id."""

    pad_id, unknown_id = 9, 1

    def ids(self, text):
        return [len(word) for word in text.split()]

    def join(self, ids, pair, length):
        return ids[:length], [0] * min(length, len(ids))


RECORDS = [{"text": "a bb", "label": "x"}, {"text": "ccc bb a", "label": "y"}, {"text": "a a a a a a", "label": "x"}]


def test_records_go_to_the_signature_that_serves_them():
    examples = make_examples(ClassificationTask(Words(), ["x", "y"], [2, 4]), RECORDS, min_rows=0)
    assert examples.owners == [0, 1, 2]
    assert examples.rows == {"classify_2": [0], "classify_4": [1, 2]}
    assert [examples.locate(index) for index in range(3)] == [("classify_2", 0), ("classify_4", 0), ("classify_4", 1)]
    np.testing.assert_array_equal(examples.inputs["classify_2"]["token_ids"], [[1, 2]])
    np.testing.assert_array_equal(examples.inputs["classify_4"]["token_ids"], [[3, 2, 1, 9], [1, 1, 1, 1]])


def test_a_rare_signature_is_tried_with_other_records_cut_or_padded():
    examples = make_examples(ClassificationTask(Words(), ["x", "y"], [2, 4]), RECORDS, min_rows=3)
    np.testing.assert_array_equal(examples.inputs["classify_2"]["token_ids"], [[1, 2], [3, 2], [1, 1]])
    np.testing.assert_array_equal(examples.inputs["classify_4"]["token_ids"][2], [1, 2, 9, 9])
    assert {name: len(rows["token_ids"]) for name, rows in examples.own_inputs().items()} == {
        "classify_2": 1, "classify_4": 2
    }  # fmt: skip


def test_calibration_takes_other_records_than_verification_where_it_can():
    verified, calibrated = verification_and_calibration(range(1000))
    assert (len(verified), len(calibrated)) == (500, 200)
    assert not set(verified) & set(calibrated)
    verified, calibrated = verification_and_calibration(range(300))
    assert (len(verified), len(calibrated)) == (300, 200)
